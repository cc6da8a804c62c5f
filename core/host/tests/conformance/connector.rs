//! A channel's way in and out.

use std::time::Duration;

use regard_engine::Fault;
use regard_engine::ports::{Connectors, Features, Outbound, Outcome, Webhook};
use regard_model::Attributes;
use serde_json::json;

use crate::given::world;
use crate::world::{NOW, Runtime, channel};

pub async fn described(runtime: Runtime) {
    let features = Connectors::features(&world(runtime).await.host, "conforming").expect("features");
    let expected = Features {
        receives: true,
        polls: true,
        sends: true,
        threads: true,
        receipts: false,
        idempotent: true,
        address_scheme: "email".to_owned(),
        text_limit: Some(160),
    };
    assert_eq!(features, expected);
}

fn webhook(path: &str) -> Webhook {
    Webhook {
        method: "POST".to_owned(),
        path: path.to_owned(),
        query: "a=1".to_owned(),
        headers: vec![("x-one".to_owned(), "1".to_owned())],
        body: b"\xff\x00body".to_vec(),
    }
}

pub async fn received(runtime: Runtime) {
    let world = world(runtime).await;
    let (items, reply, effects) =
        world.host.receive(&channel("conforming"), webhook("")).await.expect("received");
    assert_eq!((reply.status, reply.body.as_slice()), (202, &b"POST a=1"[..]));
    assert_eq!(reply.headers, [("content-type".to_owned(), "text/plain".to_owned())]);
    assert_eq!(effects.kept, [("received".to_owned(), Some(b"\xff\x00body".to_vec()))]);
    let [item] = items.as_slice() else { panic!("one item: {items:?}") };
    assert_eq!((item.external_id.as_str(), item.kind.as_str()), ("A-1", "order.placed"));
    assert_eq!(item.sender, Some(("email".to_owned(), "Ada@Example.com".to_owned())));
    assert_eq!(item.aliases, [("cookie".to_owned(), "c-1".to_owned())]);
    assert_eq!(item.sender_name.as_deref(), Some("Ada"));
    assert_eq!((item.occurred_at_ms, item.thread.as_deref()), (NOW.as_millis() - 1_000, Some("t")));
    assert_eq!(item.amount, Some((-250, "EUR".to_owned())));
    let attributes = [("url", json!("https://example.com")), ("lines", json!([1, 2.5, { "deep": [true] }]))];
    assert_eq!(item.attributes, Attributes::from(attributes));
}

pub async fn refused(runtime: Runtime) {
    let world = world(runtime).await;
    for (path, fault, words) in [
        ("denied", Fault::Denied, "denied: wrong signature"),
        ("invalid", Fault::Invalid, "invalid: no such body"),
        ("throttled", Fault::Throttled, "throttled: slow down"),
    ] {
        let failed = world.host.receive(&channel("conforming"), webhook(path)).await.expect_err(path);
        assert_eq!(failed.fault, fault);
        assert_eq!(failed.to_string(), format!("conforming: connector.receive failed: {words}"));
        assert_eq!(failed.retry_after, (path == "throttled").then_some(Duration::from_millis(1_500)));
    }
}

pub async fn polled(runtime: Runtime) {
    let world = world(runtime).await;
    let (mut cursor, mut pages) = (None, Vec::new());
    for _ in 0..3 {
        let page = world.host.poll(&channel("conforming"), cursor, 2).await.expect("a page").0;
        pages.push((page.cursor.clone(), page.more));
        cursor = page.cursor;
    }
    let expected = [(1, true), (2, true), (3, false)].map(|(at, more)| (Some(vec![at, 0, 255]), more));
    assert_eq!(pages, expected);
}

pub async fn sent(runtime: Runtime) {
    let world = world(runtime).await;
    let words = "failed: hello".to_owned();
    let after = Some(Duration::from_millis(1_500));
    for (how, expected) in [
        ("sent", Outcome::Sent("k:hi".to_owned())),
        ("rejected", Outcome::Rejected(words.clone())),
        ("retry", Outcome::Retry { reason: words.clone(), after }),
        ("uncertain", Outcome::Uncertain(words.clone())),
    ] {
        let message = Outbound {
            idempotency_key: "k".to_owned(),
            recipient: how.to_owned(),
            thread: None,
            subject: Some("hi".to_owned()),
            text: "hello".to_owned(),
            attributes: Attributes::new(),
        };
        let (outcome, _) = world.host.send(&channel("conforming"), message).await.expect(how);
        assert_eq!(outcome, expected);
    }
}
