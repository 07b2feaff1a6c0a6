// SPDX-License-Identifier: Apache-2.0
//! What every entry point returns, buffers that cross the boundary, and the catch of panics.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// The codes of bridge.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    Ok = 0,
    InvalidArgument = 1,
    Corrupt = 2,
    Unsupported = 3,
    Exhausted = 4,
    Internal = 5,
}

/// A failure on its way to the C side.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// `paring_bridge_buffer`: bytes that Rust allocated and that `paring_bridge_buffer_free` frees.
#[repr(C)]
pub struct Buffer {
    data: *mut u8,
    size: usize,
}

impl Buffer {
    pub const EMPTY: Buffer = Buffer { data: std::ptr::null_mut(), size: 0 };

    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() {
            return Self::EMPTY;
        }
        let boxed = bytes.into_boxed_slice();
        let size = boxed.len();
        Self { data: Box::into_raw(boxed).cast::<u8>(), size }
    }

    /// # Safety
    /// The fields come unchanged from `from_bytes` and are not used afterwards.
    pub unsafe fn release(self) {
        if !self.data.is_null() {
            drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.data, self.size)));
        }
    }
}

/// `paring_bridge_ids`: token ids that Rust allocated and that `paring_bridge_ids_free` frees.
#[repr(C)]
pub struct Ids {
    data: *mut i32,
    size: usize,
}

impl Ids {
    pub const EMPTY: Ids = Ids { data: std::ptr::null_mut(), size: 0 };

    pub fn from_vec(ids: Vec<i32>) -> Self {
        if ids.is_empty() {
            return Self::EMPTY;
        }
        let boxed = ids.into_boxed_slice();
        let size = boxed.len();
        Self { data: Box::into_raw(boxed).cast::<i32>(), size }
    }

    /// # Safety
    /// The fields come unchanged from `from_vec` and are not used afterwards.
    pub unsafe fn release(self) {
        if !self.data.is_null() {
            drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.data, self.size)));
        }
    }
}

/// `paring_bridge_status`.
#[repr(C)]
pub struct Status {
    code: i32,
    message: Buffer,
}

/// `paring_bridge_slice`: bytes that the caller owns and that live through the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    data: *const u8,
    size: usize,
}

impl Slice {
    /// For a call to the other side, which uses it during the call only.
    pub fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), size: bytes.len() }
    }

    /// # Safety
    /// `data` points to `size` readable bytes, or `size` is 0.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        view(self.data, self.size)
    }

    /// # Safety
    /// As `bytes`.
    pub unsafe fn text<'a>(self, what: &str) -> Result<&'a str, Failure> {
        std::str::from_utf8(self.bytes()).map_err(|error| {
            let position = error.valid_up_to();
            let message = format!("{what} is not valid UTF-8 at byte {position}");
            Failure::new(Code::InvalidArgument, message)
        })
    }
}

/// A slice from C: null is allowed when the size is 0.
///
/// # Safety
/// `data` points to `size` readable values, or `size` is 0.
pub unsafe fn view<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "unknown panic".to_string()
    }
}

/// Runs one entry point. No panic and no error leaves it other than as a status.
pub fn guard(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Status { code: Code::Ok as i32, message: Buffer::EMPTY },
        Ok(Err(failure)) => Status {
            code: failure.code as i32,
            message: Buffer::from_bytes(failure.message.into_bytes()),
        },
        Err(payload) => Status {
            code: Code::Internal as i32,
            message: Buffer::from_bytes(
                format!("the text bridge panicked: {}", panic_text(payload.as_ref())).into_bytes(),
            ),
        },
    }
}
