//! The call of a library that is under way on this thread: where the host's functions find it, and what it has given
//! so far.
//!
//! A library names its call by a handle, which is a number and no place in memory. A handle that is kept too long or
//! carried to another thread meets no call of its number and is refused.

use std::cell::RefCell;
use std::ptr::without_provenance_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use regard_abi::Status;
use regard_engine::Fault;
use regard_engine::columns::Batch;
use serde_json::Value;
use tokio::runtime::Handle;

use super::functions;
use crate::call::CallContext;
use crate::hostcalls::{CallError, Level, Stop};
use crate::limits::LimitHit;
use crate::runtime::Failure;

thread_local! {
    static CURRENT: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Numbers of calls; zero is a null pointer and never given out.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// A call while it runs.
pub(super) struct Running {
    number: usize,
    call: CallContext,
    host: Handle,
    /// The answer of the last host function, lent to the library.
    lent: String,
    written: Written,
    /// What the library says about its failure.
    failed: Option<CallError>,
    /// The error of the last host function.
    reported: Option<CallError>,
    /// How the library misused the host, in words.
    misused: Option<String>,
    /// The bound that the call ran into: from then on the host does nothing for it.
    hit: Option<LimitHit>,
}

/// What a function of the library has given.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Text or bytes.
    pub(super) bytes: Vec<u8>,
    /// A batch.
    pub(super) batch: Option<Batch>,
}

/// Runs `work`, a function of a library, as `call` on this thread. Gives what it has written, and the call back for its
/// effects.
pub(super) fn during(
    call: CallContext,
    host: &Handle,
    work: impl FnOnce(*mut regard_abi::Call) -> Status,
) -> (Result<Written, Failure>, CallContext) {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let running = Running {
        number,
        call,
        host: host.clone(),
        lent: String::new(),
        written: Written::default(),
        failed: None,
        reported: None,
        misused: None,
        hit: None,
    };
    CURRENT.set(Some(running));
    let status = work(without_provenance_mut(number));
    match CURRENT.take() {
        Some(running) => running.ended(status),
        None => unreachable!("only `during` takes the call away, and no call begins within another one"),
    }
}

/// The call of this handle, when it is the one under way on this thread.
pub(super) fn with<T>(handle: *mut regard_abi::Call, look: impl FnOnce(&mut Running) -> T) -> Option<T> {
    CURRENT.with(|current| {
        let mut current = current.try_borrow_mut().ok()?;
        current.as_mut().filter(|running| running.number == handle.addr()).map(look)
    })
}

impl Running {
    /// What the end of the function means.
    fn ended(self, status: Status) -> (Result<Written, Failure>, CallContext) {
        let failed = |message: String| Failure::new(Fault::Failed, message);
        let said = self.failed.or(self.reported);
        let ended = match (self.hit, status) {
            (Some(hit), _) => Err(hit.into()),
            (None, Status::OK) => Ok(self.written),
            (None, Status::ERROR) => Err(said
                .map(Failure::from)
                .unwrap_or_else(|| failed("the library reports an error and does not say which".to_owned()))),
            (None, Status::CRASHED) => Err(Failure::new(
                Fault::Trap,
                said.map_or_else(|| "the library crashed".to_owned(), |error| error.message),
            )),
            (None, Status::MISUSED) => Err(failed(
                self.misused.unwrap_or_else(|| "the library called the host outside of its call".to_owned()),
            )),
            (None, Status(other)) => Err(failed(format!("the library returned the status {other}"))),
        };
        (ended, self.call)
    }

    /// Calls a host function; what it answers is lent until the next one. The time spent waiting counts as the call's.
    pub(super) fn ask(&mut self, function: &str, arguments: &[u8]) -> Status {
        if self.hit.is_some() {
            return Status::STOPPED;
        }
        if arguments.len() as u64 > self.call.limits.output_bytes {
            return self.stop(LimitHit::OutputBytes(self.call.limits.output_bytes));
        }
        let (deadline, limit) = (self.call.deadline, self.call.limits.call);
        let call = &mut self.call;
        let ended = self.host.block_on(async {
            let answering = functions::answer(call, function, arguments);
            tokio::time::timeout_at(deadline.into(), answering).await
        });
        match ended.unwrap_or(Err(Stop::Limit(LimitHit::Wall(limit)))) {
            Ok(answer) => {
                self.lent = answer.to_string();
                Status::OK
            }
            Err(Stop::Reported(error)) => {
                self.lent = functions::error(&error).to_string();
                self.reported = Some(error);
                Status::ERROR
            }
            Err(Stop::Limit(hit)) => self.stop(hit),
        }
    }

    /// What the last host function answered.
    pub(super) fn lent(&self) -> &str {
        &self.lent
    }

    /// Writes a log line.
    pub(super) fn log(&mut self, level: Level, message: &str, fields: &[u8]) -> Status {
        if self.hit.is_some() {
            return Status::STOPPED;
        }
        let fields = match serde_json::from_slice(fields) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, text(value))).collect();
        match self.call.log(level, message, &fields) {
            Ok(()) => Status::OK,
            Err(hit) => self.stop(hit),
        }
    }

    /// Takes a piece of what the function returns.
    pub(super) fn write(&mut self, piece: &[u8]) -> Status {
        let most = self.call.limits.output_bytes;
        if self.hit.is_some() {
            return Status::STOPPED;
        }
        if (self.written.bytes.len() + piece.len()) as u64 > most {
            return self.stop(LimitHit::OutputBytes(most));
        }
        self.written.bytes.extend_from_slice(piece);
        Status::OK
    }

    /// Takes the batch that the function returns; `read` reads at most so many bytes.
    pub(super) fn write_batch(
        &mut self,
        read: impl FnOnce(u64) -> Result<Batch, super::columns::Trouble>,
    ) -> Status {
        use super::columns::Trouble;
        let most = self.call.limits.output_bytes;
        if self.hit.is_some() {
            return Status::STOPPED;
        }
        match read(most) {
            Ok(batch) => {
                self.written.batch = Some(batch);
                Status::OK
            }
            Err(Trouble::TooLarge) => self.stop(LimitHit::OutputBytes(most)),
            Err(Trouble::Wrong(why)) => self.misuse(format!("write_batch: {why}")),
        }
    }

    /// Takes the library's reason for failing.
    pub(super) fn fail(&mut self, code: &str, message: String, retry_after_ms: i64) -> Status {
        let mut error = CallError::new(Fault::from_code(code), message);
        error.retry_after = u64::try_from(retry_after_ms).ok().map(Duration::from_millis);
        self.failed = Some(error);
        Status::ERROR
    }

    /// Remembers a misuse, for the message should the call fail by it.
    pub(super) fn misuse(&mut self, how: String) -> Status {
        self.misused = Some(how);
        Status::MISUSED
    }

    fn stop(&mut self, hit: LimitHit) -> Status {
        self.hit = Some(hit);
        Status::STOPPED
    }
}
