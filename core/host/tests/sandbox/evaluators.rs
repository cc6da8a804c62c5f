//! Evaluators: bounds on results, broken accumulators, and that any split of the rows gives the same answer.

use std::time::Duration;

use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::{Accumulator, Evaluators};
use regard_engine::{Fault, PluginError};
use regard_host::Package;
use regard_model::Timestamp;
use regard_model::time::DAY_MS;
use serde_json::{Value, json};

use crate::world::{RUNTIMES, Runtime, World, component, fixture, root};

pub const AS_OF: Timestamp = Timestamp::from_millis(400 * DAY_MS);

pub fn rows(times: &[i64]) -> Batch {
    let values = ColumnValues::TimestampMs(times.to_vec());
    Batch { rows: times.len() as u32, columns: vec![Column::new("occurred-at", values)] }
}

pub async fn open(world: &World, metric: &str, parameters: Value) -> Box<dyn Accumulator> {
    world.host.open(metric, parameters).await.expect("an accumulator").0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accumulator_works_and_its_bounds_hold() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        let mut good = open(&world, "hostile", Value::Null).await;
        good.update(&[0, 1, 0], 2, &rows(&[1, 2, 3])).await.expect("update");
        let state = good.state().await.expect("state");
        assert_eq!(state.len(), 3);
        good.merge(&state, &[1, 0]).await.expect("merge");
        let finished = good.finish(AS_OF).await.expect("finish");
        assert_eq!(finished.column("value").expect("value").json(0), json!(6.0));
        assert_eq!(good.model().await.expect("model"), None);
        let unfit = good.update(&[0, 5], 2, &rows(&[1, 2])).await.expect_err("a group out of range");
        assert_eq!(unfit.fault, Fault::Invalid);

        let mut giant = open(&world, "hostile", json!({ "how": "rows" })).await;
        let failed = giant.finish(AS_OF).await.expect_err("giant");
        assert_eq!(failed.fault, Fault::Exhausted, "{runtime:?}: {failed}");
        assert!(failed.to_string().starts_with("hostile: kpi.finish failed: exhausted: "), "{failed}");

        let (_, filled) = world.host.open("hostile", json!({})).await.expect("opens");
        assert_eq!(filled, json!({ "how": "" }));
        let failed = world.host.open("hostile", json!({ "how": 3 })).await.err().expect("wrong parameters");
        assert_eq!(failed.fault, Fault::Invalid);
        let failed = world.host.open("no-such", json!({})).await.err().expect("unknown");
        assert_eq!(failed.fault, Fault::OutOfService);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accumulator_that_broke_is_never_used_again() {
    for runtime in RUNTIMES {
        let stopped = [("loop", Fault::Timeout), ("memory", Fault::Memory)];
        let stopped = stopped.into_iter().filter(|_| runtime != Runtime::Native);
        for (how, fault) in stopped.chain([("crash", Fault::Trap)]) {
            let world = World::hostile(runtime).await;
            let mut bad = open(&world, "hostile", json!({ "how": how })).await;
            let failed = bad.update(&[0], 1, &rows(&[1])).await.expect_err(how);
            assert_eq!(failed.fault, fault, "{runtime:?} {how}: {failed}");
            let again = bad.finish(AS_OF).await.expect_err("broken");
            assert!(again.message.contains("broke this accumulator"), "{again}");
            let mut next = open(&world, "hostile", Value::Null).await;
            next.update(&[0], 1, &rows(&[1])).await.expect("the next accumulator works");
        }
        let world = World::hostile(runtime).await;
        let mut reporting = open(&world, "hostile", json!({ "how": "report" })).await;
        let failed = reporting.update(&[0], 1, &rows(&[1])).await.expect_err("reported");
        assert_eq!(failed.fault, Fault::Throttled);
        reporting.finish(AS_OF).await.expect("a reported error breaks nothing");
    }
}

/// Driven from the plugins' threads, the columns are handed over where they are; the answers must be the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_runs_on_plugin_threads_too() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        let host = world.host.clone();
        let value = world.host.drive(async move {
            let (mut accumulator, _) = host.open("hostile", Value::Null).await.expect("opens");
            for _ in 0..10 {
                accumulator.update(&[0; 100], 1, &rows(&[5; 100])).await.expect("update");
            }
            accumulator.finish(AS_OF).await.expect("finish").column("value").expect("value").json(0)
        });
        assert_eq!(value.await, json!(1000.0));
    }
}

