// SPDX-License-Identifier: Apache-2.0
//! Bounds on what a template may make. Fuel counts instructions, and one instruction can double a
//! string; so every instruction that makes text or lists is replaced by, or followed by, a call into
//! this file, which charges what is made to the allowance of the rendering before it is made.
//!
//! The allowance belongs to the thread: a rendering begins and ends on one.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::sync::OnceLock;

use minijinja::machinery::{Instruction, Instructions};
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, Expression, State};

use crate::python_text::write_text;

/// What an item of a list costs beside its text.
const ITEM_BYTES: usize = 32;
/// Values inside each other.
pub const DEPTH_MAX: usize = 64;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static EXCEEDED: Cell<bool> = const { Cell::new(false) };
}

/// Begins a rendering that may make this many bytes of values.
pub fn begin(bytes: usize) {
    LEFT.set(bytes);
    EXCEEDED.set(false);
}

/// Whether the rendering ended for want of allowance.
pub fn is_exceeded() -> bool {
    EXCEEDED.get()
}

pub fn exceeded() -> Error {
    EXCEEDED.set(true);
    Error::new(ErrorKind::InvalidOperation, "the values of the template take too much memory")
}

pub fn charge(bytes: usize) -> Result<(), Error> {
    match LEFT.get().checked_sub(bytes) {
        Some(left) => {
            LEFT.set(left);
            Ok(())
        }
        None => Err(exceeded()),
    }
}

fn product(a: usize, b: usize) -> usize {
    a.saturating_mul(b)
}

/// Counts what is written up to the allowance that is left.
struct Counter {
    bytes: usize,
}
impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len();
        if self.bytes > LEFT.get() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// Bytes of `value` as text.
fn text_bytes(value: &Value) -> Result<usize, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.len());
    }
    let mut counter = Counter { bytes: 0 };
    write_text(value, &mut counter).map_err(|error| {
        if counter.bytes > LEFT.get() {
            exceeded()
        } else {
            error
        }
    })?;
    Ok(counter.bytes)
}

/// Items of `value` and of what it holds, counted as often as they occur.
fn item_count(value: &Value, depth: usize, limit: usize) -> Result<usize, Error> {
    if depth > DEPTH_MAX {
        return Err(exceeded());
    }
    let mut count = 1;
    match value.kind() {
        ValueKind::Seq | ValueKind::Map if value.len().is_some() => {
            for item in value.try_iter()? {
                count += item_count(&item, depth + 1, limit.saturating_sub(count))?;
                if value.kind() == ValueKind::Map {
                    let held = value.get_item(&item)?;
                    count += item_count(&held, depth + 1, limit.saturating_sub(count))?;
                }
                if count > limit {
                    return Err(exceeded());
                }
            }
        }
        _ => {}
    }
    Ok(count)
}

/// Refuses a value that holds a namespace. Namespaces alone can change, so one that is kept in
/// itself, through however many lists, would be a cycle of counted references that is never freed.
fn check_free_of_namespaces(value: &Value, depth: usize) -> Result<(), Error> {
    let is_namespace = |value: &Value| {
        value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
    };
    if is_namespace(value) {
        let message = "a namespace cannot be kept in a namespace";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    if depth > DEPTH_MAX {
        return Err(exceeded());
    }
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        for item in value.try_iter()? {
            charge(1)?;
            check_free_of_namespaces(&item, depth + 1)?;
            if value.kind() == ValueKind::Map {
                check_free_of_namespaces(&value.get_item(&item)?, depth + 1)?;
            }
        }
    }
    Ok(())
}

/// What a value just made by a filter, function or method costs.
pub fn charge_result(value: &Value) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return charge(text.len());
    }
    charge(product(value.len().unwrap_or(0), ITEM_BYTES))
}

