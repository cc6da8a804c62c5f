//! A library's own threads.
//!
//! A call cannot be stopped, only given up: its thread stays with the library until the call returns. So each library
//! has its own few threads, and takes no calls while one of them is stuck; the threads of other plugins are not touched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use regard_engine::Fault;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::call::Role;
use crate::executor::Executor;
use crate::limits::LimitHit;
use crate::runtime::Failure;

/// Calls of one library that run at a time, and so the most threads that it can lose.
const THREADS_MAX: usize = 4;
/// A library's code expects the stack of a main thread, not the smaller one of a thread in a pool.
const STACK_BYTES: usize = 8 << 20;
/// Time to free an accumulator; freeing the largest takes well below a second.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(15);

/// Threads on which the functions of one library run.
pub(super) struct Threads {
    pool: Option<Runtime>,
    executor: Arc<Executor>,
    underway: Arc<Underway>,
}

/// The calls that run, by number.
#[derive(Default)]
struct Underway {
    calls: Mutex<BTreeMap<u64, Call>>,
    next: AtomicU64,
}

struct Call {
    what: String,
    begun: Instant,
    deadline: Instant,
}

/// A call that runs for as long as this lives.
struct Entered {
    underway: Arc<Underway>,
    number: u64,
}

impl Underway {
    fn enter(self: &Arc<Self>, what: String, deadline: Instant) -> Entered {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.calls.lock().insert(number, Call { what, begun: Instant::now(), deadline });
        Entered { underway: self.clone(), number }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.underway.calls.lock().remove(&self.number);
    }
}

impl Threads {
    /// Threads for the library of `plugin`; none runs before the first call.
    pub(super) fn start(plugin: &str, executor: Arc<Executor>) -> Result<Self, Failure> {
        let pool = Builder::new_current_thread()
            .max_blocking_threads(THREADS_MAX)
            .thread_stack_size(STACK_BYTES)
            .thread_name(format!("native-{plugin}"))
            .build()
            .map_err(|why| Failure::new(Fault::Failed, format!("cannot start threads: {why}")))?;
        Ok(Self { pool: Some(pool), executor, underway: Arc::default() })
    }

    /// The runtime with the clock and the sockets that host functions wait for.
    pub(super) fn host(&self) -> &Handle {
        self.executor.handle()
    }

    /// Names the call that should have returned by now, if there is one.
    pub(super) fn stuck(&self) -> Option<String> {
        let calls = self.underway.calls.lock();
        let now = Instant::now();
        let call = calls.values().find(|call| call.deadline < now)?;
        Some(format!(
            "{} has not returned for {} ms; the library takes no further calls until it does",
            call.what,
            now.duration_since(call.begun).as_millis()
        ))
    }

    /// Runs `work`, the call `role.name`, on one of the threads until its time is over. Work that has begun by then goes on
    /// without anybody who waits for it; what it returns is dropped on its thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        role: Role,
        name: &'static str,
        (deadline, limit): (Instant, Duration),
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        if let Some(why) = self.stuck() {
            return Err(Failure::new(Fault::OutOfService, why));
        }
        let busy = || {
            let message = "all threads of the library were busy for the whole time of the call";
            Failure::new(Fault::Throttled, message)
        };
        let (underway, begun) = (self.underway.clone(), Arc::new(AtomicBool::new(false)));
        let has_begun = begun.clone();
        let Some(pool) = &self.pool else { return Err(busy()) };
        let task = pool.spawn_blocking(move || {
            if Instant::now() >= deadline {
                return None;
            }
            begun.store(true, Ordering::Relaxed);
            let _entered = underway.enter(format!("{}.{name}", role.as_str()), deadline);
            Some(work())
        });
        let stop = task.abort_handle();
        let waiting = {
            // The caller's thread may have no clock of tokio's.
            let _clock = self.host().enter();
            tokio::time::timeout_at(deadline.into(), task)
        };
        match waiting.await {
            Ok(Ok(Some(ended))) => Ok(ended),
            Ok(Ok(None)) => Err(busy()),
            Ok(Err(why)) => Err(Failure::lost(why)),
            Err(_) if has_begun.load(Ordering::Relaxed) => {
                let mut failure = Failure::from(LimitHit::Wall(limit));
                failure
                    .message
                    .push_str(" and cannot be stopped; the library takes no calls until it returns");
                Err(failure)
            }
            Err(_) => {
                stop.abort();
                Err(busy())
            }
        }
    }

    /// Runs `work`, which nobody waits for, on one of the threads.
    pub(super) fn detach(&self, what: &'static str, work: impl FnOnce() + Send + 'static) {
        let Some(pool) = &self.pool else { return };
        let underway = self.underway.clone();
        pool.spawn_blocking(move || {
            let _entered = underway.enter(what.to_owned(), Instant::now() + CLOSE_TIME_MAX);
            work();
        });
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for a library here could take for ever.
        if let Some(pool) = self.pool.take() {
            pool.shutdown_background();
        }
    }
}
