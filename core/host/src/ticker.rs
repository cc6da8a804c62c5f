//! The clock that stops plugins: one thread that ticks while at least one call runs.
//!
//! A guest cannot be asked politely to stop. WebAssembly code compares an epoch counter at every loop edge and Luau
//! calls an interrupt there; both only read a number that this thread moves on.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// One tick. A guest is stopped, or gives way to others on its thread, at most this much late; shorter ticks cost wake-ups.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Ticks that the thread goes on after the last call, so that calls in quick succession need not wake it each time.
const LINGER_TICKS: u32 = 50;

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
    running: AtomicUsize,
    stopped: AtomicBool,
    /// Whether the thread sleeps, or is about to: only then does a call that begins have to wake it.
    asleep: AtomicBool,
    /// Held by the thread between looking at `running` and going to sleep, so that no wake-up is missed.
    sleep: Mutex<()>,
    wake: Condvar,
}

/// Keeps the clock going while a call runs.
pub(crate) struct Running(Arc<Shared>);

impl Ticker {
    /// Starts the thread; it calls `tick` at every tick.
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        });
        let ours = shared.clone();
        std::thread::Builder::new().name("plugin-ticker".into()).spawn(move || ours.run(tick))?;
        Ok(Self { shared })
    }

    /// A call begins; the clock runs until what this returns is dropped.
    pub(crate) fn run(&self) -> Running {
        now_us();
        let first = self.shared.running.fetch_add(1, Ordering::SeqCst) == 0;
        // Either the thread says that it sleeps before this looks, or it looks at `running` after this has raised it.
        if first && self.shared.asleep.load(Ordering::SeqCst) {
            // Taking the lock waits out a thread that has just seen nothing run and is about to sleep.
            drop(self.shared.sleep.lock());
            self.shared.wake.notify_one();
        }
        Running(self.shared.clone())
    }
}

impl Shared {
    fn run(&self, tick: impl Fn()) {
        let mut idle_ticks = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            idle_ticks = if self.running.load(Ordering::SeqCst) > 0 { 0 } else { idle_ticks + 1 };
            if idle_ticks > LINGER_TICKS {
                let mut sleeping = self.sleep.lock();
                self.asleep.store(true, Ordering::SeqCst);
                while self.running.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
                    self.wake.wait(&mut sleeping);
                }
                self.asleep.store(false, Ordering::SeqCst);
                continue;
            }
            std::thread::sleep(TICK);
            now_us();
            tick();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(self.shared.sleep.lock());
        self.shared.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ticks_while_a_call_runs_and_sleeps_after() {
        let ticks = Arc::new(AtomicU64::new(0));
        let counted = ticks.clone();
        let tick = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let ticker = Ticker::start(tick).expect("a thread");
        for _ in 0..2 {
            let (before, ticked) = (coarse_now_us(), ticks.load(Ordering::Relaxed));
            let running = ticker.run();
            std::thread::sleep(TICK * 20);
            assert!(ticks.load(Ordering::Relaxed) > ticked && coarse_now_us() > before);
            drop(running);
            // A tick may take longer than it should on a busy machine, so this waits for the end instead of for a time.
            let mut seen = ticks.load(Ordering::Relaxed);
            loop {
                std::thread::sleep(TICK * 4 * LINGER_TICKS);
                let now = ticks.load(Ordering::Relaxed);
                if now == seen {
                    break;
                }
                seen = now;
            }
        }
    }
}
