//! Where everything is kept: SQLite by default, PostgreSQL when one machine is not enough.
//!
//! A [`Store`] implements the engine's ports [`Log`](regard_engine::ports::Log), [`Feed`](regard_engine::ports::Feed),
//! [`Outbox`](regard_engine::ports::Outbox), [`Channels`](regard_engine::ports::Channels),
//! [`Reads`](regard_engine::ports::Reads) and [`FactSource`](regard_engine::ports::FactSource), and has methods for what
//! people do. Every call that writes is one transaction, durable when it returns.
//!
//! In the order a reader should meet the modules:
//!
//! - [`open`]: where a store is, and the transactions that everything runs in
//! - [`migrations`]: the tables and the views that people query; [`entity`]: the tables as types
//! - [`sqlite`]: one writer, many readers; [`failure`]: what a driver's error means; [`json`]: JSON columns
//! - [`append`]: the hot path into the log; [`interactions`] and [`facts`]: out of it, as rows and as columns
//! - [`customers`], [`customer_import`], [`merges`], [`relationships`], [`consents`]: who
//! - [`channels`], [`secrets`], [`seal`]: where
//! - [`records`]: objects of the types that plugins declare
//! - [`metrics`]: what was found out
//! - [`feed`], [`outbox`], [`delivery`], [`reads`], [`kept`]: what happens next
//! - [`plugins`], [`plugin_versions`], [`plugin_files`], [`scripts`], [`tokens`], [`audit`], [`idempotency`], [`imports`]: what keeps the house in order
//! - [`export`], [`counts`]: everything about one customer, and a little about everything
//!
//! Architecture invariant: only this crate knows a database. No type of sea-orm, sqlx or rusqlite leaves it.

mod append;
mod audit;
mod channels;
mod consents;
mod counts;
mod customer_import;
mod customers;
mod delivery;
mod entity;
mod export;
mod facts;
mod failure;
mod feed;
mod idempotency;
mod imports;
mod interactions;
mod json;
mod kept;
mod merges;
mod metrics;
mod migrations;
mod open;
mod outbox;
mod plugin_files;
mod plugin_versions;
mod plugins;
mod reads;
mod records;
mod relationships;
mod scripts;
mod seal;
mod secrets;
mod sqlite;
mod tokens;

pub use audit::{AuditCheck, AuditFilter};
pub use channels::ChannelChange;
pub use counts::Counts;
pub use customer_import::Imported;
pub use customers::CustomerFilter;
pub use idempotency::{ANSWER_KEPT_MS, Answer};
pub use metrics::record::Finding;
pub use open::{Store, StoreOptions};
pub use plugin_versions::EARLIER_VERSIONS_MAX;
pub use secrets::SecretOwner;
