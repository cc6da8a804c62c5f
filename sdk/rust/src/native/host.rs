//! The host's table, and the call that is under way on this thread.

#![allow(unsafe_code, reason = "the host's functions are called through pointers")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use regard_abi::{ABI_MAJOR, Batch, Call, Host, Level, Plugin, Status, Text};
use serde_json::{Value as Json, json};

use super::forms;
use crate::Error;

/// The host that has loaded this library; none in tests.
static HOST: OnceLock<Host> = OnceLock::new();

thread_local! {
    static CALL: Cell<*mut Call> = const { Cell::new(null_mut()) };
    /// What the last panic on this thread said, with its place.
    static LAST_WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What unwinds a plugin whose call has run into a bound: a plugin cannot go on, and must not have to ask.
struct Stopped;

/// What the entry of a native library does; gives null when the library cannot work with this host.
///
/// # Safety
///
/// `host` must be a host's table as `regard.h` says, which lives as long as the process, or null.
pub unsafe fn enter(host: *const Host, table: &'static Plugin) -> *const Plugin {
    if host.is_null() {
        return null();
    }
    // SAFETY: the caller vouches for the table; every one begins with two numbers.
    let (abi_major, size) = unsafe { ((*host).abi_major, (*host).struct_size) };
    if abi_major != ABI_MAJOR || (size as usize) < size_of::<Host>() {
        return null();
    }
    // SAFETY: the table is as long as the one that this library knows.
    HOST.get_or_init(|| {
        std::panic::set_hook(Box::new(|panic| LAST_WORDS.set(panic.to_string())));
        unsafe { *host }
    });
    table
}

/// Runs `work`, a function of the plugin, as `call`; a panic ends here.
pub(super) fn guarded(call: *mut Call, work: impl FnOnce() -> Result<(), Error>) -> Status {
    let before = CALL.replace(call);
    // What a panic leaves half done is not used again: the host closes a broken accumulator, and a plugin has no other
    // state that outlives a call but its own statics, whose locks notice.
    let ended = catch_unwind(AssertUnwindSafe(work));
    CALL.set(before);
    match ended {
        Ok(Ok(())) => Status::OK,
        Ok(Err(error)) => fail(call, &error),
        Err(payload) if payload.is::<Stopped>() => Status::STOPPED,
        Err(payload) => {
            fail(call, &Error::failed(words(&*payload)));
            Status::CRASHED
        }
    }
}

/// Drops what the host hands back, without a call; a panic ends here.
pub(super) fn quietly(work: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

fn words(payload: &(dyn Any + Send)) -> String {
    let last = LAST_WORDS.take();
    if !last.is_empty() {
        return last;
    }
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}

fn fail(call: *mut Call, error: &Error) -> Status {
    let Some(host) = HOST.get() else { return Status::ERROR };
    let retry_after_ms = error.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(-1);
    // SAFETY: the pointer is the host's own, `call` a number to it, and the texts outlive the call.
    unsafe { (host.fail)(call, Text::new(&error.code), Text::new(&error.message), retry_after_ms) }
}

/// The host and the call, when a host has loaded this library. Outside of a call there is none to charge.
fn current() -> Option<Result<(&'static Host, *mut Call), Error>> {
    let host = HOST.get()?;
    let call = CALL.get();
    let outside = || Error::failed("host functions are there during a call only, on its own thread");
    Some(if call.is_null() { Err(outside()) } else { Ok((host, call)) })
}

/// Calls a host function by name; none where no host has loaded this library.
pub(super) fn ask(function: &str, arguments: impl FnOnce() -> Json) -> Option<Result<Json, Error>> {
    let (host, call) = match current()? {
        Ok(current) => current,
        Err(error) => return Some(Err(error)),
    };
    let arguments = arguments().to_string();
    let mut answer = Text::empty();
    // SAFETY: the pointer is the host's own, `call` a number to it, the texts outlive the call and `answer` takes one.
    let status = unsafe { (host.call)(call, Text::new(function), Text::new(&arguments), &raw mut answer) };
    // SAFETY: the host lends the answer until the next host function, and this is read before.
    let text = unsafe { answer.bytes() };
    Some(match told(status) {
        Status::OK => serde_json::from_slice(text).map_err(Error::from),
        Status::ERROR => Err(forms::error(text)),
        Status(other) => Err(Error::failed(format!("{function}: the host answers with the status {other}"))),
    })
}

/// Writes to the host's log; false where no host has loaded this library.
pub(super) fn log(level: Level, message: &str, fields: &[(String, String)]) -> bool {
    let Some(current) = current() else { return false };
    // A line from another thread has no call to be charged to and no place to go.
    if let Ok((host, call)) = current {
        let fields: Json = fields
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let fields = fields.to_string();
        // SAFETY: the pointer is the host's own, `call` a number to it, and the texts outlive the call.
        told(unsafe { (host.log)(call, level, Text::new(message), Text::new(&fields)) });
    }
    true
}

/// Gives the host bytes that the running function returns.
pub(super) fn write(bytes: &[u8]) -> Result<(), Error> {
    let Some(Ok((host, call))) = current() else { return Ok(()) };
    // SAFETY: the pointer is the host's own, `call` a number to it, and the bytes outlive the call.
    written(unsafe { (host.write)(call, bytes.as_ptr(), bytes.len()) })
}

/// Gives the host a batch that the running function returns.
pub(super) fn write_batch(batch: &Batch) -> Result<(), Error> {
    let Some(Ok((host, call))) = current() else { return Ok(()) };
    // SAFETY: the pointer is the host's own, `call` a number to it, and the batch outlives the call.
    written(unsafe { (host.write_batch)(call, &raw const *batch) })
}

fn written(status: Status) -> Result<(), Error> {
    match told(status) {
        Status::OK => Ok(()),
        Status(other) => Err(Error::failed(format!("the host takes no result: status {other}"))),
    }
}

/// Ends the plugin's function when the host says so.
fn told(status: Status) -> Status {
    if status == Status::STOPPED {
        resume_unwind(Box::new(Stopped));
    }
    status
}
