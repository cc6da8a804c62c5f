//! From interactions to metrics: columns out of the log, an evaluator over them, observations back.
//!
//! - [`frame`]: facts become batches with a group per customer
//! - [`evaluate`]: one run of an evaluator
//! - [`summary`]: what a run found about the population
//!
//! Architecture invariant: nothing here knows a database or a plugin runtime; both come in through the engine's ports.

pub mod evaluate;
pub mod frame;
pub mod summary;

pub use evaluate::{EvaluateError, EvaluateRequest, Evaluated, evaluate};