/// Charges what a text operation is about to make: `arguments` begin with the text itself.
pub fn charge_text_operation(name: &str, arguments: &[Value]) -> Result<(), Error> {
    let Some(value) = arguments.first() else { return Ok(()) };
    let text_at = |index: usize| arguments.get(index).and_then(Value::as_str).unwrap_or("");
    let bytes = match name {
        // 'separator'.join(list) and list | join(separator).
        "join" => {
            let (list, separator) = match value.as_str() {
                Some(separator) if arguments.len() > 1 => (&arguments[1], separator),
                _ => (value, text_at(1)),
            };
            let gaps = list.len().unwrap_or(0);
            text_bytes(list)?.saturating_add(product(gaps, separator.len()))
        }
        "replace" => {
            let text = value.as_str().unwrap_or("");
            let hits = match text_at(1) {
                "" => text.len() + 1,
                from => text.matches(from).count(),
            };
            text_bytes(value)?.saturating_add(product(hits, text_at(2).len()))
        }
        "indent" => {
            let lines = value.as_str().unwrap_or("").lines().count() + 1;
            let width = arguments
                .iter()
                .skip(1)
                .filter_map(|width| {
                    width.as_usize().or_else(|| width.get_attr("width").ok()?.as_usize())
                })
                .max();
            text_bytes(value)?.saturating_add(product(lines, width.unwrap_or(4)))
        }
        "format" => {
            let format = value.as_str().unwrap_or("");
            if format.as_bytes().windows(5).any(|part| part.iter().all(u8::is_ascii_digit)) {
                return Err(exceeded());
            }
            // No field is wider than four digits say, and none shows more than all arguments.
            let fields = format.matches(['%', '{']).count();
            let mut shown = 9999;
            for argument in &arguments[1..] {
                shown += text_bytes(argument)?;
            }
            format.len().saturating_add(product(fields, shown))
        }
        // At most six bytes for one, as escapes of JSON and HTML.
        "string" | "upper" | "lower" | "title" | "capitalize" | "trim" | "strip" | "lstrip"
        | "rstrip" | "escape" | "e" | "safe" | "pprint" | "split" | "splitlines" | "lines"
        | "urlencode" | "sum" | "list" => match value.kind() {
            ValueKind::String => text_bytes(value)?,
            _ => product(value.len().unwrap_or(0), ITEM_BYTES),
        },
        // Comparing and hashing costs time, not memory: charged for good.
        "sort" | "unique" | "groupby" | "dictsort" => {
            charge(product(value.len().unwrap_or(0), 8 * ITEM_BYTES))?;
            0
        }
        "batch" | "slice" => {
            let count = arguments.get(1).and_then(Value::as_usize).unwrap_or(0);
            product(count.saturating_add(value.len().unwrap_or(0)), ITEM_BYTES)
        }
        _ => 0,
    };
    // Charged again as a result; here it only has to fit.
    if bytes > LEFT.get() {
        return Err(exceeded());
    }
    Ok(())
}

