// SPDX-License-Identifier: Apache-2.0
//! What one rendering may make, read and take: bytes of text and list items, and processor time. The
//! allowance belongs to the thread: a rendering begins and ends on one.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::time::Duration;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::python_text::write_text;

/// What an item of a list costs beside its text.
pub const ITEM_BYTES: usize = 32;
/// Bytes of text that are read for the price of one that is made.
pub const READ_SHARE: usize = 16;
/// Charges between two looks at the clock, which is a call of the system.
const CHARGES_PER_LOOK: u32 = 256;
/// Values inside each other.
pub const DEPTH_MAX: usize = 64;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static EXCEEDED: Cell<bool> = const { Cell::new(false) };
    static LATE: Cell<bool> = const { Cell::new(false) };
    static END: Cell<Duration> = const { Cell::new(Duration::MAX) };
    static CHARGES: Cell<u32> = const { Cell::new(0) };
}

/// Processor time of this thread: a busy machine makes no rendering late.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec; the clock of the calling thread always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Begins a rendering that may make this many bytes of values in this time.
pub fn begin(bytes: usize, time: Duration) {
    LEFT.set(bytes);
    EXCEEDED.set(false);
    LATE.set(false);
    END.set(thread_time() + time);
    CHARGES.set(0);
}

/// Whether the rendering ended for want of time.
pub fn is_late() -> bool {
    LATE.get()
}

fn check_time() -> Result<(), Error> {
    if thread_time() <= END.get() {
        return Ok(());
    }
    LATE.set(true);
    Err(Error::new(ErrorKind::InvalidOperation, "the rendering takes too long"))
}

/// Whether the rendering ended for want of allowance.
pub fn is_exceeded() -> bool {
    EXCEEDED.get()
}

pub fn exceeded() -> Error {
    EXCEEDED.set(true);
    Error::new(ErrorKind::InvalidOperation, "the values of the template take too much memory")
}

/// What is left to make.
pub fn left() -> usize {
    LEFT.get()
}

pub fn charge(bytes: usize) -> Result<(), Error> {
    CHARGES.set(CHARGES.get() + 1);
    if CHARGES.get() >= CHARGES_PER_LOOK || bytes >= 1 << 16 {
        CHARGES.set(0);
        check_time()?;
    }
    match LEFT.get().checked_sub(bytes) {
        Some(left) => {
            LEFT.set(left);
            Ok(())
        }
        None => Err(exceeded()),
    }
}

pub fn product(a: usize, b: usize) -> usize {
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
pub fn text_bytes(value: &Value) -> Result<usize, Error> {
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
pub fn item_count(value: &Value, depth: usize, limit: usize) -> Result<usize, Error> {
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

/// What it costs to read `value` and all that it holds, as comparing and hashing do.
pub fn reading_cost(value: &Value, depth: usize, limit: usize) -> Result<usize, Error> {
    if depth > DEPTH_MAX {
        return Err(exceeded());
    }
    if let Some(text) = value.as_str() {
        return Ok(1 + text.len() / READ_SHARE);
    }
    let mut cost = 1;
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        for item in value.try_iter()? {
            cost += reading_cost(&item, depth + 1, limit.saturating_sub(cost))?;
            if value.kind() == ValueKind::Map {
                let held = value.get_item(&item)?;
                cost += reading_cost(&held, depth + 1, limit.saturating_sub(cost))?;
            }
            if cost > limit {
                return Err(exceeded());
            }
        }
    }
    Ok(cost)
}

pub fn charge_reading_of(value: &Value) -> Result<(), Error> {
    charge(reading_cost(value, 0, LEFT.get())?)
}

/// Text among `arguments` is read once, or once for each of `times` items. Text in options such as
/// `attribute` counts like any other.
pub fn charge_texts(arguments: &[Value], times: usize) -> Result<(), Error> {
    let mut bytes = 0_usize;
    for argument in arguments {
        if let Some(text) = argument.as_str() {
            bytes += text.len();
        } else if argument.is_kwargs() {
            for name in argument.try_iter()? {
                bytes += argument.get_item(&name)?.as_str().map_or(0, str::len);
            }
        }
    }
    charge(product(bytes, times) / READ_SHARE)
}

/// Items of a list, a map or whatever can be walked like one; 0 for anything else.
fn length(value: &Value) -> usize {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            let walked = || value.try_iter().map_or(0, |items| items.take(LEFT.get()).count());
            value.len().unwrap_or_else(walked)
        }
        _ => 0,
    }
}

/// What a filter, test or method reads, beside what it makes.
pub fn charge_arguments(name: &str, arguments: &[Value]) -> Result<(), Error> {
    let Some(value) = arguments.first() else { return Ok(()) };
    let items = length(value);
    match name {
        // Every character may be compared with every one of those to strip.
        "strip" | "lstrip" | "rstrip" | "trim" => {
            let set = arguments.get(1).and_then(Value::as_str).map_or(1, str::len);
            charge(product(value.as_str().map_or(0, str::len), set.max(1)) / READ_SHARE)
        }
        // One text or a list of them, which may all be one long text.
        "startswith" | "endswith" => match arguments.get(1) {
            Some(list) if list.as_str().is_none() => charge_reading_of(list),
            _ => charge_texts(&arguments[1..], 1),
        },
        "min" | "max" | "sum" => {
            charge_reading_of(value)?;
            charge_texts(&arguments[1..], items)
        }
        "sort" | "unique" | "groupby" | "dictsort" => {
            let compared = items.checked_ilog2().unwrap_or(0) as usize + 1;
            charge(product(reading_cost(value, 0, LEFT.get())?, compared))?;
            charge_texts(&arguments[1..], items)
        }
        "map" | "select" | "selectattr" | "reject" | "rejectattr" | "batch" | "slice" => {
            charge(items / READ_SHARE)?;
            charge_texts(arguments, items.max(1))
        }
        _ => {
            charge(items / READ_SHARE)?;
            charge_texts(arguments, 1)
        }
    }
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

/// Bytes of the text in `value`; 0 for anything else.
pub fn string_bytes(value: &Value) -> usize {
    value.as_str().map_or(0, str::len)
}
