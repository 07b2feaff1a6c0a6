// SPDX-License-Identifier: Apache-2.0
//! Chat templates, rendered as the `transformers` package renders them: blocks trimmed, loop
//! controls, Python's methods on strings and maps, `raise_exception`, `strftime_now`, `tojson`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use minijinja::machinery::{
    eval, make_string_output, parse, tokenize, CodeGenerator, Instructions, Token,
};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::allowance;
use crate::bounded;
use crate::deep_stack::on_deep_stack;
use crate::guards;
use crate::python_json::tojson;
use crate::status::{Code, Failure};

const NAME: &str = "chat_template";
/// Format strings and results of `strftime_now`, in bytes.
const STRFTIME_BYTES_MAX: usize = 256;

/// Bounds of one rendering, all given by the C++ side.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Template instructions.
    pub fuel: u64,
    /// Nested scopes: loops, macros.
    pub recursion: usize,
    pub output_bytes: usize,
    /// Values that one rendering makes, text and items of lists together.
    pub value_bytes: usize,
    /// Processor time of one rendering.
    pub time: Duration,
}

/// Tokens between `{{` and `}}`, or `{%` and `%}`: bounds how deep an expression can be.
const BLOCK_TOKENS_MAX: usize = 4096;
/// What tags with `*` could make of their constants, were all numbers in them multiplied.
const REPEATED_BYTES_MAX: usize = 1 << 22;
const CONSTANT_ITEM_BYTES: usize = 32;

thread_local! {
    /// What `strftime_now` shows in the rendering of this thread.
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// Immutable, shared by threads. Compiled once: that takes longer than most renderings.
pub struct ChatTemplate {
    // In front of the text that it borrows from: fields are dropped in their order.
    template: Compiled<'static>,
    environment: Environment<'static>,
    _source: Arc<str>,
    limits: Limits,
}

pub struct Render<'a> {
    /// A JSON object of variables: messages, tools and whatever else the template reads.
    pub context: &'a [u8],
    pub bos_token: &'a str,
    pub eos_token: &'a str,
    pub add_generation_prompt: bool,
    /// Seconds since 1970 that `strftime_now` shows, in local time.
    pub now: i64,
}

/// The templates of some models mark what the assistant said for training masks. Rendering for
/// inference ignores the mark, so the tags become ones that do nothing.
fn neutral_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(length) = rest[open + 2..].find("%}").map(|at| at + 2) else { break };
        let tag = &rest[open + 2..open + length];
        let inner = tag.trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace());
        let replacement = match inner {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        let end = open + length + 2;
        match replacement {
            Some(word) => {
                out.push_str(&rest[..open + 2]);
                out.push_str(&tag.replace(inner, &format!(" {word} ")));
                out.push_str("%}");
            }
            None => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Python's methods on strings, maps and lists. `title` is ours: Python begins a word after
/// anything that is not a letter, pycompat after white space only.
fn python_method(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let mut arguments = vec![value.clone()];
    arguments.extend_from_slice(args);
    allowance::charge_arguments(method, &arguments)?;
    allowance::charge_text_operation(method, &arguments)?;
    if let (Some(text), "title", []) = (value.as_str(), method, args) {
        let mut titled = String::with_capacity(text.len());
        let mut inside_word = false;
        for character in text.chars() {
            if inside_word {
                titled.extend(character.to_lowercase());
            } else {
                titled.extend(character.to_uppercase());
            }
            inside_word = character.is_lowercase() || character.is_uppercase();
        }
        return Ok(Value::from(titled));
    }
    unknown_method_callback(state, value, method, args)
}

/// Whatever has a length and items, as in Python: maps and strings too.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
}

/// Whatever Python iterates over; None is not.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// C's strftime on the local time: what Python's datetime.now().strftime calls too.
fn strftime(format: &str, now: i64) -> Result<String, Error> {
    let fail = |text: &'static str| Error::new(ErrorKind::InvalidOperation, text);
    if format.is_empty() {
        return Ok(String::new());
    }
    if format.len() > STRFTIME_BYTES_MAX {
        return Err(fail("strftime_now: the format is longer than 256 bytes"));
    }
    let format = std::ffi::CString::new(format).map_err(|_| fail("strftime_now: NUL in format"))?;
    let mut buffer = [0_u8; STRFTIME_BYTES_MAX];
    // SAFETY: localtime_r fills `parts` or returns null; strftime writes at most the buffer's size
    // and reads a format that ends in NUL.
    let written = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        let time: libc::time_t = now;
        if libc::localtime_r(&time, &mut parts).is_null() {
            return Err(fail("strftime_now: the time is out of range"));
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &parts)
    };
    if written == 0 {
        return Err(fail("strftime_now: the result is empty or longer than 255 bytes"));
    }
    Ok(String::from_utf8_lossy(&buffer[..written]).into_owned())
}

