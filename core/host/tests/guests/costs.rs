//! What guests with an interpreter cost. The figures are printed (`--nocapture`); the bounds are loose, for slow machines.

use std::time::{Duration, Instant};

use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::{Evaluators, Hooks};
use serde_json::Value;

use crate::built::{LANGUAGES, limits, package};
use crate::world::{World, event, fixture};

/// Calls that a figure is the mean of.
const CALLS: u32 = 20;
/// Rows of an update, as many as the engine gives at once.
const ROWS: u32 = 65_536;

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_made_in_a_moment() {
    for language in LANGUAGES {
        let package = package(&fixture(language.guest()));
        let bytes: usize = package.files().values().map(Vec::len).sum();
        let cache = tempfile::tempdir().expect("a folder");
        let world = World::with(|options| {
            options.limits = limits();
            options.cache_dir = cache.path().to_owned();
        });
        let started = Instant::now();
        world.load(package.clone()).await;
        let compiled = started.elapsed();
        let started = Instant::now();
        world.load(package).await;
        let loaded = started.elapsed();

        let started = Instant::now();
        for _ in 0..CALLS {
            world.host.handle(language.guest(), &[event("nothing")]).await.expect("handled");
        }
        let call = started.elapsed() / CALLS;

        let (mut sum, _) = world.host.open("guest-sum", Value::Null).await.expect("opens");
        let update = |rows: u32| Batch {
            rows,
            columns: vec![Column::new(
                "occurred-at",
                ColumnValues::TimestampMs((0..i64::from(rows)).collect()),
            )],
        };
        let (few, many) = (update(10), update(ROWS));
        let groups: Vec<u32> = (0..ROWS).collect();
        sum.update(&groups[..10], ROWS, &few).await.expect("update");
        let started = Instant::now();
        for _ in 0..CALLS {
            sum.update(&groups[..10], ROWS, &few).await.expect("update");
        }
        let warm = started.elapsed() / CALLS;
        let started = Instant::now();
        sum.update(&groups, ROWS, &many).await.expect("update");
        let full = started.elapsed();
        let stats = world.host.stats();
        let peak = stats.first().map_or(0, |stats| stats.memory_peak_bytes);
        eprintln!(
            "{language:?}: {bytes} bytes, compiled in {compiled:?}, loaded again in {loaded:?}, fresh instance and call \
             {call:?}, update of 10 rows {warm:?}, of {ROWS} rows {full:?}, peak {} MiB",
            peak >> 20
        );
        assert!(call < Duration::from_secs(1), "{language:?}: a call took {call:?}");
    }
}
