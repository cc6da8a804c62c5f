//! What a hook is told, and each function that the host has for it. The plugin keeps what it saw as text, which must be
//! the same on every runtime.

use regard_engine::ports::{Effects, Event, Hooks};
use regard_host::Grants;
use regard_model::record::RecordChange;
use regard_model::{CustomerId, Subject};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::given::{ADA, about, observation, world};
use crate::plugin::conforming;
use crate::world::{NOW, Runtime, World};

/// What the plugin saw of `events`, and what it changed.
async fn seen(world: &World, events: &[Event]) -> (String, Effects) {
    let effects = world.host.handle("conforming", events).await.expect("handled");
    let found = effects.kept.iter().find(|(key, _)| key == "seen").and_then(|(_, value)| value.clone());
    (String::from_utf8(found.expect("it kept what it saw")).expect("text"), effects)
}

/// Has the plugin do `how`; it must see `expected`.
async fn check(runtime: Runtime, how: &str, expected: &str) -> Effects {
    let world = world(runtime).await;
    let (found, effects) = seen(&world, &[about(how)]).await;
    assert_eq!(found, expected);
    assert!(world.stored.audit.lock().is_empty());
    effects
}

fn ada() -> CustomerId {
    CustomerId::from_i64(ADA)
}

pub async fn appended(runtime: Runtime) {
    let expected = format!("{} shop 1 {} -250 EUR 3 ü", ada(), NOW.as_millis());
    check(runtime, "event", &expected).await;
}

pub async fn changed(runtime: Runtime) {
    let world = world(runtime).await;
    let customer = world.stored.customers.lock().get(&ada()).cloned().expect("Ada");
    let found = seen(&world, &[Event::CustomerChanged(customer)]).await.0;
    assert_eq!(found, "customer Ada prospect email:ada@example.com vip v1");
}

pub async fn observed(runtime: Runtime) {
    let world = world(runtime).await;
    let events = [
        Event::MetricObserved(observation(Subject::Customer(ada()), Some(0.25), Some(-3.0))),
        Event::MetricObserved(observation(Subject::Business, Some(1e6), None)),
    ];
    let found = seen(&world, &events).await.0;
    assert_eq!(found, format!("clv customer:{} 0.25 -3; clv business 1000000 none", ada()));
}

pub async fn ordered(runtime: Runtime) {
    let world = world(runtime).await;
    let events = [
        about("clock"),
        Event::MetricObserved(observation(Subject::Business, Some(2.0), None)),
        about("log"),
    ];
    let found = seen(&world, &events).await.0;
    assert_eq!(found, format!("{}; clv business 2 none; logged", NOW.as_millis()));
}

pub async fn log(runtime: Runtime) {
    check(runtime, "log", "logged").await;
}

pub async fn clock(runtime: Runtime) {
    check(runtime, "clock", &NOW.as_millis().to_string()).await;
}

pub async fn config(runtime: Runtime) {
    let package = conforming(runtime);
    let world = crate::given::furnished(&package);
    world.load_with(package, json!({ "greeting": "good \"day\"" }), None).await;
    let found: Value = serde_json::from_str(&seen(&world, &[about("config")]).await.0).expect("JSON");
    assert_eq!(found, json!({ "greeting": "good \"day\"", "set_up": "" }));
}

pub async fn secret(runtime: Runtime) {
    check(runtime, "secret", "s3cret").await;
}

pub async fn kv(runtime: Runtime) {
    let effects = check(runtime, "kv", "two a/2+a/3 a/3 true true").await;
    let expected = [("a/1", None), ("a/3", Some("three"))];
    let expected =
        expected.map(|(key, value)| (key.to_owned(), value.map(|value: &str| value.as_bytes().to_vec())));
    assert_eq!(&effects.kept[..2], &expected);
}

