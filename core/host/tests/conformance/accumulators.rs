//! Accumulators that nobody closes.

use std::time::Duration;

use regard_engine::Fault;
use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::{Accumulator, Evaluators};
use serde_json::{Value, json};

use crate::given::{bystander_works, with_bystander};
use crate::world::{Runtime, World, hostile};

/// Instances that these worlds have.
pub const INSTANCES: u32 = 8;
/// Accumulators that are opened: more than there are instances.
const OPENED: usize = 40;

/// A world with few instances, the hostile plugin and a bystander.
pub async fn cramped(runtime: Runtime) -> World {
    let package = hostile(runtime);
    let world = World::with(|options| {
        options.instances_max = INSTANCES;
        options.limits.evaluation.call = Duration::from_millis(500);
    });
    world.load(package).await;
    with_bystander(&world).await;
    world
}

/// As many accumulators as there are instances can be open at a time.
pub async fn all_can_be_opened(world: &World) {
    let mut open = Vec::new();
    for _ in 0..INSTANCES {
        open.push(world.host.open("hostile", Value::Null).await.expect("every instance is free again").0);
    }
    for accumulator in &mut open {
        accumulator.update(&[0], 1, &rows(1)).await.expect("works");
    }
}

fn rows(count: u32) -> Batch {
    let times = ColumnValues::TimestampMs(vec![1; count as usize]);
    Batch { rows: count, columns: vec![Column::new("occurred-at", times)] }
}

/// Instances run out for components only, which is told; other plugins go on, and closing gives everything back.
pub async fn hoarded(runtime: Runtime) {
    let world = cramped(runtime).await;
    let mut open: Vec<Box<dyn Accumulator>> = Vec::new();
    while open.len() < OPENED {
        match world.host.open("hostile", Value::Null).await {
            Ok((accumulator, _)) => open.push(accumulator),
            Err(failed) => {
                assert_eq!((runtime, open.len()), (Runtime::Wasm, INSTANCES as usize), "{failed}");
                assert_eq!(failed.fault, Fault::Throttled, "{failed}");
                assert!(failed.message.contains("all instances of plugins were busy"), "{failed}");
                break;
            }
        }
    }
    bystander_works(&world).await;
    drop(open);
    all_can_be_opened(&world).await;
}

/// The evaluation stops waiting in the middle of a call, again and again.
pub async fn abandoned(runtime: Runtime) {
    let world = cramped(runtime).await;
    for round in 0..3 * INSTANCES {
        let how = if round % 2 == 0 { "loop" } else { "" };
        let (mut accumulator, _) = world.host.open("hostile", json!({ "how": how })).await.expect("opens");
        let patience = Duration::from_millis(u64::from(round % 4) * 5);
        let ended = tokio::time::timeout(patience, accumulator.update(&[0; 1_000], 1, &rows(1_000))).await;
        if ended.is_err() {
            let broken =
                accumulator.finish(regard_model::Timestamp::from_millis(1)).await.expect_err("abandoned");
            assert!(broken.message.contains("broke this accumulator"), "{broken}");
        }
    }
    all_can_be_opened(&world).await;
    bystander_works(&world).await;
}
