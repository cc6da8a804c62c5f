//! What one call into a plugin costs, with everything on: limits, counters, clock.

use std::time::Instant;

use anyhow::Result;
use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::Evaluators as _;
use serde_json::json;

use super::evaluator::Bed;
use super::{ROUNDS, median};

/// Calls of one round into an instance that is there.
const WARM_CALLS: u32 = 20_000;
/// Instances made in one round.
const FRESH_CALLS: u32 = 500;
/// Rows of one call.
const ROWS: u32 = 10;

/// Prints microseconds a call.
pub fn measure() -> Result<()> {
    for (plugin, metric, runtime) in
        [("kpi-rfm", "rfm", "WebAssembly"), ("kpi-repeat-rate", "repeat-rate", "Luau")]
    {
        let bed = Bed::new(&[plugin])?;
        let (mut warm, mut fresh) = (Vec::new(), Vec::new());
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
        }
        println!("| call into {runtime}, instance there, {ROWS} rows | | | {:.1} µs |", median(warm));
        println!("| {runtime}, a fresh instance and its first call | | | {:.0} µs |", median(fresh));
    }
    Ok(())
}