pub async fn http(runtime: Runtime) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a request");
        let mut request = Vec::new();
        while !request.ends_with(b"ping") {
            assert!(stream.read_buf(&mut request).await.expect("bytes") > 0, "the request breaks off");
        }
        let answer =
            "HTTP/1.1 201 Created\r\nx-answered: yes\r\ncontent-length: 4\r\nconnection: close\r\n\r\npong";
        stream.write_all(answer.as_bytes()).await.expect("answered");
        String::from_utf8_lossy(&request).to_lowercase()
    });
    let package = conforming(runtime);
    let world = crate::given::furnished(&package);
    let asked = Grants::by_default(&package.manifest().permissions);
    world.load_with(package, Value::Null, Some(asked.with_private_host(&address.to_string()))).await;
    let mut event = about("http");
    if let Event::InteractionAppended(interaction) = &mut event {
        interaction.attributes.set("url", json!(format!("http://{address}/path?q=1")));
    }
    assert_eq!(seen(&world, &[event]).await.0, "201 yes pong");
    let request = serving.await.expect("served");
    assert!(
        request.starts_with("post /path?q=1 http/1.1\r\n") && request.contains("x-asked: yes"),
        "{request}"
    );
}

pub async fn customers_get(runtime: Runtime) {
    check(runtime, "customers-get", "Ada prospect email:ada@example.com vip v1 true").await;
}

pub async fn customers_find(runtime: Runtime) {
    check(runtime, "customers-find", "true true").await;
}

pub async fn customers_update(runtime: Runtime) {
    let expected = "Ada prospect email:ada@example.com seen v2 v3 again+seen conflict";
    let effects = check(runtime, "customers-update", expected).await;
    let [(first, change), (second, again)] = effects.customers.as_slice() else { panic!("{effects:?}") };
    assert_eq!((*first, *second), (ada(), ada()));
    assert_eq!((change.version, again.version), (Some(1), Some(2)));
    assert_eq!(change.attributes.get("city"), Some(&json!("Bonn")));
    assert_eq!(change.attributes.get("old"), Some(&Value::Null));
}

pub async fn interactions(runtime: Runtime) {
    check(runtime, "interactions-query", "A3+A2 A1 true 0").await;
}

pub async fn metrics(runtime: Runtime) {
    check(runtime, "metrics-latest", "clv 0.5 minor true").await;
}

pub async fn messages(runtime: Runtime) {
    let effects = check(runtime, "messages-enqueue", "true").await;
    let [(_, message)] = effects.messages.as_slice() else { panic!("one message: {effects:?}") };
    assert_eq!(
        (message.customer, message.body.as_str(), message.purpose.as_str()),
        (ada(), "hello", "service")
    );
    assert_eq!(message.idempotency_key, "conforming:once");
    assert_eq!(message.parameters.get("subject"), Some(&json!("hi")));
    assert_eq!(message.not_before, Some(NOW.plus_millis(1_000)));
}

pub async fn records(runtime: Runtime) {
    let effects = check(runtime, "records", "v1 v2 true conflict 0 true").await;
    let done: Vec<_> = effects
        .records
        .iter()
        .map(|change| match change {
            RecordChange::Create(_, new) => (new.data["number"].as_i64(), new.customer_id),
            RecordChange::Update { version, data, .. } => {
                (data["number"].as_i64().map(|number| number * 10 + version), None)
            }
            RecordChange::Delete { version, .. } => (Some(-version), None),
        })
        .collect();
    assert_eq!(done, [(Some(1), Some(ada())), (Some(21), None), (Some(-2), None), (Some(3), None)]);
}

pub async fn codes(runtime: Runtime) {
    let world = world(runtime).await;
    let expected =
        "invalid not-found invalid invalid invalid not-found denied invalid invalid invalid not-found denied";
    assert_eq!(seen(&world, &[about("codes")]).await.0, expected);
    assert_eq!(world.stored.audit.lock().len(), 2, "what was denied is in the audit log, and nothing else");
}

pub async fn values(runtime: Runtime) {
    check(runtime, "values", "invalid").await;
}