/// Filters that make text or lists of a size of their own: the filter of the name is the one that
/// checks, the engine's is moved to a name that no template can write.
pub fn guard_filters(environment: &mut Environment) {
    use minijinja::filters;
    macro_rules! guard {
        ($($name:literal => $filter:path),* $(,)?) => {$(
            environment.add_filter(concat!("|", $name), $filter);
            environment.add_filter($name, |state: &mut State, given: Rest<ValueOrKwargs>| {
                let arguments = given.into_values();
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
        "dictsort" => filters::dictsort,
    }
    environment.add_filter("string", |value: &Value| text_of(value));
    environment.add_filter("e", |value: &Value| escaped(value));
    environment.add_filter("escape", |value: &Value| escaped(value));
    // What prints values in ways of its own has no place in a prompt.
    environment.remove_filter("pprint");
    environment.remove_filter("urlencode");
    environment.remove_global("debug");
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

/// `value` as text, within the allowance.
pub fn text_of(value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    charge(text_bytes(value)?)?;
    let mut text = String::new();
    write_text(value, &mut text)?;
    Ok(Value::from(text))
}

struct Operators {
    add: Expression<'static, 'static>,
    multiply: Expression<'static, 'static>,
    equal: Expression<'static, 'static>,
    less: Expression<'static, 'static>,
    contains: Expression<'static, 'static>,
}

/// The engine's own operators, which have no name outside of it.
fn operators() -> &'static Operators {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    static OPERATORS: OnceLock<Operators> = OnceLock::new();
    let environment = ENVIRONMENT.get_or_init(Environment::new);
    let compiled = |source| environment.compile_expression(source).expect("an expression of ours");
    OPERATORS.get_or_init(|| Operators {
        add: compiled("a + b"),
        multiply: compiled("a * b"),
        equal: compiled("a == b"),
        less: compiled("a < b"),
        contains: compiled("a in b"),
    })
}

fn apply(operator: &Expression, a: &Value, b: &Value) -> Result<Value, Error> {
    operator.eval(Value::from_pairs([("a", a.clone()), ("b", b.clone())]))
}

/// What reading both values costs, beyond that of small ones.
fn charge_reading(a: &Value, b: &Value) -> Result<(), Error> {
    for value in [a, b] {
        match value.kind() {
            ValueKind::String => {
                let bytes = value.as_str().map_or(0, str::len);
                charge(bytes.saturating_sub(64) / 16)?;
            }
            ValueKind::Seq | ValueKind::Map => {
                charge(item_count(value, 0, LEFT.get())?)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        charge(left.len() + right.len())?;
        return Ok(Value::from([left, right].concat()));
    }
    let items = a.len().unwrap_or(0) + b.len().unwrap_or(0);
    charge(product(items, ITEM_BYTES))?;
    apply(&operators().add, a, b)
}

fn concat(a: &Value, b: &Value) -> Result<Value, Error> {
    charge(text_bytes(a)?.saturating_add(text_bytes(b)?))?;
    let mut text = String::new();
    write_text(a, &mut text)?;
    write_text(b, &mut text)?;
    Ok(Value::from(text))
}

fn multiply(a: &Value, b: &Value) -> Result<Value, Error> {
    for (value, count) in [(a, b), (b, a)] {
        let Some(count) = count.as_usize() else { continue };
        if let Some(text) = value.as_str() {
            charge(product(text.len(), count))?;
        } else if let Some(items) = value.len() {
            charge(product(product(items, count), ITEM_BYTES))?;
        }
    }
    apply(&operators().multiply, a, b)
}

fn negated(result: Result<Value, Error>) -> Result<Value, Error> {
    result.map(|value| Value::from(!value.is_true()))
}

/// The functions that stand for instructions; templates cannot write such names.
pub fn add_functions(environment: &mut Environment) {
    environment.add_function("+", |a: &Value, b: &Value| add(a, b));
    environment.add_function("~", |a: &Value, b: &Value| concat(a, b));
    environment.add_function("*", |a: &Value, b: &Value| multiply(a, b));
    macro_rules! comparison {
        ($name:literal, $a:ident, $b:ident, $result:expr) => {
            environment.add_function($name, |$a: &Value, $b: &Value| {
                charge_reading($a, $b)?;
                $result
            });
        };
    }
    comparison!("==", a, b, apply(&operators().equal, a, b));
    comparison!("!=", a, b, negated(apply(&operators().equal, a, b)));
    comparison!("<", a, b, apply(&operators().less, a, b));
    comparison!(">", a, b, apply(&operators().less, b, a));
    comparison!("in", item, collection, apply(&operators().contains, item, collection));
    environment.add_function("|result", |value: Value| {
        charge_result(&value)?;
        Ok::<_, Error>(value)
    });
    environment.add_function("|kept", |value: Value| {
        check_free_of_namespaces(&value, 0)?;
        Ok::<_, Error>(value)
    });
    environment.add_function("|nested", |value: Value| {
        charge(product(item_count(&value, 0, LEFT.get() / ITEM_BYTES)?, ITEM_BYTES))?;
        Ok::<_, Error>(value)
    });
}

/// What an instruction becomes: itself, another one, or itself and a check.
fn bounded<'s>(instruction: &Instruction<'s>, out: &mut Vec<Instruction<'s>>) {
    use Instruction as I;
    let call = |name| I::CallFunction(name, Some(2));
    match instruction {
        I::Add => out.push(call("+")),
        I::StringConcat => out.push(call("~")),
        I::Mul => out.push(call("*")),
        I::Eq => out.push(call("==")),
        I::Ne => out.push(call("!=")),
        I::Lt => out.push(call("<")),
        I::Gt => out.push(call(">")),
        I::In => out.push(call("in")),
        // Through Emit, which charges.
        I::EmitRaw(text) => out.extend([I::LoadConst(Value::from(*text)), I::Emit]),
        I::BuildList(_) | I::BuildTuple(_) | I::BuildMap(_) => {
            out.extend([instruction.clone(), I::CallFunction("|nested", Some(1))]);
        }
        // The value lies below the namespace that it is for.
        I::SetAttr(_) => {
            out.extend([I::Swap, I::CallFunction("|kept", Some(1)), I::Swap, instruction.clone()]);
        }
        I::ApplyFilter(..) | I::CallFunction(..) | I::CallMethod(..) | I::Slice => {
            out.extend([instruction.clone(), I::CallFunction("|result", Some(1))]);
        }
        other => out.push(other.clone()),
    }
}

/// Compiled instructions with the checks in them.
pub fn bound<'s>(name: &'s str, source: &'s str, given: &Instructions<'s>) -> Instructions<'s> {
    let mut made: Vec<(Instruction<'s>, usize)> = Vec::new();
    let mut place = Vec::new(); // of each given instruction among those made
    let mut at = 0;
    while let Some(instruction) = given.get(at) {
        place.push(made.len() as u32);
        let line = given.get_line(at).unwrap_or(0);
        let mut parts = Vec::with_capacity(2);
        bounded(instruction, &mut parts);
        made.extend(parts.into_iter().map(|part| (part, line)));
        at += 1;
    }
    place.push(made.len() as u32);
    let mut out = Instructions::new(name, source);
    for (mut instruction, line) in made {
        use Instruction as I;
        match &mut instruction {
            I::Iterate(target)
            | I::Jump(target)
            | I::JumpIfFalse(target)
            | I::JumpIfFalseOrPop(target)
            | I::JumpIfTrueOrPop(target)
            | I::BuildMacro(_, target, _) => *target = place[*target as usize],
            _ => {}
        }
        out.add_with_line(instruction, u16::try_from(line).unwrap_or(u16::MAX));
    }
    out
}
