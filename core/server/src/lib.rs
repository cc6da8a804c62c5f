//! The `regard` program: the command line, the HTTP API, and the wiring of store, host and engine.
//!
//! - [`cli`]: the commands, one file each
//! - [`app`]: the parts, put together
//! - [`config`]: where data lives and what the server listens on
//! - [`plugins`]: install, enable and load plugins
//! - [`bundled`]: the plugins that come with the source
//! - [`import`]: files of customers and interactions
//! - [`metrics`]: evaluate a metric and keep the answer
//! - [`http`]: the API
//! - [`client`]: how a command reaches the API, in this process or over the network
//! - [`report`]: what the demo tells a shop owner
//!
//! Architecture invariant: only this crate knows axum and clap; nothing depends on it.

pub mod app;
pub mod bundled;
pub mod cli;
pub mod client;
pub mod config;
pub mod http;
pub mod import;
pub mod metrics;
pub mod plugins;
pub mod report;
