// SPDX-License-Identifier: Apache-2.0
//! Room for deep recursion: here when the stack of this thread has it, else on a thread of its own.
//! Starting one for each rendering takes several times as long as most renderings.

use std::cell::Cell;

use crate::status::{Code, Failure};

/// Stack of compiling or rendering a template. A template nests at most as often as it has tags, and
/// the engine's recursion takes a few hundred bytes a level.
const STACK_BYTES: usize = 64 << 20;

thread_local! {
    /// Lowest address of this thread's stack; 0: not asked for yet.
    static LOWEST: Cell<usize> = const { Cell::new(0) };
}

/// usize::MAX where the system does not tell: then no stack has room.
fn lowest_address() -> usize {
    let mut address: *mut libc::c_void = std::ptr::null_mut();
    let mut bytes = 0;
    // SAFETY: the attributes are filled for the calling thread before they are read, and destroyed
    // once.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return usize::MAX;
        }
        let failed = libc::pthread_attr_getstack(&attributes, &mut address, &mut bytes);
        libc::pthread_attr_destroy(&mut attributes);
        if failed != 0 {
            return usize::MAX;
        }
    }
    address as usize
}

/// Bytes that this thread may still put on its stack. Of the first thread, whose stack grows until
/// it meets something, nothing is said.
fn stack_left() -> usize {
    if LOWEST.get() == 0 {
        // SAFETY: both calls only return numbers.
        let is_first = unsafe { libc::getpid() == libc::gettid() };
        LOWEST.set(if is_first { usize::MAX } else { lowest_address() });
    }
    let local = 0_u8;
    (std::ptr::from_ref(&local) as usize).saturating_sub(LOWEST.get())
}

/// Runs `body` on a stack with room for deep recursion, all of it on one thread.
pub fn on_deep_stack<T: Send>(body: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    if stack_left() >= STACK_BYTES {
        return Ok(body());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, body)
            .map_err(|error| Failure::new(Code::Exhausted, format!("no thread: {error}")))?;
        thread.join().map_err(|payload| std::panic::resume_unwind(payload))
    })
}
