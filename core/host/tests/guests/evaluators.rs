//! An evaluator: columns cross both ways, bounds hold, and a broken accumulator is not used again.

use regard_engine::Fault;
use regard_engine::columns::{Batch, Column, ColumnValues, TextValues};
use regard_engine::ports::Evaluators;
use regard_model::Timestamp;
use serde_json::{Value, json};

use crate::built::{LANGUAGES, world};

const AS_OF: Timestamp = Timestamp::from_millis(1_764_000_000_123);

fn rows() -> Batch {
    let amounts = Column {
        validity: Some(vec![0b101]),
        ..Column::new("amount", ColumnValues::Int64(vec![10, 999, -4]))
    };
    let mut entries = TextValues::default();
    entries.push("page.viewed");
    entries.push("order.placed");
    let kinds = ColumnValues::Dictionary { codes: vec![1, 0, 1], entries };
    Batch {
        rows: 3,
        columns: vec![
            Column::new("occurred-at", ColumnValues::TimestampMs(vec![1, 2, 1 << 40])),
            amounts,
            Column::new("kind", kinds),
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_keep_their_shape() {
    for language in LANGUAGES {
        let world = world(language).await;
        let (mut sum, filled) = world.host.open("guest-sum", Value::Null).await.expect("opens");
        assert_eq!(filled, json!({ "how": "" }));
        sum.update(&[0, 1, 0], 2, &rows()).await.expect("update");
        let state = sum.state().await.expect("state");
        sum.merge(&state, &[1, 0]).await.expect("merge");
        let expected = 2 * ((1_i64 << 40) + 3 + 6) + 2;
        let finished = sum.finish(AS_OF).await.expect("finish");
        let column = |name: &str, row: usize| finished.column(name).expect(name).json(row);
        assert_eq!((column("value", 0), column("value", 1)), (json!(expected as f64), Value::Null));
        assert_eq!((column("orders", 0), column("orders", 1)), (json!(4), json!((1_i64 << 53) + 1)));
        assert_eq!(column("as_of", 1), Value::Null);
        assert!(!column("as_of", 0).is_null(), "{language:?}");
        assert_eq!((column("flag", 0), column("flag", 1)), (json!(true), json!(false)));
        assert_eq!((column("note", 0), column("note", 1)), (json!("ü"), Value::Null));
        assert_eq!((column("group", 0), column("group", 1)), (json!("b"), json!("a")));
        let model = sum.model().await.expect("model").expect("a model");
        assert_eq!(model["sum"], json!(expected), "{language:?}");
        let failed = sum.update(&[0, 5, 0], 2, &rows()).await.expect_err("a group out of range");
        assert_eq!(failed.fault, Fault::Invalid, "{language:?}: {failed}");
        sum.update(&[0, 1, 0], 2, &rows()).await.expect("a reported error breaks nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_hold() {
    for language in LANGUAGES {
        for (how, fault) in [("loop", Fault::Timeout), ("memory", Fault::Memory), ("crash", Fault::Trap)] {
            let world = world(language).await;
            let (mut bad, _) = world.host.open("guest-sum", json!({ "how": how })).await.expect("opens");
            let failed = bad.update(&[0, 1, 0], 2, &rows()).await.expect_err(how);
            assert_eq!(failed.fault, fault, "{language:?} {how}: {failed}");
            let again = bad.finish(AS_OF).await.expect_err("broken");
            assert!(again.message.contains("broke this accumulator"), "{again}");
        }
    }
}
