//! Runs plugins: what they are, what they may do, and what happens when they misbehave.
//!
//! A plugin is somebody else's code. It runs in a sandbox (a WebAssembly component or a Luau program), reaches the
//! world only through the contract in `sdk/wit`, and is stopped when it takes more time, memory or output than it
//! may. Whatever it does, the next call, of the same plugin or of another one, works. The exception is a native library
//! whose digest the operator has allowed: it is trusted like the host itself, and cannot be stopped.
//!
//! In the order a reader should meet them:
//!
//! - [`manifest`]: `plugin.toml`, what a plugin is and what it asks for
//! - [`package`]: a plugin's files and their digest, as a folder and as a signed archive, and the index of many
//! - [`grants`] and [`limits`]: what the operator allows
//! - [`registry`]: [`Host`], which loads plugins and implements the engine's ports
//! - `call` and `hostcalls`: one call of a plugin, and the host's functions, the same for every runtime
//! - [`http`]: outbound HTTP with its checks
//! - `runtime`: what a runtime has to do; `runtime/wasm`, `runtime/luau` and `runtime/native` do it
//! - `executor` and `ticker`: the threads that plugins run on, and the clock that stops them
//! - `breaker`, [`stats`] and `moved`: which plugin is taken out of service, and what its calls cost
//! - [`build`]: from a plugin's sources to its component or library
//!
//! Architecture invariant: only this crate knows wasmtime, mlua and libloading, and no guest is ever given WASI. `unsafe`
//! stands in seven modules, each audited and each with its reason: `runtime/wasm/cache.rs` (loading our own compiled code),
//! below `runtime/luau` `interrupt.rs` (stopping a Luau program) and `bounds.rs` (measuring what nothing can stop), and below
//! `runtime/native` `library.rs` and `accumulator.rs` (calling a library's functions), `table.rs` (being called by it) and
//! `columns.rs` (reading its columns).

mod breaker;
mod call;
mod executor;
mod hostcalls;
mod kpi;
mod meter;
mod moved;
mod runtime;
mod ticker;

pub mod build;
pub mod grants;
pub mod http;
pub mod limits;
pub mod manifest;
pub mod package;
pub mod registry;
pub mod stats;

pub use grants::Grants;
pub use limits::{CallLimits, OperatorLimits};
pub use manifest::Manifest;
pub use package::archive::{Archive, ArchiveError};
pub use package::{Package, PackageError};
pub use registry::{Host, HostOptions, LoadError, PluginStatus, Prepared, Quiet, Service};
pub use stats::{CallStats, PluginStats};
