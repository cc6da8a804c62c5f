//! What one call into a plugin costs, with everything on: limits, counters, clock.

use std::time::Instant;

use anyhow::Result;
use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::Evaluators as _;
use serde_json::json;

use super::evaluator::Bed;
use super::extism::Extism;
use super::{ROUNDS, median, print_ratio};

/// Calls of one round into an instance that is there.
const WARM_CALLS: u32 = 100_000;
/// Instances made in one round.
const FRESH_CALLS: u32 = 500;
/// Calls of one round into Extism, which takes longer.
const EXTISM_CALLS: u32 = 20_000;
/// Rows of one call.
const ROWS: u32 = 10;

/// Prints microseconds a call, and how that compares with Extism.
pub fn measure() -> Result<()> {
    let extism = Extism::new()?;
    let payload = payload();
    for (plugin, metric, runtime) in
        [("kpi-rfm", "rfm", "WebAssembly"), ("kpi-repeat-rate", "repeat-rate", "Luau")]
    {
        let bed = Bed::new(&[plugin])?;
        let (mut warm, mut fresh, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let host = bed.host.clone();
            // A call is made from a thread of the host's, as evaluations are.
            let round = bed.host.drive(async move {
                let (mut accumulator, _) = host.open(metric, json!({})).await?;
                let rows = Batch {
                    rows: ROWS,
                    columns: vec![
                        Column::new("occurred-at", ColumnValues::TimestampMs((0..i64::from(ROWS)).collect())),
                        Column::new("amount", ColumnValues::Int64(vec![100; ROWS as usize])),
                    ],
                };
                let groups = [0; ROWS as usize];
                let started = Instant::now();
                for _ in 0..WARM_CALLS {
                    accumulator.update(&groups, 1, &rows).await?;
                }
                let warm = started.elapsed() / WARM_CALLS;
                let started = Instant::now();
                for _ in 0..FRESH_CALLS {
                    drop(host.open(metric, json!({})).await?);
                }
                anyhow::Ok((warm, started.elapsed() / FRESH_CALLS))
            });
            let (one_warm, one_fresh) = bed.runtime.block_on(round)?;
            warm.push(one_warm.as_secs_f64() * 1e6);
            fresh.push(one_fresh.as_secs_f64() * 1e6);
            let started = Instant::now();
            extism.update(&payload, EXTISM_CALLS)?;
            theirs.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(EXTISM_CALLS));
        }
        let pairs: Vec<_> = theirs.iter().copied().zip(warm.iter().copied()).collect();
        print_ratio(&format!("a call into Extism / {runtime}, instance there, {ROWS} rows"), &pairs, "µs");
        println!("| call into {runtime}, instance there, {ROWS} rows | | | {:.1} µs |", median(warm));
        println!("| {runtime}, a fresh instance and its first call | | | {:.0} µs |", median(fresh));
    }
    Ok(())
}

/// The bytes that [`ROWS`] rows of two columns and their groups have.
fn payload() -> Vec<u8> {
    let times = (0..u64::from(ROWS)).flat_map(u64::to_le_bytes);
    let amounts = (0..ROWS).flat_map(|_| 100u64.to_le_bytes());
    times.chain(amounts).chain((0..ROWS).flat_map(|_| 0u32.to_le_bytes())).collect()
}
