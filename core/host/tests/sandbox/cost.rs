//! What calls cost, with everything on: bounds, counters, clock. Prints numbers; only wide margins are asserted, since
//! other work shares the machine. `cargo test --release -p regard-host --test sandbox -- --ignored --nocapture cost`

use std::time::{Duration, Instant};

use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::{Evaluators, Hooks};
use regard_host::{OperatorLimits, Package};
use regard_model::Timestamp;
use serde_json::json;

use crate::world::{NOW, RUNTIMES, World, event, hostile, root};

const WARM_CALLS: u32 = 20_000;
const FRESH_CALLS: u32 = 500;
const ROWS: usize = 1_000_000;
const ROWS_PER_BATCH: usize = 65_536;

fn batch(rows: usize) -> Batch {
    let times = ColumnValues::TimestampMs((0..rows as i64).map(|at| at * 1_000_003).collect());
    Batch { rows: rows as u32, columns: vec![Column::new("occurred-at", times)] }
}

fn each(label: &str, elapsed: Duration, calls: u32) -> Duration {
    println!("{label}: {:?} a call", elapsed / calls);
    elapsed / calls
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; run it alone"]
async fn cost_of_calls() {
    for runtime in RUNTIMES {
        let world = World::with(|options| options.limits = OperatorLimits::default());
        world.load(hostile(runtime)).await;
        let host = world.host.clone();
        let warm = world.host.spawn(async move {
            let (mut accumulator, _) = host.open("hostile", json!({})).await.expect("opens");
            let (groups, rows) = ([0; 10], batch(10));
            let started = Instant::now();
            for _ in 0..WARM_CALLS {
                accumulator.update(&groups, 1, &rows).await.expect("update");
            }
            started.elapsed()
        });
        let warm = each(&format!("{runtime:?}, warm, 10 rows"), warm.await.expect("calls"), WARM_CALLS);
        assert!(warm < Duration::from_micros(200));

        let started = Instant::now();
        for _ in 0..FRESH_CALLS {
            world.host.handle("hostile", &[event("nothing")]).await.expect("handled");
        }
        let fresh = each(&format!("{runtime:?}, hook, one event"), started.elapsed(), FRESH_CALLS);
        assert!(fresh < Duration::from_millis(5));

        let host = world.host.clone();
        let bulk = world.host.spawn(async move {
            let (mut accumulator, _) = host.open("hostile", json!({})).await.expect("opens");
            let (groups, rows) = (vec![0; ROWS_PER_BATCH], batch(ROWS_PER_BATCH));
            let started = Instant::now();
            for _ in 0..ROWS / ROWS_PER_BATCH {
                accumulator.update(&groups, 1, &rows).await.expect("update");
            }
            started.elapsed()
        });
        let bulk = bulk.await.expect("calls");
        println!("{runtime:?}, a million rows handed over: {bulk:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; run it alone"]
async fn cost_of_a_luau_evaluator() {
    let world = World::with(|options| options.limits = OperatorLimits::default());
    world.load(Package::from_folder(&root().join("plugins/kpi-repeat-rate")).expect("the plugin")).await;
    let host = world.host.clone();
    let groups: Vec<u32> = (0..ROWS as u64).map(|at| (at * 7_919 % 100_000) as u32).collect();
    let rows = batch(ROWS);
    let run = world.host.spawn(async move {
        let (mut accumulator, _) = host.open("repeat-rate", json!({})).await.expect("opens");
        let started = Instant::now();
        accumulator.update(&groups, 100_000, &rows).await.expect("update");
        let updated = started.elapsed();
        let finished = accumulator.finish(Timestamp::from_millis(NOW.as_millis())).await.expect("finish");
        println!("repeat-rate of {:?}", finished.column("value").map(|value| value.json(0)));
        (updated, started.elapsed())
    });
    let (updated, whole) = run.await.expect("the evaluation");
    println!("Luau repeat-rate, a million rows, 100,000 customers: {updated:?} to add, {whole:?} in all");
    assert!(whole < Duration::from_secs(10));
}
