// SPDX-License-Identifier: Apache-2.0
//! Lark grammars that come from strangers, read by words before llguidance compiles them. Schemas
//! inside become grammars of their own, which are checked like any other; what would be passed over
//! here, or reach out of the text of an answer, is refused.

use serde_json::Value;

use crate::status::{Code, Failure};

/// Rules and terminals; llguidance follows one into the next by recursion.
const DEFINITIONS_MAX: usize = 500;
const NESTING_MAX: usize = 40;
const NEGATIONS_MAX: usize = 100;

pub struct LarkSource {
    pub text: String,
    /// Name and JSON of each schema.
    pub schemas: Vec<(String, String)>,
}

fn refused(line: usize, why: &str) -> Failure {
    Failure::new(
        Code::InvalidArgument,
        format!("the grammar cannot be followed: line {line}: {why}"),
    )
}

/// Bytes of the word at the start of `rest`: a comment, text in quotes, a regular expression, a
/// name, one other character.
fn word_bytes(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let until = |end: u8, from: usize| {
        let mut at = from;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 1,
                b'\n' => return None,
                byte if byte == end => return Some(at + 1),
                _ => {}
            }
            at += 1;
        }
        None
    };
    match bytes[0] {
        b'#' => Some(rest.find('\n').unwrap_or(rest.len())),
        b'/' if bytes.get(1) == Some(&b'/') => Some(rest.find('\n').unwrap_or(rest.len())),
        b'/' => until(b'/', 1),
        b'"' => until(b'"', 1),
        b'%' | b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            Some(1 + rest[1..].find(|c| !is_part(c)).unwrap_or(rest.len() - 1))
        }
        _ => rest.chars().next().map(char::len_utf8),
    }
}

impl LarkSource {
    pub fn parse(source: &str, regex_bytes: usize) -> Result<Self, Failure> {
        let mut out = Self { text: String::with_capacity(source.len()), schemas: Vec::new() };
        let (mut at, mut line) = (0, 1);
        let (mut depth, mut definitions, mut negations) = (0_usize, 0, 0);
        let mut name = "";
        while at < source.len() {
            let rest = &source[at..];
            let Some(bytes) = word_bytes(rest) else {
                return Err(refused(line, "text in quotes or an expression does not end"));
            };
            let word = &rest[..bytes];
            at += bytes;
            match word {
                "%json" => {
                    let value = &source[at..];
                    let (json, bytes) = json_prefix(value, line)?;
                    let schema = format!("schema-{}", out.schemas.len());
                    out.text += &format!("@{schema} ");
                    out.schemas.push((schema, json));
                    line += value[..bytes].matches('\n').count();
                    at += bytes;
                    name = "";
                    continue;
                }
                "%llguidance" | "%lark" | "%override" | "%declare" => {
                    return Err(refused(line, &format!("{word} is not supported")));
                }
                "<" => return Err(refused(line, "special tokens cannot be named")),
                "@" => return Err(refused(line, "there are no other grammars to name")),
                "=" if name != "suffix" && name != "capture" => {
                    return Err(refused(
                        line,
                        &format!("the attribute \"{name}\" is not supported"),
                    ));
                }
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                ":" => definitions += 1,
                "~" => negations += 1,
                _ if word.starts_with('/') && word.len() > regex_bytes => {
                    let why = format!("an expression has more than {regex_bytes} bytes");
                    return Err(refused(line, &why));
                }
                _ => {}
            }
            if depth > NESTING_MAX || definitions > DEFINITIONS_MAX || negations > NEGATIONS_MAX {
                let why = format!(
                    "more than {NESTING_MAX} groups inside one another, {DEFINITIONS_MAX} rules \
                     or {NEGATIONS_MAX} negations"
                );
                return Err(refused(line, &why));
            }
            line += word.matches('\n').count();
            if !word.trim().is_empty() {
                name = word;
            }
            out.text += word;
        }
        Ok(out)
    }
}

/// The JSON value that `text` begins with, and its bytes.
fn json_prefix(text: &str, line: usize) -> Result<(String, usize), Failure> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(_)) => {
            let bytes = values.byte_offset();
            Ok((text[..bytes].to_string(), bytes))
        }
        _ => Err(refused(line, "%json is not followed by a JSON schema")),
    }
}
