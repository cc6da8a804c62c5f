//! What a plugin's calls cost, for Prometheus and for `regard plugin show`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use regard_engine::Fault;

/// The contract's functions, in the order of the counters.
const CALLS: [&str; 13] = [
    "handle",
    "update",
    "merge",
    "state",
    "finish",
    "model",
    "open",
    "receive",
    "poll",
    "send",
    "describe",
    "upgrade",
    "downgrade",
];

/// Upper ends of the latency buckets, in microseconds: from a warm call to the longest evaluation. One more bucket takes
/// what is longer.
pub const LATENCY_US: [u64; 9] = [10, 100, 1_000, 5_000, 25_000, 100_000, 500_000, 2_500_000, 15_000_000];

/// The counters of one plugin since it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginStats {
    /// The plugin's id.
    pub plugin: String,
    /// Its calls, by the contract's function; functions that were never called are left out.
    pub calls: Vec<CallStats>,
    /// The most memory that one instance has had, in bytes.
    pub memory_peak_bytes: u64,
}

/// The counters of one of the contract's functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallStats {
    /// Its name, such as `handle`.
    pub call: &'static str,
    /// Calls, failed ones included.
    pub calls: u64,
    /// Failed calls by kind of failure; kinds that never occurred are left out.
    pub faults: Vec<(Fault, u64)>,
    /// Wall-clock time of all calls together.
    pub elapsed: Duration,
    /// Time that the plugin itself computed, set-up included, without what it waited for.
    pub computed: Duration,
    /// Bytes handed to the plugin: texts, numbers and columns, without what a runtime needs around them.
    pub bytes_in: u64,
    /// Bytes that it handed back, changes included.
    pub bytes_out: u64,
    /// Calls by latency: one count for each bound of [`LATENCY_US`], and one for what is longer.
    pub latency: [u64; LATENCY_US.len() + 1],
}

impl PluginStats {
    /// All calls.
    pub fn calls(&self) -> u64 {
        self.calls.iter().map(|one| one.calls).sum()
    }

    /// All failed calls by kind of failure.
    pub fn faults(&self) -> Vec<(Fault, u64)> {
        let mut sums: Vec<(Fault, u64)> = Vec::new();
        for (fault, count) in self.calls.iter().flat_map(|one| &one.faults) {
            match sums.iter_mut().find(|(known, _)| known == fault) {
                Some((_, sum)) => *sum += count,
                None => sums.push((*fault, *count)),
            }
        }
        sums
    }
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    memory_peak_bytes: AtomicU64,
    calls: [CallCounters; CALLS.len()],
}

#[derive(Debug, Default)]
struct CallCounters {
    elapsed_ns: AtomicU64,
    computed_ns: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    latency: [AtomicU64; LATENCY_US.len() + 1],
    faults: [AtomicU64; Fault::ALL.len()],
}

impl Counters {
    /// A call of the contract's function `call` has ended.
    pub(crate) fn count(&self, call: &str, elapsed: Duration, fault: Option<Fault>) {
        let Some(counters) = self.of(call) else { return };
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        counters.elapsed_ns.fetch_add(nanos, Ordering::Relaxed);
        let bucket = LATENCY_US.iter().position(|&most| nanos <= most * 1_000).unwrap_or(LATENCY_US.len());
        counters.latency[bucket].fetch_add(1, Ordering::Relaxed);
        if let Some(at) = fault.and_then(|fault| Fault::ALL.iter().position(|&known| known == fault)) {
            counters.faults[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The plugin has computed for so long within `call`.
    pub(crate) fn computed(&self, call: &str, time: Duration) {
        if let Some(counters) = self.of(call) {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            counters.computed_ns.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    /// So many bytes went into the plugin and came out of it within `call`.
    pub(crate) fn moved(&self, call: &str, bytes_in: usize, bytes_out: usize) {
        if let Some(counters) = self.of(call) {
            counters.bytes_in.fetch_add(bytes_in as u64, Ordering::Relaxed);
            counters.bytes_out.fetch_add(bytes_out as u64, Ordering::Relaxed);
        }
    }

    /// An instance has this much memory.
    pub(crate) fn memory(&self, bytes: u64) {
        self.memory_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The counters as they stand.
    pub(crate) fn read(&self, plugin: &str) -> PluginStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let calls = CALLS.iter().zip(&self.calls).map(|(&call, counters)| {
            let latency = std::array::from_fn(|at| read(&counters.latency[at]));
            let faults = Fault::ALL.iter().zip(&counters.faults).map(|(&fault, count)| (fault, read(count)));
            CallStats {
                call,
                calls: latency.iter().sum(),
                faults: faults.filter(|&(_, count)| count > 0).collect(),
                elapsed: Duration::from_nanos(read(&counters.elapsed_ns)),
                computed: Duration::from_nanos(read(&counters.computed_ns)),
                bytes_in: read(&counters.bytes_in),
                bytes_out: read(&counters.bytes_out),
                latency,
            }
        });
        PluginStats {
            plugin: plugin.to_owned(),
            calls: calls.filter(|one| one.calls > 0).collect(),
            memory_peak_bytes: read(&self.memory_peak_bytes),
        }
    }

    fn of(&self, call: &str) -> Option<&CallCounters> {
        CALLS.iter().position(|&known| known == call).map(|at| &self.calls[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_faults_are_counted() {
        let counters = Counters::default();
        counters.count("handle", Duration::from_micros(100), None);
        counters.count("handle", Duration::from_millis(3), Some(Fault::Trap));
        counters.count("open", Duration::from_secs(60), Some(Fault::Trap));
        counters.computed("handle", Duration::from_millis(2));
        counters.moved("handle", 100, 7);
        counters.memory(10);
        counters.memory(5);
        let read = counters.read("x");
        assert_eq!((read.calls(), read.faults(), read.memory_peak_bytes), (3, vec![(Fault::Trap, 2)], 10));
        let [handle, open] = read.calls.as_slice() else { panic!("two functions: {read:?}") };
        assert_eq!((handle.call, handle.calls, handle.computed), ("handle", 2, Duration::from_millis(2)));
        assert_eq!(handle.elapsed, Duration::from_micros(3_100));
        assert_eq!((handle.bytes_in, handle.bytes_out, open.bytes_in), (100, 7, 0));
        assert_eq!(handle.latency, [0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(open.latency.last(), Some(&1));
    }
}