fn failure(error: &Error, limits: Limits) -> Failure {
    let line =
        error.line().map(|line| format!(" (line {line} of the template)")).unwrap_or_default();
    let text = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    if allowance::is_exceeded() {
        return Failure::new(
            Code::Exhausted,
            format!(
                "the values of the chat template take more than {} bytes{line}",
                limits.value_bytes
            ),
        );
    }
    if allowance::is_late() {
        let seconds = limits.time.as_secs_f32();
        return Failure::new(
            Code::Exhausted,
            format!("rendering took more than {seconds} s of processor time{line}"),
        );
    }
    match error.kind() {
        ErrorKind::OutOfFuel => Failure::new(
            Code::Exhausted,
            format!("rendering took more than {} template instructions{line}", limits.fuel),
        ),
        ErrorKind::WriteFailure => Failure::new(
            Code::Exhausted,
            format!("the rendered text is longer than {} bytes", limits.output_bytes),
        ),
        ErrorKind::SyntaxError => {
            Failure::new(Code::Corrupt, format!("the chat template does not parse: {text}{line}"))
        }
        _ => Failure::new(Code::InvalidArgument, format!("the chat template failed: {text}{line}")),
    }
}

/// Refuses what the engine could only compile with a deep recursion or with much memory: it joins
/// and repeats constants while it compiles.
fn check_blocks(source: &str, syntax: &SyntaxConfig) -> Result<(), Failure> {
    let mut tokens = 0;
    let mut repeats = false;
    let mut text_bytes = 0;
    let mut times = 1_usize;
    let mut made = 0_usize; // by all tags so far
    for token in tokenize(source, false, syntax.clone()) {
        // What does not tokenize is for the parser to report.
        let Ok((token, span)) = token else { return Ok(()) };
        let line = span.start_line;
        tokens += 1;
        match token {
            Token::VariableStart | Token::BlockStart => {
                (tokens, repeats, text_bytes, times) = (0, false, 0, 1);
            }
            Token::VariableEnd | Token::BlockEnd if repeats => {
                made = made.saturating_add(times.saturating_mul(text_bytes));
            }
            Token::Mul | Token::Pow => repeats = true,
            Token::Str(text) => text_bytes += text.len(),
            Token::String(text) => text_bytes += text.len(),
            Token::BracketOpen | Token::Comma => text_bytes += CONSTANT_ITEM_BYTES,
            Token::Int(count) => {
                times = times.saturating_mul(usize::try_from(count.max(1)).unwrap_or(usize::MAX));
            }
            Token::Int128(_) | Token::Float(_) => times = usize::MAX,
            _ => {}
        }
        if made > REPEATED_BYTES_MAX {
            let message = format!(
                "the chat template repeats constants to more than {REPEATED_BYTES_MAX} bytes \
                 (line {line})"
            );
            return Err(Failure::new(Code::Exhausted, message));
        }
        if tokens > BLOCK_TOKENS_MAX {
            let message = format!(
                "the chat template has more than {BLOCK_TOKENS_MAX} tokens in one tag (line {line})"
            );
            return Err(Failure::new(Code::Corrupt, message));
        }
    }
    Ok(())
}

