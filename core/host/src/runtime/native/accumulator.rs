//! An open accumulator of a library.

#![allow(unsafe_code, reason = "an accumulator is a pointer of the library's, handed to its functions")]

use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use async_trait::async_trait;
use regard_abi::{self as abi, Status, Text};
use regard_engine::Fault;
use regard_engine::columns::Batch;
use regard_model::Timestamp;

use super::columns;
use super::current::{Written, during};
use super::library::Library;
use crate::call::CallContext;
use crate::runtime::{Failure, Session};

/// An open accumulator. It is taken out for a call and put back when the call has left it whole.
pub(super) struct NativeAccumulator {
    open: Option<Open>,
    library: Arc<Library>,
}

/// The accumulator, and the call that is charged.
pub(super) struct Open {
    call: Option<CallContext>,
    accumulator: Handle,
}

/// The library's accumulator. Dropping it has the library free it, on one of its own threads.
struct Handle {
    at: At,
    library: Arc<Library>,
}

/// What the library gave.
#[derive(Clone, Copy)]
struct At(NonNull<abi::Accumulator>);

// SAFETY: `regard.h` says that an accumulator is called by one thread at a time, but not always the same one. Only `Handle`
// has one, and gives it to a function of the library by `&mut`, or when it is dropped.
unsafe impl Send for At {}

impl At {
    /// Hands the accumulator back.
    fn close(self, close: abi::KpiClose) {
        // SAFETY: the library made this accumulator and gets it back once, from `Handle`'s end.
        unsafe { close(self.0.as_ptr()) };
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let (at, close) = (self.at, self.library.table().kpi_close);
        self.library.threads.detach("kpi.close", move || {
            if let Some(close) = close {
                at.close(close);
            }
        });
    }
}

/// A function of the library that a loaded evaluator lacks; `check_exports` refuses it before.
fn lacks(name: &str) -> Failure {
    Failure::new(Fault::Unsupported, format!("the library has no {name}"))
}

impl Open {
    /// Opens an accumulator of `metric` on this thread.
    pub(super) fn new(
        library: &Arc<Library>,
        call: CallContext,
        metric: &str,
        parameters: &str,
    ) -> Result<Self, Failure> {
        let open = library.table().kpi_open.ok_or_else(|| lacks("kpi_open"))?;
        let mut opened = null_mut();
        let (ended, call) = during(call, library.threads.host(), |call| {
            // SAFETY: the pointer leads to the library's function. The texts and the place for the accumulator outlive the
            // call.
            unsafe { open(call, Text::new(metric), Text::new(parameters), &raw mut opened) }
        });
        // An accumulator is the host's to close, also when the library then failed.
        let handle = NonNull::new(opened).map(|at| Handle { at: At(at), library: library.clone() });
        ended?;
        let none = || Failure::new(Fault::Failed, "kpi_open gave no accumulator");
        Ok(Self { call: Some(call), accumulator: handle.ok_or_else(none)? })
    }

    /// Calls one of the library's functions with the accumulator.
    fn run(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&abi::Plugin, *mut abi::Call, *mut abi::Accumulator) -> Option<Status>,
    ) -> Result<Written, Failure> {
        let call = self.call.take().ok_or_else(Failure::broken)?;
        let library = &self.accumulator.library;
        let at = self.accumulator.at.0.as_ptr();
        let mut has = true;
        let (ended, call) = during(call, library.threads.host(), |call| {
            work(library.table(), call, at).unwrap_or_else(|| {
                has = false;
                Status::ERROR
            })
        });
        self.call = Some(call);
        if has { ended } else { Err(lacks(name)) }
    }

    fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<Written, Failure> {
        let columns = columns::lend(rows);
        let batch =
            abi::Batch { rows: rows.rows, column_count: columns.len() as u32, columns: columns.as_ptr() };
        self.run("update", |table, call, at| {
            let update = table.kpi_update?;
            // SAFETY: the pointer leads to the library's function, `at` is its open accumulator, and the groups, as many as
            // rows, and the batch outlive the call.
            Some(unsafe { update(call, at, groups.as_ptr(), group_count, &raw const batch) })
        })
    }

    fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<Written, Failure> {
        self.run("merge", |table, call, at| {
            let merge = table.kpi_merge?;
            // SAFETY: as for `update`; state and remap outlive the call.
            Some(unsafe { merge(call, at, state.as_ptr(), state.len(), remap.as_ptr(), remap.len()) })
        })
    }

    fn state(&mut self) -> Result<Written, Failure> {
        // SAFETY: as for `update`.
        self.run("state", |table, call, at| table.kpi_state.map(|state| unsafe { state(call, at) }))
    }

    fn finish(&mut self, as_of: Timestamp) -> Result<Written, Failure> {
        let as_of_ms = as_of.as_millis();
        // SAFETY: as for `update`.
        self.run("finish", |table, call, at| {
            table.kpi_finish.map(|finish| unsafe { finish(call, at, as_of_ms) })
        })
    }

    fn model(&mut self) -> Result<Written, Failure> {
        // SAFETY: as for `update`.
        self.run("model", |table, call, at| table.kpi_model.map(|model| unsafe { model(call, at) }))
    }
}

impl NativeAccumulator {
    pub(super) fn new(open: Open, library: Arc<Library>) -> Self {
        Self { open: Some(open), library }
    }

    /// Calls a function on one of the library's threads, also when the caller's is a plugin thread: a call that got
    /// stuck there would take a thread from all plugins, and nobody could give it up.
    async fn run(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Open) -> Result<Written, Failure> + Send + 'static,
    ) -> Result<Written, Failure> {
        if let Some(why) = self.library.threads.stuck() {
            return Err(Failure::new(Fault::OutOfService, why));
        }
        let mut open = self.open.take().ok_or_else(Failure::broken)?;
        let Some(call) = &mut open.call else { return Err(Failure::broken()) };
        call.begin(name);
        let (role, deadline, limits) = (call.role, call.deadline, call.limits);
        let ran = self
            .library
            .threads
            .run(role, name, (deadline, limits.call), move || {
                let ended = work(&mut open);
                let broke = ended.as_ref().is_err_and(|failure| failure.fault.breaks_instance());
                ((!broke).then_some(open), ended)
            })
            .await;
        let (open, ended) = ran?;
        self.open = open;
        ended
    }
}

#[async_trait]
impl Session for NativeAccumulator {
    /// Groups and rows are copied: a call that is stuck goes on reading them after the caller has given it up.
    async fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Failure> {
        let (groups, rows) = (groups.to_vec(), rows.clone());
        self.run("update", move |open| open.update(&groups, group_count, &rows)).await.map(drop)
    }

    async fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Failure> {
        let (state, remap) = (state.to_vec(), remap.to_vec());
        self.run("merge", move |open| open.merge(&state, &remap)).await.map(drop)
    }

    async fn state(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(self.run("state", Open::state).await?.bytes)
    }

    async fn finish(&mut self, as_of: Timestamp) -> Result<Batch, Failure> {
        let written = self.run("finish", move |open| open.finish(as_of)).await?;
        written.batch.ok_or_else(|| Failure::new(Fault::Failed, "kpi_finish hands over no batch"))
    }

    /// A library without such a function has no models.
    async fn model(&mut self) -> Result<Option<String>, Failure> {
        if self.library.table().kpi_model.is_none() {
            return if self.open.is_some() { Ok(None) } else { Err(Failure::broken()) };
        }
        let written = self.run("model", Open::model).await?;
        if written.bytes.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8(written.bytes);
        text.map(Some).map_err(|_| Failure::new(Fault::Failed, "what kpi_model writes is not UTF-8"))
    }
}