/// An evaluator that asks the host for nothing is called straight on the thread of its evaluation, without a stack of its
/// own: there too it is stopped, named, and the next one works.
#[tokio::test(flavor = "multi_thread")]
async fn an_evaluator_that_waits_for_nothing_is_stopped_too() {
    let package = component(&fixture("hermit"));
    for (how, fault, words) in [
        ("loop", Fault::Timeout, "computed longer than 300 ms"),
        ("memory", Fault::Memory, "asked for more than 48 MiB"),
        ("crash", Fault::Trap, "boom"),
        ("stack", Fault::Trap, "call stack exhausted"),
        ("log-flood", Fault::Exhausted, "log"),
        ("report", Fault::Throttled, "slow down"),
    ] {
        let world = World::new();
        world.load(package.clone()).await;
        let (failed, value) = misbehaved(&world, how).await;
        assert_eq!(failed.fault, fault, "{how}: {failed}");
        assert!(failed.to_string().starts_with("hermit: kpi.update failed: "), "{how}: {failed}");
        assert!(failed.message.contains(words), "{how}: {failed}");
        assert_eq!(value, json!(3.0), "{how}");
        let stats = world.host.stats();
        assert_eq!(stats[0].faults(), vec![(fault, 1)], "{how}");
        assert!(stats[0].memory_peak_bytes > 0, "{how}");
    }

    let world = World::with(|options| {
        options.limits.evaluation.cpu = Duration::from_secs(60);
        options.limits.evaluation.call = Duration::from_millis(500);
    });
    world.load(package).await;
    let (failed, _) = misbehaved(&world, "loop").await;
    assert_eq!(failed.fault, Fault::Timeout, "{failed}");
    assert!(failed.message.contains("500 ms"), "{failed}");
}

/// How an accumulator of the hermit fails on the thread of an evaluation, and what the next one there finds.
async fn misbehaved(world: &World, how: &'static str) -> (PluginError, Value) {
    let host = world.host.clone();
    let driven = world.host.drive(async move {
        let (mut bad, _) = host.open("hermit", json!({ "how": how })).await.expect("opens");
        let failed = bad.update(&[0], 1, &rows(&[1])).await.expect_err(how);
        let (mut next, _) = host.open("hermit", Value::Null).await.expect("opens");
        next.update(&[0; 3], 1, &rows(&[1; 3])).await.expect("the next accumulator works");
        let found = next.finish(AS_OF).await.expect("finish");
        (failed, found.column("value").expect("value").json(0))
    });
    driven.await
}

/// Orders of customers on days, in no order at all.
pub fn orders() -> (Vec<u32>, Vec<i64>) {
    let mut seed = 7_u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    (0..5_000).map(|_| (next(900) as u32, next(390) as i64 * DAY_MS + next(DAY_MS as u64) as i64)).unzip()
}

