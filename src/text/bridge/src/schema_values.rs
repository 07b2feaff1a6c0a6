// SPDX-License-Identifier: Apache-2.0
//! Values of keywords: numbers that are computed with exactly, formats that are known, options that
//! exclude each other.

use serde_json::{json, Map, Value};

use crate::schema::{refused, FORMATS};
use crate::schema_refs::{resolve, target_of};
use crate::status::Failure;

/// llguidance computes with doubles: greater integers would be rounded, and other values allowed.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
const DIVISOR_MAX: u64 = 10_000;
/// Of names followed while two options are compared.
const COMPARED_DEPTH_MAX: usize = 16;

pub fn check_count(value: &Value, limit: u64, at: &str, keyword: &str) -> Result<(), Failure> {
    // 3.0 is an integer for JSON Schema, but for llguidance it is none.
    match value.as_u64() {
        None => Err(refused(at, keyword, "it must be an integer of at least 0")),
        Some(count) if count > limit => {
            Err(refused(at, keyword, &format!("{count} is more than the limit of {limit}")))
        }
        Some(_) => Ok(()),
    }
}

pub fn check_number(value: &Value, at: &str, keyword: &str) -> Result<(), Failure> {
    let Some(number) = value.as_f64() else {
        return Err(refused(at, keyword, "it must be a number"));
    };
    if number.abs() >= EXACT_MAX {
        return Err(refused(at, keyword, "numbers from 2^53 on are not supported"));
    }
    if keyword == "multipleOf" {
        return check_divisor(value, number, at);
    }
    Ok(())
}

/// A divisor is compiled to as many states as its digits say, without the decimal point.
fn check_divisor(value: &Value, number: f64, at: &str) -> Result<(), Failure> {
    if number <= 0.0 {
        return Err(refused(at, "multipleOf", "it must be greater than 0"));
    }
    let digits: String = value.to_string().chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0').trim_end_matches('0');
    let is_short = value.to_string().chars().all(|c| c.is_ascii_digit() || c == '.');
    let states: u64 = digits.parse().unwrap_or(u64::MAX);
    if !is_short || states > DIVISOR_MAX || number > DIVISOR_MAX as f64 || number < 1e-6 {
        let why =
            format!("its digits must make a number of at most {DIVISOR_MAX}, from 0.000001 on");
        return Err(refused(at, "multipleOf", &why));
    }
    Ok(())
}

/// A value of const or enum.
pub fn check_literal(value: &Value, at: &str, keyword: &str) -> Result<(), Failure> {
    match value {
        Value::Number(_) => check_number(value, at, keyword),
        Value::Array(members) => members.iter().try_for_each(|v| check_literal(v, at, keyword)),
        Value::Object(members) => members.values().try_for_each(|v| check_literal(v, at, keyword)),
        _ => Ok(()),
    }
}

fn has_type(keywords: &Map<String, Value>, name: &str) -> bool {
    match keywords.get("type") {
        None => true,
        Some(Value::Array(names)) => names.iter().any(|n| n == name),
        Some(single) => single == name,
    }
}

fn is_number_format(format: &str) -> bool {
    matches!(format, "int32" | "int64" | "float" | "double")
}

pub fn check_format(format: &str, all: &Map<String, Value>, at: &str) -> Result<(), Failure> {
    if FORMATS.contains(&format) || (is_number_format(format) && !has_type(all, "string")) {
        return Ok(());
    }
    let shown: String = format.chars().take(40).collect();
    let why = format!("\"{shown}\" is not supported; known are {}", FORMATS.join(", "));
    Err(refused(at, "format", &why))
}

/// A day of the calendar: llguidance's own format has a 29th of February in every year.
macro_rules! day {
    () => {
        concat!(
            "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
            "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))",
            "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
        )
    };
}
/// A time of the day with its zone, without the leap seconds that only some minutes have.
macro_rules! time {
    () => {
        concat!(
            "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,9})?",
            "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
        )
    };
}

/// What a format is compiled as beside what llguidance knows of it.
fn stricter(format: &str) -> Option<&'static str> {
    match format {
        "date" => Some(concat!("^", day!(), "$")),
        "time" => Some(concat!("^", time!(), "$")),
        "date-time" => Some(concat!("^", day!(), "T", time!(), "$")),
        _ => None,
    }
}

