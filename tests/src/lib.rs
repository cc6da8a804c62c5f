//! What the tests across crates share.
//!
//! - [`postgres`]: a PostgreSQL server for the time of a test run, a fresh database for each case
//! - [`server`]: the real program, as commands and as a server in a process of its own

pub mod postgres;
pub mod server;
