// SPDX-License-Identifier: Apache-2.0
//! JSON schemas that come from strangers, checked before llguidance sees them. llguidance passes
//! over keywords that it does not know and lets a schema switch its own strictness off; here every
//! keyword is known or refused by name and place.

use std::collections::HashSet;

use serde_json::{json, Map, Value};

use crate::schema_refs::{escaped, resolve, target_of};
use crate::schema_values as values;
use crate::status::{Code, Failure};

#[derive(Clone, Copy)]
pub struct SchemaLimits {
    pub bytes: usize,
    pub depth: usize,
    pub refs: usize,
    pub regex_bytes: usize,
    pub properties: usize,
    pub enum_values: usize,
    pub repeat: u64,
}

/// A checked schema, in the form that is compiled.
pub struct Schema {
    root: Value,
}

/// Keywords that say nothing about which texts are valid.
const ANNOTATIONS: [&str; 16] = [
    "$anchor",
    "$comment",
    "title",
    "description",
    "default",
    "deprecated",
    "example",
    "examples",
    "readOnly",
    "writeOnly",
    "contentMediaType",
    "contentEncoding",
    "discriminator",
    "$defs",
    "definitions",
    "$schema",
];
const DRAFTS: [&str; 5] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
];
const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];
pub const FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
/// What applies in place, next to the other keywords of the same schema.
const IN_PLACE: [&str; 4] = ["allOf", "anyOf", "oneOf", "$ref"];

pub fn refused(pointer: &str, keyword: &str, why: &str) -> Failure {
    let place = if pointer.is_empty() { "at the root" } else { pointer };
    let keyword: String = keyword.chars().take(80).collect();
    let message =
        format!("the JSON schema cannot be followed: keyword \"{keyword}\" {place}: {why}");
    Failure::new(Code::InvalidArgument, message)
}

impl Schema {
    pub fn parse(json: &str, limits: &SchemaLimits) -> Result<Self, Failure> {
        if json.len() > limits.bytes {
            let message =
                format!("the JSON schema has {} bytes, the limit is {}", json.len(), limits.bytes);
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        let root: Value = serde_json::from_str(json).map_err(|error| {
            let message = format!("the JSON schema is not valid JSON: {error}");
            Failure::new(Code::InvalidArgument, message)
        })?;
        let mut checker = Checker { root: &root, limits, places: HashSet::new(), refs: Vec::new() };
        let mut checked = checker.schema(&root, "", 0)?;
        checker.check_refs()?;
        if let Value::Bool(allows) = checked {
            checked = if allows { json!({}) } else { json!({ "anyOf": [] }) };
        }
        Ok(Self { root: checked })
    }

    /// With the options of llguidance, which it reads from the schema itself.
    pub fn compiled(&self, is_compact: bool) -> Value {
        let mut root = self.root.clone();
        let options = json!({ "whitespace_flexible": !is_compact });
        if let Value::Object(keywords) = &mut root {
            keywords.insert("x-guidance".to_string(), options);
        }
        root
    }
}

struct Checker<'a> {
    root: &'a Value,
    limits: &'a SchemaLimits,
    /// Pointers to everything that was checked as a schema.
    places: HashSet<String>,
    /// Pointers to targets, with where they are named.
    refs: Vec<(String, String)>,
}

