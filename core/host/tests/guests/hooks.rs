//! What a hook is told and does, and how it fails.

use std::time::Duration;

use regard_engine::Fault;
use regard_engine::ports::{Event, Hooks};
use regard_model::{Attributes, Money, Subject};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::built::{LANGUAGES, Language, limits, package, world};
use crate::world::{LATE, World, event, event_with, fixture};

async fn kept(world: &World, guest: &str, event: Event, key: &str) -> Value {
    let effects = world.host.handle(guest, &[event]).await.expect("handled");
    let (_, bytes) = effects.kept.into_iter().find(|(found, _)| found == key).expect("it was kept");
    let bytes = bytes.expect("bytes");
    serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_are_collected() {
    for language in LANGUAGES {
        let world = world(language).await;
        let ada = world.customer(7, "Ada");
        let event = event_with("write", Some(ada), Attributes::new());
        let effects = world.host.handle(language.guest(), &[event]).await.expect("handled");
        assert_eq!(
            effects.customers.iter().map(|(_, change)| change.version).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
        let change = &effects.customers[1].1;
        let expected = [
            ("city", json!("Bonn")),
            ("gone", Value::Null),
            ("lines", json!([1, { "two": "ü" }])),
            ("share", json!(0.5)),
            ("vip", json!(true)),
            ("visits", json!(3)),
        ];
        for (name, value) in expected {
            assert_eq!(change.attributes.get(name), Some(&value), "{language:?} {name}");
        }
        let met = change.attributes.get("met").and_then(Value::as_str).expect("an instant");
        assert!(met.starts_with("2025-11-24T16:00:00.123"), "{language:?}: {met}");
        assert_eq!(effects.messages.len(), 1, "the same key enqueues once");
        let counter = effects.kept.iter().find(|(key, _)| key == "counter").expect("the counter");
        let counter: Value = serde_json::from_slice(counter.1.as_deref().expect("bytes")).expect("JSON");
        assert_eq!(counter, json!({ "ü": 1 }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_keep_their_shape() {
    for language in LANGUAGES {
        let (world, guest) = (world(language).await, language.guest());
        let ada = world.customer(7, "Ada");
        let attributes = Attributes::from([
            ("whole", json!(3)),
            ("part", json!(0.25)),
            ("text", json!("ü")),
            ("yes", json!(true)),
            ("none", Value::Null),
            ("list", json!([1, [2.5, { "a": null }]])),
        ]);
        let mut event = event_with("shape", Some(ada), attributes.clone());
        if let Event::InteractionAppended(interaction) = &mut event {
            interaction.amount = Some(Money { minor: -250, currency: "EUR".parse().expect("a currency") });
        }
        let shape = kept(&world, guest, event, "shape").await;
        assert_eq!(shape["customerId"], json!(ada.to_string()), "{language:?}");
        assert_eq!(shape["occurredAtMs"], json!(crate::world::NOW.as_millis()), "{language:?}");
        assert_eq!(shape["amount"], json!({ "minor": -250, "currency": "EUR" }), "{language:?}");
        for (name, value) in &attributes.0 {
            assert_eq!(&shape["attributes"][name], value, "{language:?} {name}");
        }
        let observed = Event::MetricObserved(regard_model::Observation {
            id: regard_model::ObservationId::from_i64(1),
            evaluation: regard_model::EvaluationId::from_i64(1),
            metric: "rfm".to_owned(),
            subject: Subject::Business,
            window: regard_model::Window { start: None, end: crate::world::NOW },
            value: Some(1.5),
            unit: "minor".to_owned(),
            details: Default::default(),
            previous: None,
        });
        assert_eq!(kept(&world, guest, observed, "observed").await, json!([1.5, null]), "{language:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_what_authors_expect() {
    for language in LANGUAGES {
        let (world, guest) = (world(language).await, language.guest());
        let first = kept(&world, guest, event("environment"), "random").await;
        let second = kept(&world, guest, event("environment"), "random").await;
        assert_eq!(first, second, "{language:?}: every instance begins alike");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_http_are_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody")
                .await;
        }
    });
    for language in LANGUAGES {
        let (world, guest) = (world(language).await, language.guest());
        world.stored.secrets.lock().insert("token".to_owned(), "s3cret".to_owned());
        assert_eq!(kept(&world, guest, event("secret"), "secret").await, json!("s3cret"));
        let url = Attributes::from([("url", json!(format!("http://{address}/")))]);
        let get = event_with("http", None, url);
        let failed = world.host.handle(guest, std::slice::from_ref(&get)).await.expect_err("no grant");
        assert_eq!(failed.fault, Fault::Denied, "{language:?}: {failed}");
        let package = package(&fixture(guest));
        let grants = regard_host::Grants::by_default(&package.manifest().permissions)
            .with_private_host(&address.to_string());
        world.load_with(package, Value::Null, Some(grants)).await;
        assert_eq!(kept(&world, guest, get, "body").await, json!("body"), "{language:?}");
    }
}

/// Has the fixture do `how`; it must fail like this, and the next call must work.
async fn check(language: Language, how: &str, fault: Fault, message: &str) {
    let (world, guest) = (world(language).await, language.guest());
    let failed = world.host.handle(guest, &[event(how)]).await.expect_err(how);
    let label = format!("{how}: {failed}");
    let (computed, most) = (world.computed(guest), limits().interactive.cpu);
    assert!(computed < most + LATE, "{label} computed {computed:?}");
    assert!(computed >= most || !message.starts_with("computed longer"), "{label} computed {computed:?}");
    assert_eq!(failed.fault, fault, "{label}");
    assert!(failed.to_string().starts_with(&format!("{guest}: hook.handle failed: ")), "{label}");
    assert!(failed.message.contains(message), "{label}");
    let effects = world.host.handle(guest, &[event("nothing")]).await.expect("the next call works");
    assert!(effects.is_empty(), "{label} left effects behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_hold() {
    for language in LANGUAGES {
        check(language, "loop", Fault::Timeout, "computed longer than 1000 ms").await;
        check(language, "memory", Fault::Memory, "asked for more than 96 MiB").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_says_what_and_where() {
    check(Language::TypeScript, "crash", Fault::Trap, "it said: TypeError: boom in misbehave (plugin.ts:")
        .await;
    check(Language::TypeScript, "odd-crash", Fault::Trap, "it said: threw boom").await;
    check(Language::TypeScript, "promise", Fault::Trap, "functions of a plugin are not async").await;
    check(Language::TypeScript, "stack", Fault::Trap, "").await;
    check(Language::Python, "crash", Fault::Trap, "it said: ValueError: boom (plugin.py:").await;
    check(Language::Python, "exit", Fault::Trap, "it said: SystemExit: boom (plugin.py:").await;
    check(Language::Python, "late-import", Fault::Trap, "import it at the top of a module").await;
    check(Language::Python, "stack", Fault::Trap, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_error_is_the_contracts() {
    for language in LANGUAGES {
        check(language, "report", Fault::Throttled, "slow down").await;
        let world = world(language).await;
        let failed = world.host.handle(language.guest(), &[event("report")]).await.expect_err("reported");
        assert_eq!(failed.retry_after, Some(Duration::from_millis(1500)));
        let refused = world
            .host
            .load(package(&fixture(language.guest())), json!({ "refuse": true }), None)
            .await
            .expect_err("set-up refuses")
            .to_string();
        assert!(refused.contains("set-up: refused"), "{language:?}: {refused}");
    }
}
