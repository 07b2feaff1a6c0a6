// SPDX-License-Identifier: Apache-2.0
//! The C entry points declared in bridge.h; every contract is written there. Each one runs under
//! `guard`, so that no panic reaches the caller.

mod allowance;
mod bounded;
mod bpe;
mod deep_stack;
mod grammar;
mod grammar_calls;
mod guards;
mod lark_source;
mod matcher;
mod pipeline;
mod python_json;
mod python_text;
mod schema;
mod schema_refs;
mod schema_values;
mod status;
mod template;
mod vocabulary;

use std::time::Duration;

use bpe::Bpe;
use pipeline::Pipeline;
use status::{guard, view, Buffer, Code, Failure, Ids, Slice, Status};
use template::{ChatTemplate, Limits, Render};

/// `paring_bridge_bpe_spec`.
#[repr(C)]
pub struct BpeSpec {
    tokens: *const Slice,
    token_count: usize,
    merges: *const u32,
    merge_count: usize,
    ignore_merges: bool,
}

/// `paring_bridge_template_limits`.
#[repr(C)]
pub struct TemplateLimits {
    fuel: u64,
    recursion: usize,
    output_bytes: usize,
    value_bytes: usize,
    time_ms: u64,
}

/// `paring_bridge_render`.
#[repr(C)]
pub struct BridgeRender {
    context: Slice,
    bos_token: Slice,
    eos_token: Slice,
    now: i64,
    add_generation_prompt: bool,
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_buffer_free(buffer: Buffer) {
    buffer.release();
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_ids_free(ids: Ids) {
    ids.release();
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_bpe_create(
    spec: *const BpeSpec,
    out: *mut *mut Bpe,
) -> Status {
    guard(|| {
        *out = std::ptr::null_mut();
        let spec = &*spec;
        let mut tokens = Vec::with_capacity(spec.token_count);
        for (id, token) in view(spec.tokens, spec.token_count).iter().enumerate() {
            let text = std::str::from_utf8(token.bytes()).map_err(|_| {
                Failure::new(Code::Corrupt, format!("token {id} is not valid UTF-8"))
            })?;
            tokens.push(text);
        }
        let merges = view(spec.merges, spec.merge_count * 2);
        *out = Box::into_raw(Box::new(Bpe::new(&tokens, merges, spec.ignore_merges)?));
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_bpe_encode(
    bpe: *const Bpe,
    text: Slice,
    word_ends: *const usize,
    word_count: usize,
    out: *mut Ids,
) -> Status {
    guard(|| {
        *out = Ids::EMPTY;
        let ids = (*bpe).encode(text.bytes(), view(word_ends, word_count))?;
        *out = Ids::from_vec(ids);
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_bpe_free(bpe: *mut Bpe) {
    if !bpe.is_null() {
        drop(Box::from_raw(bpe));
    }
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_pipeline_create(
    json: Slice,
    out: *mut *mut Pipeline,
) -> Status {
    guard(|| {
        *out = std::ptr::null_mut();
        *out = Box::into_raw(Box::new(Pipeline::new(json.bytes())?));
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_pipeline_encode(
    pipeline: *const Pipeline,
    text: Slice,
    add_special: bool,
    parse_special: bool,
    out: *mut Ids,
) -> Status {
    guard(|| {
        *out = Ids::EMPTY;
        let ids = (*pipeline).encode(text.text("the text")?, add_special, parse_special)?;
        *out = Ids::from_vec(ids);
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_pipeline_free(pipeline: *mut Pipeline) {
    if !pipeline.is_null() {
        drop(Box::from_raw(pipeline));
    }
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_template_create(
    source: Slice,
    limits: *const TemplateLimits,
    out: *mut *mut ChatTemplate,
) -> Status {
    guard(|| {
        *out = std::ptr::null_mut();
        let limits = &*limits;
        let limits = Limits {
            fuel: limits.fuel,
            recursion: limits.recursion,
            output_bytes: limits.output_bytes,
            value_bytes: limits.value_bytes,
            time: Duration::from_millis(limits.time_ms),
        };
        let source = source.text("the chat template")?;
        *out = Box::into_raw(Box::new(ChatTemplate::new(source, limits)?));
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_template_render(
    template: *const ChatTemplate,
    render: *const BridgeRender,
    out: *mut Buffer,
) -> Status {
    guard(|| {
        *out = Buffer::EMPTY;
        let render = &*render;
        let bytes = (*template).render(&Render {
            context: render.context.bytes(),
            bos_token: render.bos_token.text("the bos token")?,
            eos_token: render.eos_token.text("the eos token")?,
            add_generation_prompt: render.add_generation_prompt,
            now: render.now,
        })?;
        *out = Buffer::from_bytes(bytes);
        Ok(())
    })
}

/// # Safety
/// See bridge.h.
#[no_mangle]
pub unsafe extern "C" fn paring_bridge_template_free(template: *mut ChatTemplate) {
    if !template.is_null() {
        drop(Box::from_raw(template));
    }
}