/// Formats of dates as patterns that hold to the calendar.
pub fn sharpen_format(keywords: &mut Map<String, Value>) {
    let format = keywords.get("format").and_then(Value::as_str);
    let Some(pattern) = format.and_then(stricter) else { return };
    keywords.shift_remove("format");
    if !keywords.contains_key("pattern") {
        keywords.insert("pattern".to_string(), json!(pattern));
        return;
    }
    let parts = keywords.entry("allOf").or_insert_with(|| json!([]));
    if let Value::Array(parts) = parts {
        parts.push(json!({ "pattern": pattern }));
    }
}

/// int32 and int64 of OpenAPI as the bounds that they are; float and double bound nothing that has
/// digits.
pub fn bound_integers(keywords: &mut Map<String, Value>, at: &str) -> Result<(), Failure> {
    let Some(format) = keywords.get("format").and_then(Value::as_str).map(str::to_string) else {
        return Ok(());
    };
    if !is_number_format(&format) {
        return Ok(());
    }
    keywords.shift_remove("format");
    if format != "int32" {
        return Ok(());
    }
    for (keyword, bound) in [("minimum", f64::from(i32::MIN)), ("maximum", f64::from(i32::MAX))] {
        let given = keywords.get(keyword).and_then(Value::as_f64);
        let kept = match (keyword, given) {
            (_, None) => bound,
            ("minimum", Some(given)) => given.max(bound),
            (_, Some(given)) => given.min(bound),
        };
        if keywords.get(&format!("exclusiveM{}", &keyword[1..])).is_some_and(Value::is_boolean) {
            return Err(refused(at, "format", "int32 is not supported with an exclusive true"));
        }
        if given != Some(kept) {
            keywords.insert(keyword.to_string(), json!(kept as i64));
        }
    }
    Ok(())
}

fn followed<'a>(
    root: &'a Value,
    schema: &'a Value,
    depth: usize,
) -> Option<&'a Map<String, Value>> {
    let keywords = schema.as_object()?;
    // A name with anything beside it is more than what it names, never less.
    match keywords.get("$ref").and_then(Value::as_str) {
        Some(name) if depth < COMPARED_DEPTH_MAX => {
            followed(root, resolve(root, &target_of(name)?)?, depth + 1)
        }
        _ => Some(keywords),
    }
}

fn literals(keywords: &Map<String, Value>) -> Option<Vec<&Value>> {
    if let Some(value) = keywords.get("const") {
        return Some(vec![value]);
    }
    keywords.get("enum")?.as_array().map(|values| values.iter().collect())
}

fn type_names(keywords: &Map<String, Value>) -> Option<Vec<&str>> {
    match keywords.get("type")? {
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        single => Some(vec![single.as_str()?]),
    }
}

fn is_numeric(name: &str) -> bool {
    name == "integer" || name == "number"
}

/// Whether no value is valid for both. False when that is not plain to see.
pub fn exclude_each_other(root: &Value, a: &Value, b: &Value, depth: usize) -> bool {
    if depth > COMPARED_DEPTH_MAX {
        return false;
    }
    let (Some(a), Some(b)) = (followed(root, a, 0), followed(root, b, 0)) else { return false };
    if let (Some(left), Some(right)) = (literals(a), literals(b)) {
        // 1 and 1.0 are one value; texts, true, false and null are compared with certainty.
        let is_plain = |v: &&Value| v.is_string() || v.is_boolean() || v.is_null();
        if left.iter().all(is_plain) && right.iter().all(is_plain) {
            let right: std::collections::HashSet<&Value> = right.into_iter().collect();
            return !left.iter().any(|value| right.contains(value));
        }
    }
    if let (Some(left), Some(right)) = (type_names(a), type_names(b)) {
        let overlap = |x: &&str| right.iter().any(|y| x == y || (is_numeric(x) && is_numeric(y)));
        if !left.iter().any(overlap) {
            return true;
        }
        if left != ["object"] || right != ["object"] {
            return false;
        }
    }
    // Objects that both need a property in which they differ.
    let names = |keywords: &Map<String, Value>| -> Vec<String> {
        let required = keywords.get("required").and_then(Value::as_array);
        required.map_or(Vec::new(), |names| {
            names.iter().filter_map(Value::as_str).map(str::to_string).collect()
        })
    };
    let are_objects = [a, b].iter().all(|k| k.get("type") == Some(&json!("object")));
    let others = names(b);
    are_objects
        && names(a).iter().filter(|name| others.contains(name)).any(|name| {
            let property = |keywords: &Map<String, Value>| {
                keywords.get("properties").and_then(|p| p.get(name)).cloned()
            };
            match (property(a), property(b)) {
                (Some(left), Some(right)) => exclude_each_other(root, &left, &right, depth + 1),
                _ => false,
            }
        })
}
