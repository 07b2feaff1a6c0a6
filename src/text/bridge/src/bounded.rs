// SPDX-License-Identifier: Apache-2.0
//! Bounds on what a template may make. Fuel counts instructions, and one instruction can double a
//! string; so every instruction that makes text or lists is replaced by, or followed by, a call into
//! this file, which charges what is made to the allowance of the rendering before it is made.
//!
//! What is only read is charged too, at a sixteenth, since one instruction can read all there is; and
//! for what that leaves, the rendering has a limit of processor time.
//!
//! The allowance belongs to the thread: a rendering begins and ends on one.

use std::sync::OnceLock;

use minijinja::machinery::{Instruction, Instructions};
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, Expression};

use crate::allowance::{
    charge, charge_reading_of, charge_result, exceeded, item_count, left, product, string_bytes,
    text_bytes, DEPTH_MAX, ITEM_BYTES, READ_SHARE,
};
use crate::python_text::write_text;

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

struct Operators {
    add: Expression<'static, 'static>,
    multiply: Expression<'static, 'static>,
    equal: Expression<'static, 'static>,
    less: Expression<'static, 'static>,
    at_most: Expression<'static, 'static>,
    at_least: Expression<'static, 'static>,
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
        at_most: compiled("a <= b"),
        at_least: compiled("a >= b"),
        contains: compiled("a in b"),
    })
}

fn apply(operator: &Expression, a: &Value, b: &Value) -> Result<Value, Error> {
    operator.eval(Value::from_pairs([("a", a.clone()), ("b", b.clone())]))
}

/// What reading both values costs, beyond that of small ones.
fn charge_reading(a: &Value, b: &Value) -> Result<(), Error> {
    charge_reading_of(a)?;
    charge_reading_of(b)
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
    comparison!("<=", a, b, apply(&operators().at_most, a, b));
    comparison!(">=", a, b, apply(&operators().at_least, a, b));
    comparison!("in", item, collection, apply(&operators().contains, item, collection));
    environment.add_function("|result", |value: Value| {
        charge_result(&value)?;
        Ok::<_, Error>(value)
    });
    // The last argument of a call may be its options.
    environment.add_function("|read", |given: Rest<ValueOrKwargs>| {
        let value = given.into_values().pop().unwrap_or_default();
        charge_reading_of(&value)?;
        Ok::<_, Error>(value)
    });
    environment.add_function("|text", |value: Value| {
        charge(string_bytes(&value) / READ_SHARE)?;
        Ok::<_, Error>(value)
    });
    environment.add_function("|kept", |value: Value| {
        check_free_of_namespaces(&value, 0)?;
        Ok::<_, Error>(value)
    });
    environment.add_function("|nested", |value: Value| {
        charge(product(item_count(&value, 0, left() / ITEM_BYTES)?, ITEM_BYTES))?;
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
        I::Lte => out.push(call("<=")),
        I::Gte => out.push(call(">=")),
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
        // Of a chain of comparisons, and of methods that compare: no more is read than the last
        // operand holds.
        I::CompareAndPreserve(_) => {
            out.extend([I::CallFunction("|read", Some(1)), instruction.clone()]);
        }
        I::CallMethod(..) => {
            out.extend([I::CallFunction("|read", Some(1)), instruction.clone()]);
            out.push(I::CallFunction("|result", Some(1)));
        }
        // Characters of a text are counted from its beginning.
        I::PushLoop(_) => out.extend([I::CallFunction("|text", Some(1)), instruction.clone()]),
        I::GetItem => {
            out.extend([I::Swap, I::CallFunction("|text", Some(1)), I::Swap, instruction.clone()]);
        }
        I::ApplyFilter(..) | I::CallFunction(..) | I::Slice => {
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