fn syntax() -> Result<SyntaxConfig, Failure> {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

/// Instructions with their bounds: of the template and of the blocks in it.
struct Compiled<'s> {
    root: Instructions<'s>,
    blocks: BTreeMap<&'s str, Instructions<'s>>,
}

fn compiled(source: &str, limits: Limits) -> Result<Compiled<'_>, Failure> {
    let syntax = syntax()?;
    check_blocks(source, &syntax)?;
    let parsed = parse(source, NAME, syntax).map_err(|error| failure(&error, limits))?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&parsed);
    let (root, blocks) = generator.finish();
    let bound = |instructions| bounded::bound(NAME, source, &instructions);
    Ok(Compiled {
        root: bound(root),
        blocks: blocks.into_iter().map(|(name, block)| (name, bound(block))).collect(),
    })
}

/// Everything that templates may call. What belongs to one rendering is kept by its thread.
fn environment(limits: Limits) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(limits.fuel));
    environment.set_recursion_limit(limits.recursion);
    environment.set_unknown_method_callback(python_method);
    environment.set_formatter(|out, _state, value| {
        let text = allowance::text_of(value)?;
        let text = text.as_str().unwrap_or_default();
        allowance::charge(text.len())?;
        out.write_str(text).map_err(Error::from)
    });
    guards::guard_filters(&mut environment);
    guards::guard_tests(&mut environment);
    bounded::add_functions(&mut environment);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", |format: String| strftime(&format, NOW.get()));
    environment.add_filter("tojson", tojson);
    environment.add_test("sequence", is_sequence);
    environment.add_test("iterable", is_iterable);
    environment
}

fn context(render: &Render) -> Result<Value, Failure> {
    let invalid = |text: String| Failure::new(Code::InvalidArgument, text);
    let given: BTreeMap<String, Value> = serde_json::from_slice(render.context)
        .map_err(|error| invalid(format!("the chat is not a JSON object: {error}")))?;
    // `tools` and `documents` are always there, as in transformers: templates test for none.
    let mut values = vec![
        ("tools".to_string(), Value::from(())),
        ("documents".to_string(), Value::from(())),
        ("add_generation_prompt".to_string(), Value::from(render.add_generation_prompt)),
        ("bos_token".to_string(), Value::from(render.bos_token)),
        ("eos_token".to_string(), Value::from(render.eos_token)),
    ];
    values.extend(given);
    Ok(Value::from_pairs(values))
}

impl ChatTemplate {
    pub fn new(source: &str, limits: Limits) -> Result<Self, Failure> {
        let source: Arc<str> = neutral_generation_tags(source).into();
        // SAFETY: the text lies where it is until the last Arc goes, which is behind `template`.
        // Nothing that outlives `self` gets a reference with this lifetime.
        let text: &'static str = unsafe { &*Arc::as_ptr(&source) };
        let template = on_deep_stack(|| {
            allowance::begin(limits.value_bytes, limits.time);
            compiled(text, limits)
        })??;
        Ok(Self { template, environment: environment(limits), _source: source, limits })
    }

    pub fn render(&self, render: &Render) -> Result<Vec<u8>, Failure> {
        on_deep_stack(|| self.render_here(render))?
    }

    fn render_here(&self, render: &Render) -> Result<Vec<u8>, Failure> {
        allowance::begin(self.limits.value_bytes, self.limits.time);
        NOW.set(render.now);
        let context = context(render)?;
        let Self { template, environment, .. } = self;
        let mut text = String::new();
        let mut out = make_string_output(&mut text);
        eval(environment, &template.root, context, &template.blocks, &mut out, AutoEscape::None)
            .map_err(|error| failure(&error, self.limits))?;
        if text.len() > self.limits.output_bytes {
            let message =
                format!("the rendered text is longer than {} bytes", self.limits.output_bytes);
            return Err(Failure::new(Code::Exhausted, message));
        }
        Ok(text.into_bytes())
    }
}