/// The same, straight from the definition.
fn expected(groups: &[u32], times: &[i64], count: u32) -> (u64, u64, Vec<(u64, u64)>) {
    let mut days = vec![std::collections::BTreeSet::new(); count as usize];
    for (&group, &time) in groups.iter().zip(times) {
        days[group as usize].insert(time.div_euclid(DAY_MS));
    }
    let customers = days.iter().filter(|days| !days.is_empty()).count() as u64;
    let repeating = days.iter().filter(|days| days.len() > 1).count() as u64;
    let curve = (4..=52).step_by(4).map(|weeks| {
        let within = weeks * 7;
        let ripe: Vec<_> =
            days.iter().filter(|days| days.first().is_some_and(|first| first + within <= 400)).collect();
        let back = ripe.iter().filter(|days| {
            days.iter().nth(1).is_some_and(|second| second - days.first().unwrap_or(&0) <= within)
        });
        (ripe.len() as u64, back.count() as u64)
    });
    (customers, repeating, curve.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn repeat_rate_agrees_over_any_split() {
    let world = World::new();
    world.load(Package::from_folder(&root().join("plugins/kpi-repeat-rate")).expect("the plugin")).await;
    let (groups, times) = orders();
    let count = 1_000;

    let mut whole = open(&world, "repeat-rate", json!({})).await;
    whole.update(&groups, count, &rows(&times)).await.expect("update");
    let state = whole.state().await.expect("state");
    let answer = whole.finish(AS_OF).await.expect("finish");
    let (customers, repeating, curve) = expected(&groups, &times, count);
    assert_eq!(answer.rows, 1);
    let column = |name: &str| answer.column(name).expect(name).json(0);
    assert_eq!(column("value"), json!(repeating as f64 / customers as f64));
    assert_eq!((column("customers"), column("repeat_customers")), (json!(customers), json!(repeating)));
    let points: Vec<Value> = serde_json::from_str(column("curve").as_str().expect("text")).expect("JSON");
    assert_eq!(points.len(), 13);
    for (point, (ripe, back)) in points.iter().zip(curve) {
        assert_eq!(point["customers"], json!(ripe), "{point}");
        let share = point["share"].as_f64().expect("a share");
        assert!((share - back as f64 / ripe as f64).abs() < 1e-12, "{point}");
    }

    // Batches of odd sizes, in reverse order, with groups that become known late.
    let mut batched = open(&world, "repeat-rate", json!({})).await;
    let mut known = 0;
    for (groups, times) in groups.rchunks(37).zip(times.rchunks(37)) {
        known = known.max(groups.iter().max().map_or(0, |most| most + 1));
        batched.update(groups, known, &rows(times)).await.expect("update");
    }
    batched.update(&[], count, &rows(&[])).await.expect("the last groups");
    assert_eq!(batched.state().await.expect("state"), state);
    assert_eq!(batched.finish(AS_OF).await.expect("finish"), answer);

    // Three parts with groups of their own, merged.
    let mut merged = open(&world, "repeat-rate", json!({})).await;
    for part in 0..3 {
        let (mut own, mut local, mut remap) = (Vec::new(), Vec::new(), Vec::<u32>::new());
        for (&group, &time) in groups.iter().zip(&times).skip(part).step_by(3) {
            let at = remap.iter().position(|&known| known == group).unwrap_or_else(|| {
                remap.push(group);
                remap.len() - 1
            });
            own.push(at as u32);
            local.push(time);
        }
        let mut half = open(&world, "repeat-rate", json!({})).await;
        half.update(&own, remap.len() as u32, &rows(&local)).await.expect("update");
        let state = half.state().await.expect("state");
        merged.merge(&state, &remap).await.expect("merge");
    }
    merged.update(&[], count, &rows(&[])).await.expect("the last groups");
    assert_eq!(merged.state().await.expect("state"), state);
    assert_eq!(merged.finish(AS_OF).await.expect("finish"), answer);

    let mut damaged = open(&world, "repeat-rate", json!({})).await;
    let failed = damaged.merge(&state[..7], &[0, 1]).await.expect_err("damaged");
    assert_eq!(failed.fault, Fault::Invalid, "{failed}");

    let mut nothing = open(&world, "repeat-rate", json!({})).await;
    let answer = nothing.finish(AS_OF).await.expect("finish");
    assert_eq!(answer.column("value").expect("value").json(0), Value::Null);
}
