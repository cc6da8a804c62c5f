//! Evaluators: the same rows give the same bytes.

use regard_engine::Fault;
use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::{Accumulator, Evaluators};
use regard_model::metric::MetricInput;
use regard_model::{Metric, SubjectKind, Timestamp};
use serde_json::{Value, json};

use crate::given::world;
use crate::world::{Runtime, World};

const AS_OF: Timestamp = Timestamp::from_millis(1_764_000_000_123);

async fn open(world: &World) -> Box<dyn Accumulator> {
    world.host.open("conforming", Value::Null).await.expect("an accumulator").0
}

/// Four groups: 10 and 5, 20, one without an amount, one without a row.
async fn fed(world: &World) -> Box<dyn Accumulator> {
    let mut accumulator = open(world).await;
    let amounts = Column {
        validity: Some(vec![0b0111]),
        ..Column::new("amount", ColumnValues::Int64(vec![10, 20, 5, 99]))
    };
    let times = Column::new("occurred-at", ColumnValues::TimestampMs(vec![1, 2, 3, 4]));
    let rows = Batch { rows: 4, columns: vec![times, amounts] };
    accumulator.update(&[0, 1, 0, 2], 4, &rows).await.expect("update");
    accumulator
}

fn column(batch: &Batch, name: &str) -> Vec<Value> {
    let column = batch.column(name).expect(name);
    (0..batch.rows as usize).map(|row| column.json(row)).collect()
}

pub async fn described(runtime: Runtime) {
    let world = world(runtime).await;
    let input = |column: &str, required| MetricInput { column: column.to_owned(), required };
    let expected = Metric {
        name: "conforming".to_owned(),
        version: 3,
        description: "Sums amounts.".to_owned(),
        unit: "minor".to_owned(),
        subject: SubjectKind::Customer,
        kinds: vec!["order.placed".to_owned()],
        inputs: vec![input("occurred-at", true), input("amount", false)],
        parameters: json!({ "type": "object", "properties": { "factor": { "type": "number", "default": 2 } } }),
        evaluator: "conforming".to_owned(),
    };
    assert_eq!(Evaluators::metrics(&world.host), [expected]);
}

pub async fn computed(runtime: Runtime) {
    let world = world(runtime).await;
    let mut accumulator = fed(&world).await;
    let state = accumulator.state().await.expect("state");
    let expected: Vec<u8> =
        [15.0, 20.0, f64::NAN, f64::NAN].iter().flat_map(|sum: &f64| sum.to_le_bytes()).collect();
    assert_eq!(state, expected);
    let finished = accumulator.finish(AS_OF).await.expect("finish");
    assert_eq!(finished.rows, 4);
    assert_eq!(column(&finished, "value"), [json!(30.0), json!(40.0), Value::Null, Value::Null]);
    assert_eq!(column(&finished, "as_of"), vec![json!(AS_OF.as_millis()); 4]);
    assert_eq!(accumulator.model().await.expect("model"), Some(json!({ "groups": 4 })));
}

pub async fn merged(runtime: Runtime) {
    let world = world(runtime).await;
    let state = fed(&world).await.state().await.expect("state");
    for (remap, expected) in [
        ([3, 2, 1, 0], vec![Value::Null, Value::Null, json!(40.0), json!(30.0)]),
        ([0, 0, 0, 0], vec![json!(70.0)]),
    ] {
        let mut accumulator = open(&world).await;
        accumulator.merge(&state, &remap).await.expect("merge");
        let finished = accumulator.finish(AS_OF).await.expect("finish");
        assert_eq!(column(&finished, "value"), expected);
    }
}

pub async fn parameters(runtime: Runtime) {
    let world = world(runtime).await;
    let (_, filled) = world.host.open("conforming", json!({})).await.expect("opens");
    assert_eq!(filled, json!({ "factor": 2 }));
    let failed = world.host.open("conforming", json!({ "factor": "x" })).await.err().expect("refused");
    assert_eq!(failed.fault, Fault::Invalid, "{failed}");
}

pub async fn damaged(runtime: Runtime) {
    let world = world(runtime).await;
    let mut accumulator = fed(&world).await;
    let state = accumulator.state().await.expect("state");
    for (bytes, remap) in [(&state[..7], &[0, 1, 2, 3][..]), (&state[..], &[0]), (b"", &[0])] {
        let failed = accumulator.merge(bytes, remap).await.expect_err("damaged");
        assert_eq!(failed.to_string(), "conforming: kpi.merge failed: invalid: damaged state");
    }
    assert_eq!(accumulator.state().await.expect("a reported error breaks nothing"), state);
}
