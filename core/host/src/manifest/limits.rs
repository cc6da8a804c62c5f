//! `[limits]`: what a plugin needs to run.
//!
//! A plugin may ask for less than the operator allows, so that a fault in it is caught early, or state that
//! it needs much, which the operator then grants or not: the effective limit is always the lower one.

use serde::{Deserialize, Serialize};

use super::Fault;

/// One WebAssembly memory of 32-bit addresses cannot be larger.
pub const MEMORY_MB_MAX: u32 = 4096;
/// No call may be asked to last longer than an hour; a longer job belongs into several calls.
pub const CALL_MS_MAX: u32 = 3_600_000;

/// Limits that a plugin states for itself; an absent one means the operator's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Linear memory or Luau heap of one instance, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// Wall-clock time of one call, host functions included, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_ms: Option<u32>,
    /// Time that one call may compute, without the time spent in host functions, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u32>,
    /// Rows that one `finish` may return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_rows: Option<u32>,
    /// Calls that one instance may serve before it is replaced; 1, a fresh instance for every call, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_instance: Option<u32>,
    /// Bytes of log lines that one call may write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u32>,
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), Fault> {
        let bounds = [
            ("memory_mb", self.memory_mb, MEMORY_MB_MAX),
            ("call_ms", self.call_ms, CALL_MS_MAX),
            ("cpu_ms", self.cpu_ms, CALL_MS_MAX),
            ("output_rows", self.output_rows, u32::MAX),
            ("calls_per_instance", self.calls_per_instance, u32::MAX),
            ("log_bytes", self.log_bytes, u32::MAX),
        ];
        for (key, value, max) in bounds {
            if let Some(value) = value
                && !(1..=max).contains(&value)
            {
                return Err(Fault::new(
                    key,
                    format!("{value} is out of range"),
                    format!("choose 1 to {max}"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_too_much_are_refused() {
        assert!(Limits { memory_mb: Some(0), ..Limits::default() }.check().is_err());
        assert!(Limits { memory_mb: Some(MEMORY_MB_MAX + 1), ..Limits::default() }.check().is_err());
        assert!(Limits { call_ms: Some(CALL_MS_MAX), ..Limits::default() }.check().is_ok());
    }
}
