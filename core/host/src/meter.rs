//! How long a call has computed, apart from how long it has taken.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Measures what one call computes on the thread that it keeps. Asking the system costs a third of a microsecond and a short
/// call no more than that: what lies before the first look is taken by the clock, without what was waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    started: Instant,
    waited: Duration,
    /// What was computed before the first look, and what the thread had computed in all by then.
    first: Option<(Duration, Duration)>,
}

impl Meter {
    /// A call begins on this thread.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), waited: Duration::ZERO, first: None }
    }

    /// The call has waited for so long.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// What the call has computed so far. To be asked for at every tick.
    pub(crate) fn look(&mut self) -> Duration {
        match self.first {
            Some(_) => self.computed(),
            None => {
                let computed = self.computed();
                self.first = Some((computed, thread_time()));
                computed
            }
        }
    }

    /// What the call has computed.
    pub(crate) fn computed(&self) -> Duration {
        match self.first {
            Some((before, at)) => before + thread_time().saturating_sub(at),
            None => self.started.elapsed().saturating_sub(self.waited),
        }
    }
}

thread_local! {
    /// What the call whose turn it is had computed before, and what the thread had computed in all by then.
    static TURN: Cell<Option<(Duration, Duration)>> = const { Cell::new(None) };
}

/// One turn of a call on whatever thread drives it: such a call goes from thread to thread, turn by turn.
pub(crate) struct Turn {
    began: Duration,
}

impl Turn {
    /// The turn of a call that has computed for so long `before` begins on this thread.
    pub(crate) fn begin(before: Duration) -> Self {
        let began = thread_time();
        TURN.set(Some((before, began)));
        Self { began }
    }

    /// What was computed in this turn, which ends.
    pub(crate) fn end(self) -> Duration {
        thread_time().saturating_sub(self.began)
    }

    /// What the call whose turn it is on this thread has computed by now.
    pub(crate) fn computed() -> Option<Duration> {
        TURN.get().map(|(before, began)| before + thread_time().saturating_sub(began))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURN.set(None);
    }
}

/// How long the current thread has computed; while another one has its processor, it does not.
#[cfg(unix)]
pub(crate) fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// There is no such clock here: all time counts.
#[cfg(not(unix))]
pub(crate) fn thread_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_computing_counts() {
        const NAP: Duration = Duration::from_millis(200);
        let mut meter = Meter::start();
        std::thread::sleep(NAP);
        meter.waited(NAP);
        let before = meter.look();
        assert!(before < NAP, "a wait that was told of: {before:?}");
        std::thread::sleep(NAP);
        assert!(meter.computed() < before + NAP / 2, "a wait that was not");
        while meter.computed() < before + NAP / 10 {
            std::hint::spin_loop();
        }
    }
}
