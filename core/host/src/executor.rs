//! The threads that plugins run on, apart from the server's.
//!
//! A guest that computes without end keeps one of these threads busy until it is stopped; requests, which live on
//! other threads, do not notice: theirs go first wherever both want the same processor.

use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::runtime::Failure;

/// Threads that may be blocked; each holds one call of a Luau program or one evaluation, so this is also how many of
/// them run at a time.
const BLOCKING_THREADS_MAX: usize = 16;

/// Stack of a plugin thread, in bytes. A guest that is called without a stack of its own takes up to a quarter of it.
const STACK_BYTES: usize = 4 << 20;

/// How far plugins stand back behind the server, as `nice` counts (0 to 19): at 10 a thread gets about a tenth of what an
/// ordinary one gets when both want the same processor, and all of it when nobody else does.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

thread_local! {
    static IS_PLUGIN_THREAD: Cell<bool> = const { Cell::new(false) };
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// The plugins' own tokio runtime.
pub(crate) struct Executor {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Executor {
    /// Starts `threads` worker threads named `plugin-<n>`.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let number = AtomicUsize::new(0);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_stack_size(STACK_BYTES)
            .thread_name_fn(move || format!("plugin-{}", number.fetch_add(1, Ordering::Relaxed)))
            .on_thread_start(|| {
                IS_PLUGIN_THREAD.set(true);
                stand_back();
            })
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// The runtime, for those who wait on threads of their own.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether the current thread is one of the plugins', so that a guest may run right here.
    pub(crate) fn is_here() -> bool {
        IS_PLUGIN_THREAD.get()
    }

    /// Whether the current thread drives one piece of work only, so that a program may compute right here as long as it
    /// likes.
    pub(crate) fn may_block() -> bool {
        MAY_BLOCK.get()
    }

    /// Runs `work` on a plugin thread. When the caller stops waiting, the work is cancelled.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failure> {
        if Self::is_here() {
            return Ok(Box::pin(work).await);
        }
        AbortOnDropHandle::new(self.handle.spawn(work)).await.map_err(Failure::lost)
    }

    /// Runs `work`, which blocks, on a thread that may be blocked.
    pub(crate) async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        if Self::may_block() {
            return Ok(work());
        }
        self.handle.spawn_blocking(work).await.map_err(Failure::lost)
    }

    /// Drives `work` on a thread of its own until it is done. When the caller stops waiting, the work is dropped at the
    /// next point where it gives way.
    pub(crate) async fn drive<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (handle, stop) = (self.handle.clone(), CancellationToken::new());
        let stopping = stop.clone().drop_guard();
        let driven = self.handle.spawn_blocking(move || {
            let _driving = Driving::here();
            handle.block_on(stop.run_until_cancelled_owned(work))
        });
        let done = driven.await;
        drop(stopping);
        match done {
            Ok(Some(done)) => done,
            Err(why) if why.is_panic() => std::panic::resume_unwind(why.into_panic()),
            // Stopped by our own guard, which means that nobody waits any more, or the host is shutting down.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

/// While this lives, the current thread may be kept busy; it ends with the work, also with a panic of it.
struct Driving;

impl Driving {
    fn here() -> Self {
        MAY_BLOCK.set(true);
        Self
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        MAY_BLOCK.set(false);
    }
}

/// Lowers the priority of the current thread.
fn stand_back() {
    // Linux has a priority for each thread, under the thread's own id.
    #[cfg(target_os = "linux")]
    if let Err(why) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::warn!("plugin threads run at the server's priority: {why}");
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Waiting for a guest here could block for as long as the guest may run, and is not allowed on a server thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
