// SPDX-License-Identifier: Apache-2.0
//! `tojson` as chat templates expect it: Python's `json.dumps(value, ensure_ascii=False)` with its
//! separators and without the HTML escapes of Jinja's own filter.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use crate::allowance::charge;
use crate::python_text::number_text;

/// Nesting that a template may serialize.
const DEPTH_MAX: usize = 64;
/// Spaces of indentation per level that a template may ask for.
const INDENT_MAX: usize = 16;

struct Style {
    indent: Option<usize>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
    ensure_ascii: bool,
}

pub fn tojson(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    let sort_keys: Option<bool> = kwargs.get("sort_keys")?;
    let ensure_ascii: Option<bool> = kwargs.get("ensure_ascii")?;
    kwargs.assert_all_used()?;
    if indent.is_some_and(|width| width > INDENT_MAX) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson: indent is limited to 16"));
    }
    let (item_separator, key_separator) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => {
            let message = "tojson: separators must be a pair";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        // Python drops the blank after the comma when it breaks lines.
        None => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
    };
    let style = Style {
        indent,
        item_separator,
        key_separator,
        sort_keys: sort_keys.unwrap_or(false),
        ensure_ascii: ensure_ascii.unwrap_or(false),
    };
    let mut out = String::new();
    write_value(value, &style, 0, &mut out)?;
    Ok(Value::from(out))
}

fn write_value(value: &Value, style: &Style, depth: usize, out: &mut String) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        let message = "tojson: nested deeper than 64 levels";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    // Text costs at most six bytes for one; what lies between items is charged with them.
    let indent = style.indent.unwrap_or(0) * (depth + 1);
    charge(16 + indent + value.as_str().map_or(0, |text| 6 * text.len()))?;
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number_text(value)),
        ValueKind::String => write_string(value.as_str().unwrap_or_default(), style, out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut count = 0;
            for item in value.try_iter()? {
                begin_item(count, style, depth + 1, out);
                write_value(&item, style, depth + 1, out)?;
                count += 1;
            }
            end_items(count, style, depth, out);
            out.push(']');
        }
        ValueKind::Map => write_map(value, style, depth, out)?,
        kind => {
            let message = format!("tojson: {kind} is not JSON serializable");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    }
    Ok(())
}

fn write_map(value: &Value, style: &Style, depth: usize, out: &mut String) -> Result<(), Error> {
    let mut keys: Vec<Value> = value.try_iter()?.collect();
    if style.sort_keys {
        keys.sort();
    }
    out.push('{');
    for (count, key) in keys.iter().enumerate() {
        begin_item(count, style, depth + 1, out);
        match key.kind() {
            ValueKind::String => write_string(key.as_str().unwrap_or_default(), style, out),
            ValueKind::Bool => out.push_str(if key.is_true() { "\"true\"" } else { "\"false\"" }),
            ValueKind::None => out.push_str("\"null\""),
            _ => write_string(&number_text(key), style, out),
        }
        out.push_str(&style.key_separator);
        write_value(&value.get_item(key)?, style, depth + 1, out)?;
    }
    end_items(keys.len(), style, depth, out);
    out.push('}');
    Ok(())
}

fn begin_item(count: usize, style: &Style, depth: usize, out: &mut String) {
    if count > 0 {
        out.push_str(&style.item_separator);
    }
    break_line(style, depth, out);
}

fn end_items(count: usize, style: &Style, depth: usize, out: &mut String) {
    if count > 0 {
        break_line(style, depth, out);
    }
}

fn break_line(style: &Style, depth: usize, out: &mut String) {
    if let Some(width) = style.indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', width * depth));
    }
}

fn write_string(text: &str, style: &Style, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other if style.ensure_ascii && other > '~' => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
