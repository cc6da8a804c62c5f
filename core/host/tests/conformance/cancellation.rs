//! Callers who stop waiting, many at once: nothing is left behind, neither instances nor threads nor memory.

use std::time::{Duration, Instant};

use regard_engine::ports::Hooks;

use crate::accumulators::{all_can_be_opened, cramped};
use crate::given::bystander_works;
use crate::world::{Runtime, World, event};

/// Storms, the first of which warm up what is kept between calls.
const ROUNDS: usize = 6;
const WARM_UP_ROUNDS: usize = 3;
/// Calls in each.
const CALLS: u64 = 64;
/// More memory than this after the later storms would be a leak: one call may take 48 MiB.
const GROWTH_BYTES_MAX: u64 = 64 << 20;
/// Longest until calls that nobody waits for have ended.
const CALM_WITHIN: Duration = Duration::from_secs(30);

pub async fn storm(runtime: Runtime) {
    let world = cramped(runtime).await;
    let mut warm = 0;
    for round in 0..ROUNDS {
        blow(&world, runtime).await;
        calm(&world).await;
        if round + 1 == WARM_UP_ROUNDS {
            warm = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(warm);
    assert!(grown < GROWTH_BYTES_MAX, "the process has grown by {} MiB", grown >> 20);
    all_can_be_opened(&world).await;
    bystander_works(&world).await;
}

/// Many callers at once, each with a patience of its own.
async fn blow(world: &World, runtime: Runtime) {
    let callers: Vec<_> = (0..CALLS)
        .map(|number| {
            let host = world.host.clone();
            // A library's calls cannot be stopped, so there all of them end by themselves.
            let how = if number % 2 == 0 && runtime != Runtime::Native { "loop" } else { "count" };
            let patience = Duration::from_millis(number * 7 % 23);
            tokio::spawn(async move {
                // Whether the call was in time does not matter here.
                let _ = tokio::time::timeout(patience, host.handle("hostile", &[event(how)])).await;
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller");
    }
}

/// Waits until a call is made at once again.
async fn calm(world: &World) {
    let started = Instant::now();
    while let Err(failed) = world.host.handle("hostile", &[event("count")]).await {
        assert!(started.elapsed() < CALM_WITHIN, "{failed}");
    }
}

/// Memory that the process has.
fn resident_bytes() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/statm") else {
        // Only Linux tells so easily; elsewhere the case is about instances and threads.
        return 0;
    };
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4_096
}
