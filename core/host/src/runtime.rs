//! What a runtime has to do: turn a package into a [`Program`], and a program's evaluator into a [`Session`].
//!
//! The registry knows nothing of WebAssembly, Luau or shared libraries; the runtimes know nothing of grants in a database,
//! of circuit breakers or of counters. `forms` and `records` are the JSON that more than one runtime takes and gives,
//! `json` reads what plugins write as JSON within bounds.

pub(crate) mod forms;
pub(crate) mod json;
pub(crate) mod luau;
pub(crate) mod native;
pub(crate) mod records;
pub(crate) mod wasm;

use std::time::Duration;

use async_trait::async_trait;
use regard_engine::Fault;
use regard_engine::columns::Batch;
use regard_engine::ports::{
    Effects, Event, Features, Handed, Outbound, Outcome, Polled, Webhook, WebhookReply,
};
use regard_model::{Channel, Metric, Timestamp};

use crate::call::CallContext;
use crate::hostcalls::CallError;
use crate::limits::LimitHit;

/// A loaded plugin, ready to be called. Calls are independent of each other.
#[async_trait]
pub(crate) trait Program: Send + Sync {
    /// Why no call can be taken now: an earlier one should have ended and has not. Never, where calls can be stopped.
    fn stuck(&self) -> Option<String> {
        None
    }
    /// Has an instance set itself up, where loading has not done so already.
    async fn set_up(&self, call: CallContext) -> Result<(), Failure> {
        drop(call);
        Ok(())
    }
    /// What the connector can do.
    async fn features(&self, call: CallContext) -> Result<Features, Failure>;
    /// The metrics that the evaluator computes; not checked yet.
    async fn metrics(&self, call: CallContext) -> Result<Vec<Metric>, Failure>;
    /// Hands events to the hook.
    async fn handle(&self, call: CallContext, events: &[Event]) -> Result<Effects, Failure>;
    /// Hands a webhook call to the connector.
    async fn receive(
        &self,
        call: CallContext,
        channel: &Channel,
        webhook: Webhook,
    ) -> Result<((Vec<Handed>, WebhookReply), Effects), Failure>;
    /// Asks the connector for what is new.
    async fn poll(
        &self,
        call: CallContext,
        channel: &Channel,
        cursor: Option<Vec<u8>>,
        limit: u32,
    ) -> Result<(Polled, Effects), Failure>;
    /// Has the connector send a message.
    async fn send(
        &self,
        call: CallContext,
        channel: &Channel,
        message: Outbound,
    ) -> Result<(Outcome, Effects), Failure>;
    /// Whether the plugin brings what it keeps from version to version.
    fn migrates(&self) -> bool;
    /// Has this version take over what version `from` kept.
    async fn upgrade(&self, call: CallContext, from: &str) -> Result<Effects, Failure>;
    /// Has this version leave what it keeps as version `to` expects it.
    async fn downgrade(&self, call: CallContext, to: &str) -> Result<Effects, Failure>;
    /// Opens an accumulator of the evaluator.
    async fn open(
        &self,
        call: CallContext,
        metric: &str,
        parameters: &str,
    ) -> Result<Box<dyn Session>, Failure>;
}

/// An open accumulator. It keeps its instance; after a failure that breaks it, every further call fails.
#[async_trait]
pub(crate) trait Session: Send {
    /// Adds rows.
    async fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Failure>;
    /// Adds another accumulator's state.
    async fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Failure>;
    /// Everything added so far.
    async fn state(&mut self) -> Result<Vec<u8>, Failure>;
    /// The result, not checked yet.
    async fn finish(&mut self, as_of: Timestamp) -> Result<Batch, Failure>;
    /// Fitted parameters as JSON text.
    async fn model(&mut self) -> Result<Option<String>, Failure>;
}

/// Longest message of a failure, in bytes. It goes into logs, counters and answers, and a plugin has its say in it.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// A message from a plugin, no longer than is read.
pub(crate) fn shorten(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('\u{2026}');
    }
    message
}

/// Why a call failed, before plugin and call are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What kind of failure.
    pub(crate) fault: Fault,
    /// In words.
    pub(crate) message: String,
    /// When to try again.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into(), retry_after: None }
    }

    /// The task that ran the guest is gone: it panicked, or the host is shutting down.
    pub(crate) fn lost(why: tokio::task::JoinError) -> Self {
        let words =
            if why.is_panic() { "the host panicked during the call" } else { "the host is shutting down" };
        Self::new(Fault::Failed, words)
    }

    /// An accumulator is used after a call that broke it.
    pub(crate) fn broken() -> Self {
        Self::new(Fault::Failed, "an earlier call broke this accumulator; open a new one")
    }
}

impl From<LimitHit> for Failure {
    fn from(hit: LimitHit) -> Self {
        Self::new(hit.fault(), hit.to_string())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self { fault: error.fault, message: error.message, retry_after: error.retry_after }
    }
}
