//! The threads that plugins run on, apart from the server's.
//!
//! A guest that computes without end keeps one of these threads busy until it is stopped; requests, which live on
//! other threads, do not notice.

use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::runtime::Failure;

/// Threads that Luau programs may block; each holds one call, so this is also how many Luau calls run at a time.
const BLOCKING_THREADS_MAX: usize = 16;

thread_local! {
    static IS_PLUGIN_THREAD: Cell<bool> = const { Cell::new(false) };
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
            .thread_name_fn(move || format!("plugin-{}", number.fetch_add(1, Ordering::Relaxed)))
            .on_thread_start(|| IS_PLUGIN_THREAD.set(true))
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
        self.handle.spawn_blocking(work).await.map_err(Failure::lost)
    }

    /// Starts `work` on a plugin thread and lets it go on by itself.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(work)
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
