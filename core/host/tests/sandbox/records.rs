//! Records: a plugin works with its own types and with those that it was granted, and what it does are effects.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use regard_engine::Fault;
use regard_engine::ports::Hooks;
use regard_host::{Grants, Package};
use regard_model::record::{RecordChange, RecordType};
use regard_model::{Attributes, Record, RecordId};
use serde_json::{Value, json};

use crate::world::{NOW, RUNTIMES, Runtime, World, allowed, component, event, event_with, fixture, library};

fn clerk(runtime: Runtime, asks: &str) -> Package {
    static COMPONENT: OnceLock<Package> = OnceLock::new();
    static LIBRARY: OnceLock<Package> = OnceLock::new();
    let folder = fixture("clerk");
    let package = match runtime {
        Runtime::Luau => Package::from_folder(&fixture("clerk-luau")).expect("the Luau fixture"),
        Runtime::Wasm => COMPONENT.get_or_init(|| component(&folder)).clone(),
        Runtime::Native => LIBRARY.get_or_init(|| library(&folder)).clone(),
    };
    let manifest = package.manifest_text().replace("[permissions]\n", &format!("[permissions]\n{asks}\n"));
    let package = Package::from_parts(Path::new("clerk/plugin.toml"), manifest, package.files().clone());
    allowed(package.expect("a package"))
}

/// A world with the clerk, the types that it declares, one stored case, and a type of another plugin.
async fn world(runtime: Runtime, asks: &str, grants: Option<Grants>) -> World {
    let package = clerk(runtime, asks);
    let world = World::new();
    let case = package.manifest().records[0].clone();
    let mut coupon = case.clone();
    (coupon.name, coupon.schema) = ("coupon".to_owned(), json!({ "type": "object" }));
    (coupon.customer, coupon.indexes, coupon.unique) = ("none".parse().expect("a word"), vec![], vec![]);
    for (plugin, declared) in [("clerk", case), ("other", coupon)] {
        let name = declared.name.clone();
        let declared = Arc::new(RecordType::new(plugin, declared).expect("a type"));
        world.stored.record_types.lock().insert(name, declared);
    }
    let stored = Record {
        id: RecordId::from_i64(1),
        kind: "case".to_owned(),
        customer_id: Some(world.customer(7, "Ada")),
        data: json!({ "number": 100, "state": "open" }),
        version: 1,
        created_at: NOW,
        updated_at: NOW,
    };
    world.stored.records.lock().insert(stored.id, stored);
    world.load_with(package, Value::Null, grants).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn own_records_are_made_changed_and_deleted() {
    for runtime in RUNTIMES {
        let world = world(runtime, "", None).await;
        let ada = world.customer(7, "Ada");
        let effects = world
            .host
            .handle("clerk", &[event_with("own", Some(ada), Attributes::new())])
            .await
            .expect("handled");
        let done: Vec<_> = effects
            .records
            .iter()
            .map(|change| match change {
                RecordChange::Create(_, new) => {
                    assert_eq!((new.kind.as_str(), new.customer_id), ("case", Some(ada)), "{runtime:?}");
                    ("create", 0, new.data["number"].as_i64())
                }
                RecordChange::Update { version, data, .. } => ("update", *version, data["number"].as_i64()),
                RecordChange::Delete { version, .. } => ("delete", *version, None),
            })
            .collect();
        assert_eq!(
            done,
            [
                ("create", 0, Some(1)),
                ("update", 1, Some(2)),
                ("create", 0, Some(1)),
                ("delete", 1, None),
                ("delete", 1, None),
                ("create", 0, Some(100)),
            ],
            "{runtime:?}"
        );
        assert!(world.stored.audit.lock().is_empty(), "{runtime:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_others_need_a_grant() {
    for runtime in RUNTIMES {
        for (asks, reads, writes) in [
            ("", false, false),
            ("records = { coupon = \"read\" }", true, false),
            ("records = { coupon = \"write\" }", true, true),
        ] {
            let world = world(runtime, asks, None).await;
            for (how, allowed) in [("read", reads), ("write", writes)] {
                let ended = world.host.handle("clerk", &[event(how)]).await;
                let denied = ended.as_ref().err().map(|error| error.fault);
                assert_eq!(
                    denied,
                    (!allowed).then_some(Fault::Denied),
                    "{runtime:?} {asks} {how}: {ended:?}"
                );
            }
            let audit = world.stored.audit.lock();
            assert_eq!(audit.len(), usize::from(!reads) + usize::from(!writes), "{runtime:?} {asks}");
            for (actor, action, details) in audit.iter() {
                assert_eq!((actor.as_str(), action.as_str()), ("plugin:clerk", "call.denied"));
                assert_eq!(details.get("what"), Some(&json!("coupon")));
                assert_eq!(details.get("why"), Some(&json!("is not granted (permissions.records)")));
            }
        }
        let asks = "records = { coupon = \"write\" }";
        let withheld = world(runtime, asks, Some(Grants::default())).await;
        let error = withheld.host.handle("clerk", &[event("write")]).await.expect_err("withheld");
        assert_eq!(error.fault, Fault::Denied, "{runtime:?}");
    }
}
