//! What was tried, and what it cost.

use std::collections::BTreeMap;
use std::time::Duration;

use regard_host::{Manifest, PluginStats};
use serde_json::{Value, json};

use crate::world::World;

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Ok,
    /// It does not; one line for each thing that is wrong.
    Failed(Vec<String>),
    /// It could not be tried; what to add.
    NotTried(String),
}

/// Something that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What, such as `scenario first-order` or `kpi: merging (clv)`.
    pub name: String,
    /// What it shows.
    pub description: Option<String>,
    /// What came of it.
    pub verdict: Verdict,
}

/// Everything that was tried with a plugin.
#[derive(Debug, Clone)]
pub struct Report {
    /// The plugin's id.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// What was tried, in this order.
    pub checks: Vec<Check>,
    costs: BTreeMap<&'static str, Cost>,
    memory_peak_bytes: u64,
}

/// What the calls of one of the contract's functions cost altogether.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    calls: u64,
    elapsed: Duration,
    computed: Duration,
    bytes_in: u64,
    bytes_out: u64,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(manifest: &Manifest) -> Self {
        Self {
            plugin: manifest.id.clone(),
            version: manifest.version.to_string(),
            checks: Vec::new(),
            costs: BTreeMap::new(),
            memory_peak_bytes: 0,
        }
    }

    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.verdict, Verdict::Failed(_)))
    }

    /// Adds a check.
    pub(crate) fn add(&mut self, name: &str, verdict: Verdict) {
        self.add_described(name, None, verdict);
    }

    pub(crate) fn add_described(&mut self, name: &str, description: Option<&str>, verdict: Verdict) {
        let description = description.map(str::to_owned);
        self.checks.push(Check { name: name.to_owned(), description, verdict });
    }

    /// Adds what the plugin has cost in a world.
    pub(crate) fn cost(&mut self, world: &World) {
        if let Some(stats) = world.stats() {
            self.cost_of(&stats);
        }
    }

    fn cost_of(&mut self, stats: &PluginStats) {
        self.memory_peak_bytes = self.memory_peak_bytes.max(stats.memory_peak_bytes);
        for one in &stats.calls {
            let cost = self.costs.entry(one.call).or_default();
            cost.calls += one.calls;
            cost.elapsed += one.elapsed;
            cost.computed += one.computed;
            cost.bytes_in += one.bytes_in;
            cost.bytes_out += one.bytes_out;
        }
    }

    /// One document.
    pub fn json(&self) -> Value {
        let checks = self.checks.iter().map(|check| {
            let (verdict, details) = match &check.verdict {
                Verdict::Ok => ("ok", json!([])),
                Verdict::Failed(why) => ("failed", json!(why)),
                Verdict::NotTried(why) => ("not-tried", json!([why])),
            };
            let Check { name, description, .. } = check;
            json!({ "name": name, "description": description, "verdict": verdict, "details": details })
        });
        let calls = self.costs.iter().map(|(call, cost)| {
            json!({
                "call": call,
                "calls": cost.calls,
                "elapsed_us": micros(cost.elapsed),
                "computed_us": micros(cost.computed),
                "bytes_in": cost.bytes_in,
                "bytes_out": cost.bytes_out,
            })
        });
        json!({
            "plugin": self.plugin,
            "version": self.version,
            "good": self.is_good(),
            "checks": checks.collect::<Vec<_>>(),
            "calls": calls.collect::<Vec<_>>(),
            "memory_peak_bytes": self.memory_peak_bytes,
        })
    }

    /// For people: one line per check, then what it cost.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("{} {}", self.plugin, self.version)];
        for check in &self.checks {
            let about = check.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            match &check.verdict {
                Verdict::Ok => lines.push(format!("ok         {}{about}", check.name)),
                Verdict::Failed(why) => {
                    lines.push(format!("FAILED     {}{about}", check.name));
                    lines.extend(why.iter().map(|line| format!("           {line}")));
                }
                Verdict::NotTried(why) => lines.push(format!("not tried  {}: {why}", check.name)),
            }
        }
        lines.push(String::new());
        lines.push(format!(
            "{:10} {:>8} {:>12} {:>12} {:>12} {:>12}",
            "call", "calls", "us/call", "computed us", "bytes in", "bytes out"
        ));
        for (call, cost) in &self.costs {
            let mean = micros(cost.elapsed) / cost.calls.max(1);
            let Cost { calls, bytes_in, bytes_out, .. } = cost;
            let computed = micros(cost.computed);
            lines.push(format!(
                "{call:10} {calls:>8} {mean:>12} {computed:>12} {bytes_in:>12} {bytes_out:>12}"
            ));
        }
        lines.push(format!("peak memory of an instance: {} KiB", self.memory_peak_bytes / 1024));
        let count =
            |wanted: fn(&Verdict) -> bool| self.checks.iter().filter(|check| wanted(&check.verdict)).count();
        lines.push(format!(
            "{} ok, {} failed, {} not tried",
            count(|verdict| matches!(verdict, Verdict::Ok)),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::NotTried(_))),
        ));
        lines.join("\n")
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
