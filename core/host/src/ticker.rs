//! The clock that stops plugins: one thread that ticks while at least one call runs.
//!
//! A guest cannot be asked politely to stop. WebAssembly code compares an epoch counter at every loop edge and Luau
//! calls an interrupt there; both only read a number that this thread moves on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// One tick. A guest is stopped, or gives way to others on its thread, at most this much late; shorter ticks cost wake-ups.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Zero of [`now_us`].
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Microseconds since [`START`], as of the last tick or the last start of a call.
static NOW_US: AtomicU64 = AtomicU64::new(0);

/// Microseconds since the process first asked, at most one tick old while a call runs; costs one load.
#[inline]
pub(crate) fn coarse_now_us() -> u64 {
    NOW_US.load(Ordering::Relaxed)
}

/// Microseconds since the process first asked, exactly. Moves [`coarse_now_us`] on.
pub(crate) fn now_us() -> u64 {
    let now = u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX);
    NOW_US.fetch_max(now, Ordering::Relaxed);
    now
}

/// Ticks while a call runs and sleeps while none does, so that an idle server does not wake up.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    stopped: bool,
}

/// Keeps the clock going while a call runs.
pub(crate) struct Running(Arc<Shared>);

impl Ticker {
    /// Starts the thread; it calls `tick` at every tick.
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new() });
        let ours = shared.clone();
        std::thread::Builder::new().name("plugin-ticker".into()).spawn(move || {
            loop {
                {
                    let mut state = ours.state.lock();
                    while state.running == 0 && !state.stopped {
                        ours.wake.wait(&mut state);
                    }
                    if state.stopped {
                        return;
                    }
                }
                std::thread::sleep(TICK);
                now_us();
                tick();
            }
        })?;
        Ok(Self { shared })
    }

    /// A call begins; the clock runs until what this returns is dropped.
    pub(crate) fn run(&self) -> Running {
        now_us();
        let mut state = self.shared.state.lock();
        state.running += 1;
        if state.running == 1 {
            self.shared.wake.notify_one();
        }
        Running(self.shared.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ticks_only_while_a_call_runs() {
        let ticks = Arc::new(AtomicU64::new(0));
        let counted = ticks.clone();
        let ticker = Ticker::start(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .expect("a thread");
        std::thread::sleep(TICK * 5);
        assert_eq!(ticks.load(Ordering::Relaxed), 0);
        let running = ticker.run();
        let before = coarse_now_us();
        std::thread::sleep(TICK * 20);
        assert!(ticks.load(Ordering::Relaxed) > 0 && coarse_now_us() > before);
        drop(running);
    }
}