impl Checker<'_> {
    fn schema(&mut self, value: &Value, pointer: &str, depth: usize) -> Result<Value, Failure> {
        self.places.insert(pointer.to_string());
        let keywords = match value {
            Value::Bool(_) => return Ok(value.clone()),
            Value::Object(keywords) => keywords,
            _ => {
                let message = format!(
                    "the JSON schema cannot be followed: what stands {} is no schema",
                    if pointer.is_empty() { "at the root" } else { pointer }
                );
                return Err(Failure::new(Code::InvalidArgument, message));
            }
        };
        if depth > self.limits.depth {
            let message =
                format!("the JSON schema is nested deeper than the limit of {}", self.limits.depth);
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        let mut checked = Map::new();
        for (keyword, value) in keywords {
            let place = format!("{pointer}/{}", escaped(keyword));
            if let Some(value) = self.keyword(keyword, value, pointer, &place, depth)? {
                checked.insert(keyword.clone(), value);
            }
        }
        self.check_together(keywords, pointer)?;
        values::bound_integers(&mut checked, pointer)?;
        values::sharpen_format(&mut checked);
        self.settle_one_of(&mut checked, keywords);
        Ok(Value::Object(checked))
    }

    /// The keyword as it is compiled; nothing for what has no effect.
    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        pointer: &str,
        place: &str,
        depth: usize,
    ) -> Result<Option<Value>, Failure> {
        let refuse = |why: &str| Err(refused(pointer, keyword, why));
        match keyword {
            "properties" | "patternProperties" | "$defs" | "definitions" => {
                let Value::Object(members) = value else { return refuse("it must be an object") };
                if !keyword.ends_with("efs") && members.len() > self.limits.properties {
                    let why = format!(
                        "{} properties are more than the limit of {}",
                        members.len(),
                        self.limits.properties
                    );
                    return refuse(&why);
                }
                let mut checked = Map::new();
                for (name, member) in members {
                    if keyword == "patternProperties" && name.len() > self.limits.regex_bytes {
                        return refuse(&self.long_regex(name));
                    }
                    let place = format!("{place}/{}", escaped(name));
                    checked.insert(name.clone(), self.schema(member, &place, depth + 1)?);
                }
                return Ok(Some(Value::Object(checked)));
            }
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                let Value::Array(members) = value else { return refuse("it must be a list") };
                return Ok(Some(self.list(members, place, depth)?));
            }
            "items" => {
                if let Value::Array(members) = value {
                    return Ok(Some(self.list(members, place, depth)?));
                }
                return Ok(Some(self.schema(value, place, depth + 1)?));
            }
            "additionalItems" | "additionalProperties" => {
                return Ok(Some(self.schema(value, place, depth + 1)?));
            }
            "type" => {
                let names = match value {
                    Value::Array(names) => names.as_slice(),
                    single => std::slice::from_ref(single),
                };
                let is_type = |name: &Value| name.as_str().is_some_and(|n| TYPES.contains(&n));
                if names.is_empty() || !names.iter().all(is_type) {
                    return refuse(&format!(
                        "it must be one of {}, or a list of them",
                        TYPES.join(", ")
                    ));
                }
            }
            "const" => values::check_literal(value, pointer, keyword)?,
            "enum" => {
                let Value::Array(members) = value else { return refuse("it must be a list") };
                if members.is_empty() || members.len() > self.limits.enum_values {
                    let count = members.len();
                    let limit = self.limits.enum_values;
                    return refuse(&format!("it has {count} values, it may have 1 to {limit}"));
                }
                for member in members {
                    values::check_literal(member, pointer, keyword)?;
                }
            }
            "minItems" | "maxItems" | "minProperties" | "maxProperties" | "minLength" => {
                values::check_count(value, self.limits.repeat, pointer, keyword)?;
            }
            "maxLength" => values::check_count(value, i32::MAX as u64, pointer, keyword)?,
            "minimum" | "maximum" | "multipleOf" => {
                values::check_number(value, pointer, keyword)?;
            }
            "exclusiveMinimum" | "exclusiveMaximum" => {
                if !value.is_boolean() {
                    values::check_number(value, pointer, keyword)?;
                }
            }
            "pattern" => {
                let Value::String(regex) = value else { return refuse("it must be a text") };
                if regex.len() > self.limits.regex_bytes {
                    return refuse(&self.long_regex(regex));
                }
            }
            "format" => {
                if !value.is_string() {
                    return refuse("it must be a text");
                }
            }
            "required" => {
                let Value::Array(names) = value else { return refuse("it must be a list") };
                if !names.iter().all(Value::is_string) || names.len() > self.limits.properties {
                    let limit = self.limits.properties;
                    return refuse(&format!("it must list at most {limit} names"));
                }
            }
            "$ref" => return Ok(Some(self.reference(value, pointer)?)),
            "$id" | "id" => {
                // Of the whole: nothing can be named by it. Inside it would change what others name.
                if !pointer.is_empty() {
                    return refuse("it is supported at the root only");
                }
                return Ok(None);
            }
            "$schema" => {
                let known = value.as_str().map(|uri| uri.trim_end_matches('#'));
                if !known.is_some_and(|uri| DRAFTS.contains(&uri)) {
                    return refuse("this version of JSON Schema is not known");
                }
            }
            "uniqueItems" | "nullable" => {
                if value != &Value::Bool(false) {
                    return refuse("it is not supported");
                }
                return Ok(None);
            }
            "x-guidance" => {
                return refuse("options of the grammar engine are not taken from a schema")
            }
            _ if ANNOTATIONS.contains(&keyword) || keyword.starts_with("x-") => return Ok(None),
            _ => return refuse("it is not supported"),
        }
        Ok(Some(value.clone()))
    }

    fn list(&mut self, members: &[Value], place: &str, depth: usize) -> Result<Value, Failure> {
        let mut checked = Vec::with_capacity(members.len());
        for (index, member) in members.iter().enumerate() {
            checked.push(self.schema(member, &format!("{place}/{index}"), depth + 1)?);
        }
        Ok(Value::Array(checked))
    }

    fn long_regex(&self, regex: &str) -> String {
        let limit = self.limits.regex_bytes;
        format!("a regular expression of {} bytes, the limit is {limit}", regex.len())
    }

    fn reference(&mut self, value: &Value, pointer: &str) -> Result<Value, Failure> {
        let refuse = |why: &str| Err(refused(pointer, "$ref", why));
        let Value::String(text) = value else { return refuse("it must be a text") };
        if self.refs.len() >= self.limits.refs {
            return refuse(&format!("the schema has more than {} of them", self.limits.refs));
        }
        let Some(target) = target_of(text) else {
            return refuse("only parts of the same schema can be named, as in #/$defs/name");
        };
        if resolve(self.root, &target).is_none() {
            let shown: String = text.chars().take(80).collect();
            return refuse(&format!("{shown} names nothing"));
        }
        let path: String = target.iter().map(|part| format!("/{}", escaped(part))).collect();
        self.refs.push((path, pointer.to_string()));
        if target.iter().any(|part| part.contains(['/', '~', '%'])) {
            return refuse("names with the characters / ~ % are not supported");
        }
        let plain =
            if target.is_empty() { "#".to_string() } else { format!("#/{}", target.join("/")) };
        Ok(Value::String(plain))
    }

    /// A name of a place that is no schema would be followed without having been checked.
    fn check_refs(&self) -> Result<(), Failure> {
        for (target, pointer) in &self.refs {
            if !self.places.contains(target) {
                return Err(refused(pointer, "$ref", "it names a place that is no schema"));
            }
        }
        Ok(())
    }

    /// Keywords that llguidance reads in part only when they stand together.
    fn check_together(&self, keywords: &Map<String, Value>, pointer: &str) -> Result<(), Failure> {
        let has = |name: &str| keywords.contains_key(name);
        for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")]
        {
            if keywords.get(exclusive) == Some(&Value::Bool(true)) && !has(bound) {
                return Err(refused(pointer, exclusive, &format!("true needs {bound}")));
            }
        }
        let lists_items = keywords.get("items").is_some_and(Value::is_array);
        if has("prefixItems") && (lists_items || has("additionalItems") || self.is_old_draft()) {
            let why = "it cannot stand beside the items of older versions of JSON Schema";
            return Err(refused(pointer, "prefixItems", why));
        }
        if let Some(format) = keywords.get("format").and_then(Value::as_str) {
            values::check_format(format, keywords, pointer)?;
        }
        let own = ["properties", "patternProperties", "additionalProperties", "multipleOf"];
        let mut conjuncts = usize::from(own.iter().any(|keyword| has(keyword)));
        for keyword in IN_PLACE {
            conjuncts += match keywords.get(keyword) {
                Some(Value::Array(members)) if keyword == "allOf" => members.len(),
                Some(_) => 1,
                None => 0,
            };
        }
        // Intersections of these with the same of another part are not exact.
        let whole = Value::Object(keywords.clone());
        for keyword in ["patternProperties", "multipleOf"] {
            if conjuncts > 1 && self.uses_in_place(&whole, keyword, &mut HashSet::new()) {
                let why = "it is not supported together with other parts for the same value";
                return Err(refused(pointer, keyword, why));
            }
        }
        Ok(())
    }

    fn is_old_draft(&self) -> bool {
        let version = self.root.get("$schema").and_then(Value::as_str);
        version.is_some_and(|uri| !uri.contains("2020-12"))
    }

    /// Whether the schema itself, or one that applies in its place, has the keyword.
    fn uses_in_place<'v>(
        &'v self,
        schema: &'v Value,
        keyword: &str,
        seen: &mut HashSet<Vec<String>>,
    ) -> bool {
        let Value::Object(keywords) = schema else { return false };
        if keywords.contains_key(keyword) {
            return true;
        }
        for applied in ["allOf", "anyOf", "oneOf"] {
            let members = keywords.get(applied).and_then(Value::as_array);
            if members.is_some_and(|m| m.iter().any(|s| self.uses_in_place(s, keyword, seen))) {
                return true;
            }
        }
        let target = keywords.get("$ref").and_then(Value::as_str).and_then(target_of);
        match target {
            Some(target) if seen.insert(target.clone()) => resolve(self.root, &target)
                .is_some_and(|found| self.uses_in_place(found, keyword, seen)),
            _ => false,
        }
    }

    /// oneOf whose options exclude each other is anyOf, which is all that llguidance compiles.
    fn settle_one_of(&self, checked: &mut Map<String, Value>, keywords: &Map<String, Value>) {
        let Some(Value::Array(options)) = keywords.get("oneOf") else { return };
        let excludes = |a: &Value, b: &Value| values::exclude_each_other(self.root, a, b, 0);
        let all_exclude = options
            .iter()
            .enumerate()
            .all(|(i, a)| options[i + 1..].iter().all(|b| excludes(a, b)));
        if !all_exclude || checked.contains_key("anyOf") {
            return;
        }
        if let Some(options) = checked.remove("oneOf") {
            checked.insert("anyOf".to_string(), options);
        }
    }
}

