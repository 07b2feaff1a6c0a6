// SPDX-License-Identifier: Apache-2.0
//! Values as Python writes them: `str()` of what a template shows, `repr()` of what that holds.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::allowance::DEPTH_MAX;

fn full(_: std::fmt::Error) -> Error {
    Error::new(ErrorKind::WriteFailure, "output limit")
}

/// `repr()` of a float: the fewest digits that give it back, with an exponent where Python has one.
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

pub fn number_text(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float_text)
}

/// `str(value)`; what is undefined shows nothing.
pub fn write_text(value: &Value, out: &mut impl Write) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::String => out.write_str(value.as_str().unwrap_or_default()).map_err(full),
        _ => write_repr(value, 0, out),
    }
}

fn write_repr(value: &Value, depth: usize, out: &mut impl Write) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        let message = "a value is nested deeper than 64 levels";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    match value.kind() {
        ValueKind::None => out.write_str("None").map_err(full),
        ValueKind::Undefined => out.write_str("Undefined").map_err(full),
        ValueKind::Bool => {
            out.write_str(if value.is_true() { "True" } else { "False" }).map_err(full)
        }
        ValueKind::Number => out.write_str(&number_text(value)).map_err(full),
        ValueKind::String => write_quoted(value.as_str().unwrap_or_default(), out).map_err(full),
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[').map_err(full)?;
            for (count, item) in value.try_iter()?.enumerate() {
                if count > 0 {
                    out.write_str(", ").map_err(full)?;
                }
                write_repr(&item, depth + 1, out)?;
            }
            out.write_char(']').map_err(full)
        }
        ValueKind::Map => {
            out.write_char('{').map_err(full)?;
            for (count, key) in value.try_iter()?.enumerate() {
                if count > 0 {
                    out.write_str(", ").map_err(full)?;
                }
                write_repr(&key, depth + 1, out)?;
                out.write_str(": ").map_err(full)?;
                write_repr(&value.get_item(&key)?, depth + 1, out)?;
            }
            out.write_char('}').map_err(full)
        }
        // Functions, loops and the like; a macro's result is a string.
        _ => write!(out, "<{}>", value.kind()).map_err(full),
    }
}

/// Python prefers single quotes.
fn write_quoted(text: &str, out: &mut impl Write) -> std::fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c == quote => {
                out.write_char('\\')?;
                out.write_char(c)?;
            }
            c if c < ' ' || c == '\u{7f}' => write!(out, "\\x{:02x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char(quote)
}
