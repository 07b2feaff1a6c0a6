// SPDX-License-Identifier: Apache-2.0
//! Chat templates, rendered as the `transformers` package renders them: blocks trimmed, loop
//! controls, Python's methods on strings and maps, `raise_exception`, `strftime_now`, `tojson`.

use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

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
}

/// Immutable, shared by threads.
pub struct ChatTemplate {
    environment: Environment<'static>,
    limits: Limits,
}

pub struct Message<'a> {
    pub role: &'a str,
    pub content: &'a str,
}

pub struct Render<'a> {
    pub messages: &'a [Message<'a>],
    pub bos_token: &'a str,
    pub eos_token: &'a str,
    pub add_generation_prompt: bool,
    /// Seconds since 1970 that `strftime_now` shows, in local time.
    pub now: i64,
}

/// Output that refuses to grow beyond its limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + data.len() > self.limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "output limit"));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The templates of some models mark what the assistant said for training masks. Rendering for
/// inference ignores the mark, so the tags become ones that do nothing.
fn neutral_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(length) = rest[open..].find("%}") else { break };
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

impl ChatTemplate {
    pub fn new(source: &str, limits: Limits) -> Result<Self, Failure> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(limits.fuel));
        environment.set_recursion_limit(limits.recursion);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(python_method);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", tojson);
        environment.add_test("sequence", is_sequence);
        environment
            .add_template_owned(NAME, neutral_generation_tags(source))
            .map_err(|error| failure(&error, limits))?;
        Ok(Self { environment, limits })
    }

    pub fn render(&self, render: &Render) -> Result<Vec<u8>, Failure> {
        let messages: Vec<Value> = render
            .messages
            .iter()
            .map(|message| {
                Value::from_pairs([("role", message.role), ("content", message.content)])
            })
            .collect();
        let now = render.now;
        let clock = Value::from_function(move |format: String| strftime(&format, now));
        // `tools` and `documents` are always there, as in transformers: templates test for none.
        let context = Value::from_pairs([
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(render.add_generation_prompt)),
            ("bos_token", Value::from(render.bos_token)),
            ("eos_token", Value::from(render.eos_token)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("strftime_now", clock),
        ]);
        let template =
            self.environment.get_template(NAME).map_err(|error| failure(&error, self.limits))?;
        let mut out = Bounded { bytes: Vec::new(), limit: self.limits.output_bytes };
        template
            .render_captured_to(context, &mut out)
            .map_err(|error| failure(&error, self.limits))?;
        Ok(out.bytes)
    }
}