/// Where a schema that does not compile fails: the innermost part that fails by itself, and the
/// keyword without which it would not. `attempt` compiles a part and says what is wrong with it.
pub fn innermost_failure(
    schema: &Schema,
    attempt: impl Fn(Value) -> Option<String>,
) -> Option<String> {
    /// Compilations that the search may cost.
    const ATTEMPTS_MAX: usize = 60;
    let mut left = ATTEMPTS_MAX;
    let mut try_part = |part: &Value| -> Option<Option<String>> {
        left = left.checked_sub(1)?;
        let mut whole = part.clone();
        if let (Value::Object(to), Value::Object(from)) = (&mut whole, &schema.root) {
            for definitions in ["$defs", "definitions"] {
                if let Some(found) = from.get(definitions) {
                    to.entry(definitions).or_insert_with(|| found.clone());
                }
            }
        }
        Some(attempt(whole))
    };
    let mut pointer = String::new();
    let mut part = &schema.root;
    let mut why = try_part(part)??;
    'inward: loop {
        for (place, child) in children(part) {
            if let Some(Some(text)) = try_part(child) {
                // A name may stand for something outside of the part.
                if text.contains("not found") {
                    continue;
                }
                pointer = format!("{pointer}/{place}");
                part = child;
                why = text;
                continue 'inward;
            }
        }
        break;
    }
    let place = if pointer.is_empty() { "at the root".to_string() } else { pointer };
    let keyword = part.as_object().and_then(|keywords| {
        keywords.keys().filter(|k| *k != "type" && !k.ends_with("efs")).find(|keyword| {
            let mut without = keywords.clone();
            without.shift_remove(*keyword);
            try_part(&Value::Object(without)) == Some(None)
        })
    });
    let keyword = keyword.map_or(String::new(), |k| format!("keyword \"{k}\" "));
    Some(format!("the JSON schema cannot be followed: {keyword}{place}: {why}"))
}

/// The schemas directly inside a schema, with their place in it.
fn children(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let Value::Object(keywords) = schema else { return found };
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            (
                "properties" | "patternProperties" | "$defs" | "definitions",
                Value::Object(members),
            ) => {
                for (name, member) in members {
                    found.push((format!("{keyword}/{}", escaped(name)), member));
                }
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(members)) => {
                for (index, member) in members.iter().enumerate() {
                    found.push((format!("{keyword}/{index}"), member));
                }
            }
            ("items" | "additionalItems" | "additionalProperties", member) => {
                found.push((keyword.clone(), member));
            }
            _ => {}
        }
    }
    found.retain(|(_, member)| member.is_object());
    found
}
