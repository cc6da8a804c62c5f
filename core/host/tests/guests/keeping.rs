//! Records, and what happens to what is kept between two versions.

use std::sync::Arc;

use regard_engine::Fault;
use regard_engine::ports::{Effects, Hooks};
use regard_model::record::{RecordChange, RecordType};
use regard_model::{Attributes, Record, RecordId};
use serde_json::{Value, json};

use crate::built::{LANGUAGES, package, world};
use crate::world::{NOW, event_with, fixture};

#[tokio::test(flavor = "multi_thread")]
async fn records_are_made_changed_and_deleted() {
    for language in LANGUAGES {
        let world = world(language).await;
        let ada = world.customer(7, "Ada");
        let declared = package(&fixture(language.guest())).manifest().records[0].clone();
        let declared = RecordType::new(language.guest(), declared).expect("a type");
        world.stored.record_types.lock().insert("case".to_owned(), Arc::new(declared));
        let stored = Record {
            id: RecordId::from_i64(1),
            kind: "case".to_owned(),
            customer_id: Some(ada),
            data: json!({ "number": 100, "state": "open" }),
            version: 1,
            created_at: NOW,
            updated_at: NOW,
        };
        world.stored.records.lock().insert(stored.id, stored);
        let event = event_with("records", Some(ada), Attributes::new());
        let effects = world.host.handle(language.guest(), &[event]).await.expect("handled");
        let done: Vec<_> = effects
            .records
            .iter()
            .map(|change| match change {
                RecordChange::Create(_, new) => ("create", new.data["number"].as_i64()),
                RecordChange::Update { data, .. } => ("update", data["number"].as_i64()),
                RecordChange::Delete { .. } => ("delete", None),
            })
            .collect();
        assert_eq!(done, [("create", Some(1)), ("update", Some(2)), ("delete", None)], "{language:?}");
    }
}

fn kept(effects: &Effects, key: &str) -> Option<String> {
    let (_, value) = effects.kept.iter().find(|(found, _)| found == key)?;
    value.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_hand_over_what_they_keep() {
    for language in LANGUAGES {
        let (world, guest) = (world(language).await, language.guest());
        let package = package(&fixture(guest));
        let prepared = world.host.prepare(package, Value::Null, None).await.expect("prepared");
        assert!(prepared.migrates(), "{language:?}");
        let effects = prepared.upgrade("0.0.9").await.expect("upgrades").expect("it migrates");
        assert_eq!(kept(&effects, "upgraded-from").as_deref(), Some("0.0.9"), "{language:?}");
        let refused = prepared.upgrade("0.0.0").await.expect_err("refuses").to_string();
        assert_eq!(refused, format!("{guest}: migration.upgrade failed: unsupported: too old"));
        let crashed = prepared.upgrade("0.0.1").await.expect_err("crashes");
        assert_eq!(crashed.fault, Fault::Trap, "{language:?}");
        let effects = world.host.downgrade(guest, "0.0.8").await.expect("downgrades").expect("it migrates");
        assert_eq!(kept(&effects, "downgraded-to").as_deref(), Some("0.0.8"), "{language:?}");
    }
}
