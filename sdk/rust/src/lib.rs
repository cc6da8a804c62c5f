//! Write Regard plugins in Rust.
//!
//! A plugin implements a trait for each capability it has and names them in one [`plugin!`] call. Compiled
//! for `wasm32-unknown-unknown` the crate becomes a WebAssembly component that imports nothing but
//! `regard:core`; compiled natively with the feature `native` it becomes a shared library for operators who
//! trust it; and without the feature the same code runs in ordinary unit tests, with [`testing`] in place of the
//! host.
//!
//! ```
//! use regard_sdk::{Error, Hook, hook::Event, info, plugin};
//!
//! struct Greeter;
//!
//! impl Hook for Greeter {
//!     fn handle(events: Vec<Event>) -> Result<(), Error> {
//!         info!("something happened"; events = events.len());
//!         Ok(())
//!     }
//! }
//!
//! plugin! { hook: Greeter }
//! # assert!(Greeter::handle(vec![]).is_ok());
//! ```
//!
//! Layout, in reading order:
//!
//! - [`kpi`]: [`Evaluator`] and [`Accumulator`], metrics over columns
//! - [`hook`]: [`Hook`], reacting to what happened
//! - [`connector`]: [`Connector`], a channel's way in and out
//! - [`lifecycle`]: [`Plugin`], what happens once per instance, and the [`plugin!`] macro
//! - [`migration`]: [`Migration`], what happens between two versions
//! - [`columns`] and [`rows`]: reading a batch's columns and building the one an evaluator returns
//! - [`state`]: compact, versioned bytes for an accumulator's state
//! - [`days`]: UTC days and windows
//! - [`host`]: the host's functions (log, clock, configuration, key-value, HTTP, customers, ...)
//! - [`testing`]: a host in memory, for native tests
//! - `native`: the same traits behind the C interface of `sdk/native`
//!
//! Invariant: a guest imports no WASI. What it may use of the world stands in `regard:core`.

#[doc(hidden)]
pub mod bindings;
pub mod columns;
pub mod connector;
pub mod days;
pub mod error;
pub mod hook;
pub mod host;
pub mod kpi;
pub mod lifecycle;
pub mod migration;
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod native;
pub mod rows;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod value;

pub use bindings::host::regard::core::types::{
    Attributes, Batch, Column, ColumnData, Customer, DictionaryColumn, Error, Identifier, Inbound,
    Interaction, Money, Observation, Utf8Column, Value,
};
pub use connector::Connector;
pub use hook::Hook;
pub use host::{clock, config, customers, http, interactions, kv, log, messages, metrics, records};
pub use kpi::{Accumulator, Evaluator};
pub use lifecycle::Plugin;
pub use migration::Migration;
pub use rows::BatchBuilder;
