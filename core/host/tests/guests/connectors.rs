//! A connector: what comes in and what goes out.

use std::time::Duration;

use regard_engine::Fault;
use regard_engine::ports::{Connectors, Outbound, Outcome, Webhook};
use regard_model::Attributes;
use serde_json::{Value, json};

use crate::built::{LANGUAGES, world};
use crate::world::channel;

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_keeps_its_shape() {
    for language in LANGUAGES {
        let (world, guest) = (world(language).await, language.guest());
        let features = Connectors::features(&world.host, guest).expect("features");
        assert!(features.receives && features.polls && features.sends && !features.threads, "{language:?}");
        assert_eq!((features.address_scheme.as_str(), features.text_limit), ("email", Some(160)));
        let webhook = |signature: &str| Webhook {
            method: "POST".to_owned(),
            path: String::new(),
            query: String::new(),
            headers: vec![("x-signature".to_owned(), signature.to_owned())],
            body: br#"{"id":"A-1"}"#.to_vec(),
        };
        let (items, reply, effects) =
            world.host.receive(&channel(guest), webhook("good")).await.expect("received");
        assert!(effects.is_empty());
        assert_eq!((reply.status, reply.body.as_slice()), (202, &b"ok"[..]));
        assert_eq!(reply.headers, [("content-type".to_owned(), "text/plain".to_owned())]);
        let item = &items[0];
        assert_eq!(item.external_id, "A-1");
        assert_eq!(item.sender, Some(("email".to_owned(), "Ada@Example.com".to_owned())));
        assert_eq!(item.aliases, [("cookie".to_owned(), "c-1".to_owned())]);
        assert_eq!(item.sender_name.as_deref(), Some("Ada"));
        assert_eq!(
            (item.occurred_at_ms, item.amount.clone()),
            (1_764_000_000_123, Some((-250, "EUR".to_owned())))
        );
        assert_eq!(item.attributes.get("lines"), Some(&json!([1, 2.5, null])), "{language:?}");
        let failed = world.host.receive(&channel(guest), webhook("bad")).await.expect_err("denied");
        assert_eq!(failed.fault, Fault::Denied, "{language:?}: {failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_bytes() {
    for language in LANGUAGES {
        let (world, guest) = (world(language).await, language.guest());
        let first = world.host.poll(&channel(guest), None, 1).await.expect("a page").0;
        assert_eq!((first.cursor.as_deref(), first.more), (Some(&[1, 255][..]), true), "{language:?}");
        let second = world.host.poll(&channel(guest), first.cursor, 1).await.expect("a page").0;
        assert_eq!((second.cursor.as_deref(), second.more), (Some(&[2, 255][..]), false), "{language:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_has_every_outcome() {
    for language in LANGUAGES {
        let (world, guest) = (world(language).await, language.guest());
        let send = async |how: &str| {
            let message = Outbound {
                idempotency_key: "k".to_owned(),
                recipient: "ada@example.com".to_owned(),
                thread: None,
                subject: None,
                text: "hello".to_owned(),
                attributes: Attributes::from([("how", Value::from(how))]),
            };
            world.host.send(&channel(guest), message).await.map(|(outcome, _)| outcome)
        };
        assert_eq!(send("sent").await.expect("sent"), Outcome::Sent("k:ada@example.com".to_owned()));
        assert_eq!(send("rejected").await.expect("rejected"), Outcome::Rejected("invalid: hello".to_owned()));
        assert_eq!(
            send("uncertain").await.expect("uncertain"),
            Outcome::Uncertain("failed: hello".to_owned())
        );
        let after = Some(Duration::from_millis(1500));
        assert_eq!(
            send("retry").await.expect("retry"),
            Outcome::Retry { reason: "unavailable: busy".to_owned(), after }
        );
        let reported = send("report").await.expect("an outcome");
        assert!(
            matches!(&reported, Outcome::Uncertain(why) if why.ends_with("the line went dead")),
            "{language:?}: {reported:?}"
        );
        let failed = send("crash").await.expect_err("crash");
        assert_eq!(failed.fault, Fault::Trap);
        assert!(failed.message.contains("boom"), "{language:?}: {failed}");
    }
}
