// SPDX-License-Identifier: Apache-2.0
//! Names of parts of the same document: "#" and a JSON pointer (RFC 6901, section 6).

use serde_json::Value;

/// `name` as a part of a JSON pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The parts of "#/a/b"; none for a name of another document or an anchor.
pub fn target_of(reference: &str) -> Option<Vec<String>> {
    let fragment = percent_decoded(reference.strip_prefix('#')?)?;
    if fragment.is_empty() || fragment == "/" {
        return Some(Vec::new());
    }
    let parts = fragment.strip_prefix('/')?.split('/');
    Some(parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

pub fn resolve<'a>(root: &'a Value, target: &[String]) -> Option<&'a Value> {
    let mut at = root;
    for part in target {
        at = match at {
            Value::Object(members) => members.get(part)?,
            Value::Array(members) => {
                let index: usize = part.parse().ok()?;
                if index.to_string() != *part {
                    return None;
                }
                members.get(index)?
            }
            _ => return None,
        };
    }
    Some(at)
}

fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_string());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}
