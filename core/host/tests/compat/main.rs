//! Plugins that were built for released versions of the contract, loaded and called by today's host: the very bytes, kept
//! in `tests/compat`. The cases are those of the conformance suite that the version had; a case that has to be changed
//! for them is a break.

#[path = "../conformance/connector.rs"]
mod connector;
#[path = "../conformance/given.rs"]
#[allow(dead_code, reason = "shared with the conformance suite, which uses the rest")]
mod given;
#[path = "../conformance/hook.rs"]
#[allow(dead_code, reason = "shared with the conformance suite, which uses the rest")]
mod hook;
#[path = "../conformance/kpi.rs"]
#[allow(dead_code, reason = "shared with the conformance suite, which uses the rest")]
mod kpi;
#[path = "../sandbox/world.rs"]
#[allow(dead_code, reason = "shared with the sandbox's tests, which use the rest")]
mod world;

mod plugin;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;

use futures_util::FutureExt as _;
use world::Runtime::{self, Luau, Wasm};

type Case = (&'static str, fn(Runtime) -> Pin<Box<dyn Future<Output = ()>>>);

/// What every released version does, by capability.
macro_rules! cases {
    ($($run:path),+ $(,)?) => {
        &[$((stringify!($run), |runtime| Box::pin($run(runtime)))),+]
    };
}

const HOOK: &[Case] = cases![
    hook::appended,
    hook::changed,
    hook::observed,
    hook::ordered,
    hook::log,
    hook::clock,
    hook::config,
    hook::secret,
    hook::kv,
    hook::http,
    hook::customers_get,
    hook::customers_find,
    hook::customers_update,
    hook::interactions,
    hook::metrics,
    hook::messages,
    hook::records,
    hook::codes,
    plugin::migrates,
];
const CONNECTOR: &[Case] = cases![
    connector::described,
    connector::received,
    connector::refused,
    connector::polled,
    connector::sent,
];
const KPI: &[Case] = cases![kpi::described, kpi::computed, kpi::merged, kpi::parameters, kpi::damaged];

/// The folders of each version, the runtime, and what the plugin in it does.
const PLUGINS: [(&str, Runtime, &[&[Case]]); 4] = [
    ("hook", Wasm, &[HOOK]),
    ("connector", Wasm, &[CONNECTOR]),
    ("kpi", Wasm, &[KPI]),
    ("luau", Luau, &[HOOK, CONNECTOR, KPI]),
];

fn main() -> ExitCode {
    let threads = tokio::runtime::Runtime::new().expect("threads");
    let mut failed = Vec::new();
    let mut ran = 0;
    for version in plugin::versions() {
        for (name, runtime, sets) in PLUGINS {
            plugin::take(&version, name, runtime);
            for (case, run) in sets.iter().copied().flatten() {
                ran += 1;
                if threads.block_on(AssertUnwindSafe(run(runtime)).catch_unwind()).is_err() {
                    failed.push(format!("{version} {name}: {case}"));
                }
            }
        }
    }
    println!("\n{ran} cases of released plugins, {} failed", failed.len());
    for case in &failed {
        println!("FAILED: {case}");
    }
    if failed.is_empty() && ran > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
