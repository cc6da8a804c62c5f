//! The path of one interaction, from the moment it is received to the message that answers it.
//!
//! Read [`pipeline`] first: it shows the whole way on one screen. Then, in the order of the way:
//!
//! - [`inbound`]: validate, normalise, deduplicate
//! - [`identity`]: identifiers to customer
//! - [`log`]: append, durable before the caller hears of it, many callers per commit
//! - [`dispatch`]: hooks, each event once, effects and progress in one transaction
//! - [`outbox`]: which message may be sent at all, and when to try again
//! - [`deliver`]: hand messages to connectors and write down what became of them
//! - [`poll`]: the other way in, for providers that do not call us
//! - [`schedule`]: what hooks do for no other reason than the time
//!
//! Beside the way stand [`ports`] (what the engine needs from others), [`columns`] (how evaluators see
//! interactions), [`import`] (where a long import stands) and [`error`].
//!
//! Architecture invariant: nothing here knows a database, a plugin runtime or HTTP.

pub mod columns;
pub mod deliver;
pub mod dispatch;
pub mod error;
pub mod identity;
pub mod import;
pub mod inbound;
pub mod log;
pub mod outbox;
pub mod pipeline;
pub mod poll;
pub mod ports;
pub mod schedule;

pub use error::{Fault, PluginError, StoreError};
pub use pipeline::{Parts, Pipeline};
