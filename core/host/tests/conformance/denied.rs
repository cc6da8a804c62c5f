//! What a plugin may not do: the error that it gets, and the line in the audit log.

use regard_engine::Fault;
use regard_engine::ports::{Evaluators, Hooks};
use regard_host::Grants;
use regard_host::manifest::Permissions;
use regard_model::CustomerId;
use serde_json::{Value, json};

use crate::given::{ADA, about, bystander_works, furnished, with_bystander, world};
use crate::plugin::conforming;
use crate::world::{Runtime, World, event};

/// Audit lines that one call may cause.
const AUDITED_MAX: usize = 8;
/// Longest that an audit line repeats of what was asked for, in bytes.
const AUDITED_BYTES_MAX: usize = 256;

/// What the audit log has about denied calls, in order: which, of what, why, and within which.
fn audited(world: &World, plugin: &str) -> Vec<[String; 4]> {
    let audit = world.stored.audit.lock();
    let lines = audit.iter().map(|(actor, action, details)| {
        assert_eq!((actor, action.as_str()), (&format!("plugin:{plugin}"), "call.denied"));
        ["call", "what", "why", "within"]
            .map(|field| details.get(field).and_then(Value::as_str).unwrap_or_default().to_owned())
    });
    lines.collect()
}

pub async fn each(runtime: Runtime) {
    let package = conforming(runtime);
    let world = furnished(&package);
    world.load_with(package, Value::Null, Some(Grants(Permissions::default()))).await;
    let ada = CustomerId::from_i64(ADA).to_string();
    for (how, call, what, permission) in [
        ("customers-get", "customers.get", ada.as_str(), "customers"),
        ("customers-find", "customers.find", "email", "customers"),
        ("customers-update", "customers.update", &ada, "customers"),
        ("interactions-query", "interactions.query", "order.placed", "interactions"),
        ("metrics-latest", "metrics.latest", "clv", "metrics"),
        ("messages-enqueue", "messages.enqueue", &ada, "messages"),
        ("records-other", "records.get", "secret-note", "records"),
        ("kv-get", "kv.get", "a", "kv"),
        ("kv-set", "kv.set", "a", "kv"),
        ("kv-delete", "kv.delete", "a", "kv"),
        ("kv-keys", "kv.keys", "a", "kv"),
        ("http", "http.send", "api.example.com:443", "hosts"),
        ("secret", "config.secret", "token", "secrets"),
    ] {
        world.stored.audit.lock().clear();
        let failed = world.host.handle("conforming", &[about(how)]).await.expect_err(how);
        let why = format!("is not granted (permissions.{permission})");
        assert_eq!(
            (failed.fault, failed.message.as_str()),
            (Fault::Denied, format!("{call} of `{what}` {why}").as_str())
        );
        let expected = [call.to_owned(), what.to_owned(), why, "hook.handle".to_owned()];
        assert_eq!(audited(&world, "conforming"), [expected]);
    }
}

pub async fn of_others(runtime: Runtime) {
    let world = world(runtime).await;
    let failed = world.host.handle("conforming", &[about("records-other")]).await.expect_err("denied");
    assert_eq!(failed.fault, Fault::Denied, "{failed}");
    // `codes` asks for the secret of another, and `kv` for a key of another plugin; both are told so in their own cases.
    world.host.handle("conforming", &[about("codes"), about("kv")]).await.expect("handled");
    let lines = audited(&world, "conforming");
    let whats: Vec<_> = lines.iter().map(|[call, what, ..]| format!("{call} {what}")).collect();
    assert_eq!(whats, ["records.get secret-note", "config.secret other", "records.get no-such-type"]);
}

pub async fn evaluators(runtime: Runtime) {
    let world = world(runtime).await;
    let failed = world.host.open("conforming", json!({ "factor": 0 })).await.err().expect("denied");
    assert_eq!(
        failed.to_string(),
        "conforming: kpi.open failed: denied: regard:core/kv is not there for kpi.open"
    );
    let expected = ["regard:core/kv", "", "is not there for kpi.open", "kpi.open"].map(str::to_owned);
    assert_eq!(audited(&world, "conforming"), [expected]);
    world.host.open("conforming", json!({ "factor": 1 })).await.expect("a reported error breaks nothing");
}

pub async fn flood(runtime: Runtime) {
    let world = World::hostile(runtime).await;
    with_bystander(&world).await;
    let failed = world.host.handle("hostile", &[event("denials")]).await.expect_err("stopped");
    assert_eq!(failed.fault, Fault::Exhausted, "{failed}");
    assert!(failed.message.contains("called host functions more than 200 times"), "{failed}");
    let lines = audited(&world, "hostile");
    assert_eq!(lines.len(), AUDITED_MAX);
    for [call, what, ..] in lines {
        assert_eq!((call.as_str(), what.len()), ("config.secret", AUDITED_BYTES_MAX));
    }
    world.host.handle("hostile", &[event("nothing")]).await.expect("the same plugin works");
    bystander_works(&world).await;
}
