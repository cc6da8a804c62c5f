//! What one call of a plugin may take.
//!
//! The operator sets the ceilings, the manifest may state lower ones, and the lower of both holds. Two kinds of calls
//! have different ceilings: an event or a message is handled in moments, an evaluator works on millions of rows.

use std::fmt;
use std::time::Duration;

use regard_engine::Fault;

use crate::manifest::Limits;

/// Bytes in a mebibyte, the unit of memory in manifests.
const MIB: u64 = 1 << 20;

/// The bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Linear memories or Luau heap of the instance, in bytes.
    pub memory_bytes: u64,
    /// Wall-clock time, host functions included.
    pub call: Duration,
    /// Time that the plugin itself computes.
    pub cpu: Duration,
    /// Rows of a batch that `finish` returns.
    pub output_rows: u32,
    /// Bytes that cross from the plugin to the host in one crossing: a result, or the arguments of a host function.
    pub output_bytes: u64,
    /// Lines written to the log.
    pub log_lines: u32,
    /// Bytes written to the log.
    pub log_bytes: u32,
    /// Calls of host functions, log lines not counted.
    pub host_calls: u32,
    /// Bytes of changes that are collected until the call ends: kept values, messages, attributes.
    pub effect_bytes: u64,
    /// HTTP requests, redirects included.
    pub http_requests: u32,
    /// Bytes of HTTP bodies, sent and received.
    pub http_bytes: u64,
    /// Bytes that the plugin keeps altogether, over all calls.
    pub kept_bytes: u64,
    /// Calls of hooks and connectors that one instance serves. The manifest asks for more than one; without it, every
    /// call has a fresh instance.
    pub calls_per_instance: u32,
}

impl CallLimits {
    /// For hooks, connectors and set-up: something waits for the answer, so a second of computing is already much.
    pub const INTERACTIVE: Self = Self {
        memory_bytes: 128 * MIB,
        call: Duration::from_secs(15),
        cpu: Duration::from_secs(2),
        output_rows: 10_000,
        output_bytes: 32 * MIB,
        log_lines: 500,
        log_bytes: 256 * 1024,
        host_calls: 2_000,
        effect_bytes: 16 * MIB,
        http_requests: 100,
        http_bytes: 64 * MIB,
        kept_bytes: 64 * MIB,
        calls_per_instance: 10_000,
    };

    /// For evaluators: a state for a million customers takes some hundred bytes for each, and a fit some seconds.
    pub const EVALUATION: Self = Self {
        memory_bytes: 1024 * MIB,
        call: Duration::from_secs(120),
        cpu: Duration::from_secs(60),
        output_rows: 20_000_000,
        output_bytes: 1024 * MIB,
        log_lines: 500,
        log_bytes: 256 * 1024,
        host_calls: 2_000,
        effect_bytes: 0,
        http_requests: 0,
        http_bytes: 0,
        kept_bytes: 0,
        calls_per_instance: 1,
    };

    /// The lower of `self` and what the manifest states.
    #[must_use]
    pub fn lowered(self, stated: &Limits) -> Self {
        let millis = |own: Duration, stated: Option<u32>| {
            stated.map_or(own, |stated| own.min(Duration::from_millis(u64::from(stated))))
        };
        Self {
            memory_bytes: stated
                .memory_mb
                .map_or(self.memory_bytes, |mb| self.memory_bytes.min(u64::from(mb) * MIB)),
            call: millis(self.call, stated.call_ms),
            cpu: millis(self.cpu, stated.cpu_ms),
            output_rows: stated.output_rows.map_or(self.output_rows, |rows| self.output_rows.min(rows)),
            log_bytes: stated.log_bytes.map_or(self.log_bytes, |bytes| self.log_bytes.min(bytes)),
            calls_per_instance: stated
                .calls_per_instance
                .map_or(1, |calls| self.calls_per_instance.min(calls)),
            ..self
        }
    }
}

/// The operator's ceilings for all plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorLimits {
    /// For hooks, connectors and set-up.
    pub interactive: CallLimits,
    /// For evaluators.
    pub evaluation: CallLimits,
}

impl Default for OperatorLimits {
    fn default() -> Self {
        Self { interactive: CallLimits::INTERACTIVE, evaluation: CallLimits::EVALUATION }
    }
}

impl OperatorLimits {
    /// The ceilings lowered to what the manifest states.
    #[must_use]
    pub fn lowered(self, stated: &Limits) -> Self {
        Self { interactive: self.interactive.lowered(stated), evaluation: self.evaluation.lowered(stated) }
    }
}

/// A bound that a call ran into. The call ends there, whatever the plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitHit {
    /// Computed too long.
    Cpu(Duration),
    /// Took too long altogether.
    Wall(Duration),
    /// Asked for too much memory.
    Memory(u64),
    /// Asked a function that cannot be interrupted for too much.
    Work(&'static str),
    /// Took too many handles of resources.
    Handles(usize),
    /// Returned or handed over too many bytes.
    OutputBytes(u64),
    /// Returned too many rows.
    OutputRows { found: u32, most: u32 },
    /// Wrote too many log lines.
    LogLines(u32),
    /// Wrote too many bytes to the log.
    LogBytes(u32),
    /// Called the host too often.
    HostCalls(u32),
    /// Collected too many changes.
    EffectBytes(u64),
    /// Made too many HTTP requests.
    HttpRequests(u32),
    /// Moved too many bytes over HTTP.
    HttpBytes(u64),
}

impl LimitHit {
    /// What the caller is told.
    pub(crate) const fn fault(self) -> Fault {
        match self {
            Self::Cpu(_) | Self::Wall(_) => Fault::Timeout,
            Self::Memory(_) => Fault::Memory,
            _ => Fault::Exhausted,
        }
    }
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(most) => write!(f, "computed longer than {} ms (limits.cpu_ms)", most.as_millis()),
            Self::Wall(most) => write!(f, "took longer than {} ms (limits.call_ms)", most.as_millis()),
            Self::Memory(most) => {
                write!(f, "asked for more than {} MiB of memory (limits.memory_mb)", most / MIB)
            }
            Self::Work(function) => {
                write!(f, "asked {function} for more work than could be stopped; give it less at a time")
            }
            Self::Handles(most) => write!(f, "took more than {most} handles and dropped none"),
            Self::OutputBytes(most) => write!(f, "handed over more than {most} bytes at once"),
            Self::OutputRows { found, most } => {
                write!(f, "returned {found} rows, at most {most} are taken (limits.output_rows)")
            }
            Self::LogLines(most) => write!(f, "wrote more than {most} log lines"),
            Self::LogBytes(most) => write!(f, "wrote more than {most} bytes to the log (limits.log_bytes)"),
            Self::HostCalls(most) => write!(f, "called host functions more than {most} times"),
            Self::EffectBytes(most) => write!(f, "collected more than {most} bytes of changes"),
            Self::HttpRequests(most) => write!(f, "made more than {most} HTTP requests"),
            Self::HttpBytes(most) => write!(f, "moved more than {most} bytes over HTTP"),
        }
    }
}

impl std::error::Error for LimitHit {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_holds() {
        let stated =
            Limits { memory_mb: Some(4096), cpu_ms: Some(50), log_bytes: Some(10), ..Limits::default() };
        let effective = CallLimits::INTERACTIVE.lowered(&stated);
        assert_eq!(effective.memory_bytes, CallLimits::INTERACTIVE.memory_bytes);
        assert_eq!(effective.cpu, Duration::from_millis(50));
        assert_eq!((effective.call, effective.log_bytes), (CallLimits::INTERACTIVE.call, 10));
    }
}
