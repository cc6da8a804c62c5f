//! What a failed call means.

use regard_engine::Fault;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use super::engine::HANDLES_MAX;
use super::guest::State;
use crate::limits::LimitHit;
use crate::runtime::Failure;

/// Functions named in a message, innermost first; they show where it happened, the log has the rest.
const FUNCTIONS_NAMED: usize = 3;
/// What wasmtime says when a guest hands over more than it may; the error has no public type.
const TOO_MUCH_HANDED_OVER: &str = "fuel allocated for hostcalls has been exhausted";

/// What wasmtime says when a guest takes more handles than it may; this error has none either.
const TOO_MANY_HANDLES: &str = "store handle limit exceeded";

/// Sorts out why a call ended: a bound, a crash, or a breach of the contract.
pub(super) fn classify(error: &Error, state: &State) -> Failure {
    if let Some(&hit) = error.downcast_ref::<LimitHit>() {
        // What was left of the time when the call began matters less than the limit that it had.
        let hit = if let LimitHit::Wall(_) = hit { LimitHit::Wall(state.call.limits.call) } else { hit };
        let mut failure = Failure::from(hit);
        failure.message.push_str(&place(error));
        return failure;
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::new(
            Fault::Throttled,
            format!("no room for another instance: {}", error.root_cause()),
        );
    }
    let cause = error.root_cause().to_string();
    if cause.contains(TOO_MUCH_HANDED_OVER) {
        return LimitHit::OutputBytes(state.call.limits.output_bytes).into();
    }
    if cause.contains(TOO_MANY_HANDLES) {
        return LimitHit::Handles(HANDLES_MAX).into();
    }
    let fault = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Fault::Timeout,
        Some(Trap::AllocationTooLarge) => Fault::Memory,
        _ => Fault::Trap,
    };
    // A guest that panics logs why before it traps; the trap itself only says that it was unreachable.
    let last_words =
        state.call.last_words.as_ref().map(|words| format!("; it said: {words}")).unwrap_or_default();
    Failure::new(fault, format!("{cause}{}{last_words}", place(error)))
}

fn place(error: &Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names: Vec<_> =
        backtrace.frames().iter().filter_map(|frame| frame.func_name()).take(FUNCTIONS_NAMED).collect();
    if names.is_empty() { String::new() } else { format!(" in {}", names.join(" < ")) }
}
