// SPDX-License-Identifier: Apache-2.0
//! Filters and tests that charge before they work.

use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

use crate::allowance::{
    charge, charge_arguments, charge_reading_of, charge_text_operation, product, text_of,
};

/// Filters that make text or lists of a size of their own: the filter of the name is the one that
/// checks, the engine's is moved to a name that no template can write.
pub fn guard_filters(environment: &mut Environment) {
    use minijinja::filters;
    macro_rules! guard {
        ($($name:literal => $filter:path),* $(,)?) => {$(
            environment.add_filter(concat!("|", $name), $filter);
            environment.add_filter($name, |state: &mut State, given: Rest<ValueOrKwargs>| {
                let arguments = given.into_values();
                charge_arguments($name, &arguments)?;
                charge_text_operation($name, &arguments)?;
                state.apply_filter(concat!("|", $name), &arguments)
            });
        )*};
    }
    guard! {
        "join" => filters::join, "replace" => filters::replace, "indent" => filters::indent,
        "format" => filters::format, "upper" => filters::upper, "lower" => filters::lower,
        "title" => filters::title, "capitalize" => filters::capitalize, "trim" => filters::trim,
        "split" => filters::split, "lines" => filters::lines, "list" => filters::list,
        "batch" => filters::batch, "slice" => filters::slice, "sum" => filters::sum,
        "sort" => filters::sort, "unique" => filters::unique, "groupby" => filters::groupby,
        "dictsort" => filters::dictsort, "length" => filters::length, "count" => filters::length,
        "first" => filters::first, "last" => filters::last, "reverse" => filters::reverse,
        "min" => filters::min, "max" => filters::max, "int" => filters::int,
        "float" => filters::float, "items" => filters::items, "map" => filters::map,
        "select" => filters::select, "reject" => filters::reject,
        "selectattr" => filters::selectattr, "rejectattr" => filters::rejectattr,
    }
    // Not in Jinja2; a chain of chains would be walked by a recursion.
    environment.remove_filter("chain");
    environment.remove_filter("zip");
    environment.add_filter("string", |value: &Value| text_of(value));
    environment.add_filter("e", |value: &Value| escaped(value));
    environment.add_filter("escape", |value: &Value| escaped(value));
    // What prints values in ways of its own has no place in a prompt.
    environment.remove_filter("pprint");
    environment.remove_filter("urlencode");
    environment.remove_global("debug");
}

/// Tests that read all of their arguments.
pub fn guard_tests(environment: &mut Environment) {
    use minijinja::tests;
    macro_rules! guard {
        ($($name:literal => $test:path),* $(,)?) => {$(
            environment.add_test(concat!("|", $name), $test);
            environment.add_test($name, |state: &mut State, arguments: Rest<Value>| {
                for argument in arguments.iter() {
                    charge_reading_of(argument)?;
                }
                state.perform_test(concat!("|", $name), &arguments)
            });
        )*};
    }
    guard! {
        "startingwith" => tests::is_startingwith, "endingwith" => tests::is_endingwith,
        "lower" => tests::is_lower, "upper" => tests::is_upper, "eq" => tests::is_eq,
        "equalto" => tests::is_eq, "==" => tests::is_eq, "ne" => tests::is_ne,
        "!=" => tests::is_ne, "lt" => tests::is_lt, "lessthan" => tests::is_lt,
        "<" => tests::is_lt, "le" => tests::is_le, "<=" => tests::is_le, "gt" => tests::is_gt,
        "greaterthan" => tests::is_gt, ">" => tests::is_gt, "ge" => tests::is_ge,
        ">=" => tests::is_ge, "in" => tests::is_in, "sameas" => tests::is_sameas,
    }
    // The engine's own divides by zero.
    let integer = |value: &Value| i128::try_from(value.clone()).ok();
    environment.add_test("divisibleby", move |value: &Value, by: &Value| {
        let (value, by) = (integer(value), integer(by));
        match (value, by) {
            (Some(_), Some(0)) => Err(Error::new(ErrorKind::InvalidOperation, "divisible by zero")),
            (Some(value), Some(by)) => Ok(value.checked_rem(by).is_none_or(|rest| rest == 0)),
            _ => Ok(false),
        }
    });
}

/// HTML's five characters, as Jinja2 writes them.
fn escaped(value: &Value) -> Result<Value, Error> {
    let text = text_of(value)?;
    let text = text.as_str().unwrap_or_default();
    charge(product(text.len(), 5))?;
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            other => out.push(other),
        }
    }
    Ok(Value::from(out))
}
