//! What a plugin's calls cost, for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use regard_engine::Fault;

/// Every fault, in the order of the counters.
const FAULTS: [Fault; 13] = [
    Fault::Invalid,
    Fault::Denied,
    Fault::NotFound,
    Fault::Conflict,
    Fault::Throttled,
    Fault::Unavailable,
    Fault::Unsupported,
    Fault::Timeout,
    Fault::Memory,
    Fault::Exhausted,
    Fault::Trap,
    Fault::Failed,
    Fault::OutOfService,
];

/// The counters of one plugin since it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginStats {
    /// The plugin's id.
    pub plugin: String,
    /// Calls, failed ones included.
    pub calls: u64,
    /// Failed calls by kind of failure; kinds that never occurred are left out.
    pub faults: Vec<(Fault, u64)>,
    /// Wall-clock time of all calls together.
    pub elapsed: Duration,
    /// The most memory that one instance has had, in bytes.
    pub memory_peak_bytes: u64,
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    elapsed_ns: AtomicU64,
    memory_peak_bytes: AtomicU64,
    faults: [AtomicU64; FAULTS.len()],
}

impl Counters {
    /// One call has ended.
    pub(crate) fn count(&self, elapsed: Duration, fault: Option<Fault>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.elapsed_ns.fetch_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(at) = fault.and_then(|fault| FAULTS.iter().position(|&known| known == fault)) {
            self.faults[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An instance has this much memory.
    pub(crate) fn memory(&self, bytes: u64) {
        self.memory_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The counters as they stand.
    pub(crate) fn read(&self, plugin: &str) -> PluginStats {
        let counts =
            FAULTS.iter().zip(&self.faults).map(|(&fault, count)| (fault, count.load(Ordering::Relaxed)));
        PluginStats {
            plugin: plugin.to_owned(),
            calls: self.calls.load(Ordering::Relaxed),
            faults: counts.filter(|&(_, count)| count > 0).collect(),
            elapsed: Duration::from_nanos(self.elapsed_ns.load(Ordering::Relaxed)),
            memory_peak_bytes: self.memory_peak_bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_faults_are_counted() {
        let counters = Counters::default();
        counters.count(Duration::from_millis(2), None);
        counters.count(Duration::from_millis(3), Some(Fault::Trap));
        counters.memory(10);
        counters.memory(5);
        let read = counters.read("x");
        assert_eq!((read.calls, read.elapsed, read.memory_peak_bytes), (2, Duration::from_millis(5), 10));
        assert_eq!(read.faults, [(Fault::Trap, 1)]);
    }
}
