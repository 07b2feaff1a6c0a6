// SPDX-License-Identifier: Apache-2.0
//! The C entry points of grammars, as bridge.h declares them.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use llguidance::toktrie::TokEnv;

use crate::grammar::{Factory, Grammar, Limits, Part};
use crate::matcher::SequenceMatcher;
use crate::schema::SchemaLimits;
use crate::status::{guard, view, Code, Failure, Ids, Slice, Status};
use crate::vocabulary::{Caller, Tokenize, Vocabulary};

/// `paring_bridge_vocabulary`.
#[repr(C)]
pub struct BridgeVocabulary {
    tokens: *const Slice,
    kinds: *const u8,
    token_count: usize,
    ends: *const u32,
    end_count: usize,
    tokenize: Tokenize,
    release: unsafe extern "C" fn(context: *const c_void),
    context: *const c_void,
}

/// `paring_bridge_grammar_limits`.
#[repr(C)]
pub struct GrammarLimits {
    schema_bytes: usize,
    schema_depth: usize,
    schema_refs: usize,
    regex_bytes: usize,
    properties: usize,
    enum_values: usize,
    repeat: u64,
    grammar_symbols: usize,
    compile_fuel: u64,
    mask_fuel: u64,
    mask_items: usize,
    lexer_states: usize,
    compile_time_ms: u64,
}

/// `paring_bridge_grammar_part`.
#[repr(C)]
pub struct GrammarPart {
    name: Slice,
    source: Slice,
    is_schema: bool,
    is_compact: bool,
    is_foreign: bool,
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_grammar_factory_create(
    vocabulary: *const BridgeVocabulary,
    limits: *const GrammarLimits,
    out: *mut *mut Factory,
) -> Status {
    guard(|| {
        *out = std::ptr::null_mut();
        let spec = &*vocabulary;
        // First, so that the context is given back whatever happens.
        let (tokenize, release, context) = (spec.tokenize, spec.release, spec.context);
        let caller = Caller { tokenize, release, context };
        let limits = &*limits;
        let slices = view(spec.tokens, spec.token_count);
        let tokens: Vec<&[u8]> = slices.iter().map(|token| token.bytes()).collect();
        let kinds = view(spec.kinds, spec.token_count);
        let ends = view(spec.ends, spec.end_count);
        let vocabulary = Vocabulary::new(&tokens, kinds, ends, caller)?;
        let env: TokEnv = Arc::new(vocabulary);
        let limits = Limits {
            schema: SchemaLimits {
                bytes: limits.schema_bytes,
                depth: limits.schema_depth,
                refs: limits.schema_refs,
                regex_bytes: limits.regex_bytes,
                properties: limits.properties,
                enum_values: limits.enum_values,
                repeat: limits.repeat,
            },
            grammar_symbols: limits.grammar_symbols,
            compile_fuel: limits.compile_fuel,
            mask_fuel: limits.mask_fuel,
            mask_items: limits.mask_items,
            lexer_states: limits.lexer_states,
            compile_time: Duration::from_millis(limits.compile_time_ms),
        };
        *out = Box::into_raw(Box::new(Factory::new(&env, ends, limits)?));
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_grammar_factory_free(factory: *mut Factory) {
    if !factory.is_null() {
        drop(Box::from_raw(factory));
    }
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_grammar_compile(
    factory: *const Factory,
    parts: *const GrammarPart,
    part_count: usize,
    out: *mut *mut Grammar,
) -> Status {
    guard(|| {
        *out = std::ptr::null_mut();
        let mut owned = Vec::with_capacity(part_count);
        for part in view(parts, part_count) {
            let name = part.name.text("the name of a grammar")?.to_string();
            let source = part.source.text("the grammar")?.to_string();
            owned.push(if part.is_schema {
                Part::Schema { name, json: source, is_compact: part.is_compact }
            } else {
                Part::Lark { name, source, is_foreign: part.is_foreign }
            });
        }
        *out = Box::into_raw(Box::new((*factory).compile(owned)?));
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_grammar_free(grammar: *mut Grammar) {
    if !grammar.is_null() {
        drop(Box::from_raw(grammar));
    }
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_create(
    grammar: *const Grammar,
    out: *mut *mut SequenceMatcher,
) -> Status {
    guard(|| {
        *out = std::ptr::null_mut();
        *out = Box::into_raw(Box::new((*grammar).start()));
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_fork(
    matcher: *const SequenceMatcher,
    out: *mut *mut SequenceMatcher,
) -> Status {
    guard(|| {
        *out = std::ptr::null_mut();
        *out = Box::into_raw(Box::new((*matcher).fork()));
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_mask(
    matcher: *mut SequenceMatcher,
    bits: *mut u32,
    word_count: usize,
) -> Status {
    guard(|| (*matcher).mask(std::slice::from_raw_parts_mut(bits, word_count)))
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_accept(
    matcher: *mut SequenceMatcher,
    token: u32,
) -> Status {
    guard(|| {
        if (*matcher).accept(token)? {
            return Ok(());
        }
        let message = format!("token {token} may not come next by the grammar");
        Err(Failure::new(Code::InvalidArgument, message))
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_validate(
    matcher: *mut SequenceMatcher,
    tokens: *const u32,
    token_count: usize,
    out: *mut usize,
) -> Status {
    guard(|| {
        *out = 0;
        *out = (*matcher).validate(view(tokens, token_count))?;
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_rollback(
    matcher: *mut SequenceMatcher,
    token_count: usize,
) -> Status {
    guard(|| (*matcher).rollback(token_count))
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_forced(
    matcher: *mut SequenceMatcher,
    out: *mut Ids,
) -> Status {
    guard(|| {
        *out = Ids::EMPTY;
        *out = Ids::from_vec((*matcher).forced()?);
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_state(
    matcher: *mut SequenceMatcher,
    is_done: *mut bool,
    may_end: *mut bool,
) -> Status {
    guard(|| {
        *is_done = false;
        *may_end = false;
        *may_end = (*matcher).may_end()?;
        *is_done = (*matcher).is_done()?;
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_matcher_free(matcher: *mut SequenceMatcher) {
    if !matcher.is_null() {
        drop(Box::from_raw(matcher));
    }
}
