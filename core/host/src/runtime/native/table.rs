//! The host's functions as a library calls them.
//!
//! Each takes the library's pointers apart and hands over to the call under way. A panic of the host stays here.

#![allow(unsafe_code, reason = "a library's texts and batches come as pointers")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use regard_abi::{ABI_MAJOR, Batch, Call, Host, Level, Status, Text, slice};

use super::columns;
use super::current::{self, Running};
use crate::hostcalls;

/// What every library is given.
pub(super) static HOST: Host =
    Host { abi_major: ABI_MAJOR, struct_size: size_of::<Host>() as u32, call, log, write, write_batch, fail };

/// Runs `work` with the call of this handle, if it is under way here.
fn guarded(handle: *mut Call, work: impl FnOnce(&mut Running) -> Status) -> Status {
    // Whatever a panic leaves half done belongs to this call, which fails.
    let ended = catch_unwind(AssertUnwindSafe(|| current::with(handle, work)));
    match ended {
        Ok(status) => status.unwrap_or(Status::MISUSED),
        Err(_) => {
            let broke =
                |running: &mut Running| running.misuse("the host panicked during the call".to_owned());
            current::with(handle, broke).unwrap_or(Status::MISUSED)
        }
    }
}

/// # Safety
///
/// As `regard.h` says: the texts are lent for the length of this function, `answer` is null or can be written to.
unsafe extern "C" fn call(handle: *mut Call, function: Text, arguments: Text, answer: *mut Text) -> Status {
    // SAFETY: the caller lends both texts until this function returns.
    let (function, arguments) = unsafe { (function.bytes(), arguments.bytes()) };
    guarded(handle, |running| {
        let Ok(function) = std::str::from_utf8(function) else {
            return running.misuse("call: the function's name is not UTF-8".to_owned());
        };
        let status = running.ask(function, arguments);
        let lent = if matches!(status, Status::OK | Status::ERROR) { running.lent() } else { "" };
        if !answer.is_null() {
            // SAFETY: not null, and then the caller promises a place for a text. What it points to stays with the call
            // until its next host function.
            unsafe { answer.write(Text::new(lent)) };
        }
        status
    })
}

/// # Safety
///
/// As `regard.h` says: the texts are lent for the length of this function.
unsafe extern "C" fn log(handle: *mut Call, level: Level, message: Text, fields: Text) -> Status {
    // SAFETY: the caller lends both texts until this function returns.
    let (message, fields) = unsafe { (message.bytes(), fields.bytes()) };
    let level = match level {
        Level::TRACE => hostcalls::Level::Trace,
        Level::DEBUG => hostcalls::Level::Debug,
        Level::WARN => hostcalls::Level::Warn,
        Level::ERROR => hostcalls::Level::Error,
        _ => hostcalls::Level::Info,
    };
    guarded(handle, |running| running.log(level, &String::from_utf8_lossy(message), fields))
}

/// # Safety
///
/// As `regard.h` says: `data` lends `length` bytes for the length of this function.
unsafe extern "C" fn write(handle: *mut Call, data: *const u8, length: usize) -> Status {
    // SAFETY: the caller lends the bytes until this function returns.
    let piece = unsafe { slice(data, length) };
    guarded(handle, |running| match piece {
        Some(piece) => running.write(piece),
        None => running.misuse("write: the pointer is null".to_owned()),
    })
}

/// # Safety
///
/// As `regard.h` says: the batch and everything that it points to is lent for the length of this function.
unsafe extern "C" fn write_batch(handle: *mut Call, batch: *const Batch) -> Status {
    guarded(handle, |running| {
        // SAFETY: the caller lends the batch until this function returns.
        running.write_batch(|bytes_max| unsafe { columns::take(batch, bytes_max) })
    })
}

/// # Safety
///
/// As `regard.h` says: the texts are lent for the length of this function.
unsafe extern "C" fn fail(handle: *mut Call, code: Text, message: Text, retry_after_ms: i64) -> Status {
    // SAFETY: the caller lends both texts until this function returns.
    let (code, message) = unsafe { (code.bytes(), message.bytes()) };
    guarded(handle, |running| {
        let message = String::from_utf8_lossy(message).into_owned();
        running.fail(&String::from_utf8_lossy(code), message, retry_after_ms)
    })
}
