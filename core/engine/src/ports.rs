//! What the engine needs from others: a store, plugins, a clock. The traits stand here, where they are used; `store`
//! and `host` implement them and the server puts the parts together.
//!
//! - [`log`]: interactions handed in, and what became of them
//! - [`dispatch`]: what happens, in order, for those who follow it
//! - [`delivery`]: messages on their way out, and their channels
//! - [`reads`]: what plugins and evaluators may read
//! - [`plugins`]: hooks, connectors, evaluators

mod delivery;
mod dispatch;
mod log;
mod plugins;
mod reads;

use regard_model::Timestamp;

pub use delivery::{Channels, Claimed, Outbox, Settlement};
pub use dispatch::{Effects, Event, Feed, Lease, Progress, Stream, Subscription};
pub use log::{Appended, Incoming, Log};
pub use plugins::{
    Accumulator, Connectors, Evaluators, Features, Handed, Hooks, Outbound, Outcome, Polled, Webhook,
    WebhookReply,
};
pub use reads::{
    FactQuery, FactSource, Facts, InteractionFilter, Reads, RecordPlace, RecordQuery, RecordSort,
};

/// Tells the time. Virtual in simulations and tests.
pub trait Clock: Send + Sync {
    /// This instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
