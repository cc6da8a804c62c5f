//! Takes a plugin out of service that breaks again and again.
//!
//! A plugin that breaks several times in a row rests for a while, each time twice as long; after several rests it is
//! quarantined until the operator enables it again. A reported error is no break: the plugin works, something else does
//! not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use regard_engine::Fault;
use regard_model::Timestamp;

/// Breaks in a row before a rest: one or two may be an unlucky input, five are a pattern.
const BREAKS_BEFORE_REST: u32 = 5;
/// The first rest, in milliseconds: long enough to cost nothing, short enough for a slip to go unnoticed.
const REST_MS_FIRST: i64 = 1_000;
/// Rests without a good call in between before quarantine; by then a minute has been spent waiting.
const RESTS_BEFORE_QUARANTINE: u32 = 6;

/// Counts breaks and decides whether a call may be made.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    /// Whether there is anything in the state: calls of a plugin that never breaks need not look.
    troubled: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    breaks: u32,
    rests: u32,
    rests_until: Option<Timestamp>,
    quarantine: Option<String>,
}

/// Why a plugin is not called now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// For so long.
    Resting(Duration),
    /// For this reason, until the operator enables it again.
    Quarantined(String),
}

impl Breaker {
    /// Says when a call must not be made.
    pub(crate) fn check(&self, now: impl FnOnce() -> Timestamp) -> Result<(), Closed> {
        if !self.troubled.load(Ordering::Acquire) {
            return Ok(());
        }
        let state = self.state.lock();
        if let Some(reason) = &state.quarantine {
            return Err(Closed::Quarantined(reason.clone()));
        }
        match state.rests_until {
            Some(until) => {
                let now = now();
                if now >= until {
                    return Ok(());
                }
                let left = until.as_millis() - now.as_millis();
                Err(Closed::Resting(Duration::from_millis(left.unsigned_abs())))
            }
            None => Ok(()),
        }
    }

    /// Notes how a call ended. `what` names it when it failed. Gives the reason when this call led to quarantine.
    pub(crate) fn note(
        &self,
        now: impl FnOnce() -> Timestamp,
        fault: Option<Fault>,
        what: impl Fn() -> String,
    ) -> Option<String> {
        let breaks = fault.is_some_and(Fault::breaks_instance);
        if !breaks && !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        if !breaks {
            // Calls that were under way when the plugin was quarantined do not bring it back.
            if state.quarantine.is_none() {
                *state = State::default();
                self.troubled.store(false, Ordering::Release);
            }
            return None;
        }
        self.troubled.store(true, Ordering::Release);
        state.breaks += 1;
        if state.breaks < BREAKS_BEFORE_REST || state.quarantine.is_some() {
            return None;
        }
        state.breaks = 0;
        state.rests += 1;
        if state.rests >= RESTS_BEFORE_QUARANTINE {
            let reason =
                format!("broke {} times in a row, last: {}", BREAKS_BEFORE_REST * state.rests, what());
            state.quarantine = Some(reason.clone());
            return Some(reason);
        }
        state.rests_until = Some(now().plus_millis(REST_MS_FIRST << (state.rests - 1)));
        None
    }

    /// Why the plugin is in quarantine, if it is.
    pub(crate) fn quarantine(&self) -> Option<String> {
        self.state.lock().quarantine.clone()
    }

    /// Gives the plugin a new start.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        *state = State::default();
        self.troubled.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn break_until_rest(breaker: &Breaker, now: Timestamp) -> Option<String> {
        (0..BREAKS_BEFORE_REST)
            .filter_map(|_| breaker.note(|| now, Some(Fault::Trap), || "x: hook.handle".into()))
            .last()
    }

    #[test]
    fn rests_double_and_end_in_quarantine() {
        let breaker = Breaker::default();
        let mut now = at(0);
        for rest in 0..RESTS_BEFORE_QUARANTINE - 1 {
            assert_eq!(breaker.check(|| now), Ok(()));
            assert_eq!(break_until_rest(&breaker, now), None);
            let millis = 1_000 << rest;
            assert_eq!(breaker.check(|| now), Err(Closed::Resting(Duration::from_millis(millis))));
            now = now.plus_millis(millis as i64);
        }
        let reason = break_until_rest(&breaker, now).expect("quarantine");
        assert_eq!(reason, "broke 30 times in a row, last: x: hook.handle");
        assert_eq!(breaker.check(|| at(i64::MAX)), Err(Closed::Quarantined(reason)));
        breaker.reset();
        assert_eq!(breaker.check(|| now), Ok(()));
    }

    #[test]
    fn a_good_call_and_a_reported_error_clear_the_record() {
        let breaker = Breaker::default();
        for fault in [None, Some(Fault::Unavailable)] {
            for _ in 1..BREAKS_BEFORE_REST {
                breaker.note(|| at(0), Some(Fault::Timeout), String::new);
            }
            breaker.note(|| at(0), fault, String::new);
        }
        assert_eq!(breaker.check(|| at(0)), Ok(()));
    }
}
