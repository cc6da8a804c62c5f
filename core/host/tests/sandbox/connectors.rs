//! A connector in Luau: every shape that crosses, there and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use regard_engine::ports::{Connectors, Outbound, Outcome, Webhook};
use regard_host::Package;
use regard_model::Attributes;
use serde_json::{Value, json};

use crate::world::{World, channel};

const MANIFEST: &str = "id = \"connector-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\n\
    runtime = \"luau\"\ncapabilities = [\"connector\"]\n";

const HANDLER: &str = r#"
return {
    connector = {
        describe = function()
            return { receives = true, polls = true, sends = true, address_scheme = "email", text_limit = 160 }
        end,
        receive = function(channel, request)
            assert(channel.name == "shop" and channel.settings.url == "https://example.com")
            assert(request.method == "POST" and request.headers["x-many"] == "one, two")
            local item = regard.json.decode(request.body)
            return {
                items = {
                    {
                        external_id = item.id,
                        sender = { scheme = "email", value = "Ada@Example.com" },
                        kind = "order.placed",
                        occurred_at_ms = 1764000000123,
                        thread = "t",
                        amount = { minor = -250, currency = "EUR" },
                        attributes = { lines = item.lines, nested = { list = {}, deep = { true } } },
                    },
                },
                reply = { status = 202, headers = { ["content-type"] = "text/plain" }, body = "ok" },
            }
        end,
        poll = function(_channel, cursor, limit)
            local page = if cursor then string.byte(cursor) else 0
            return { items = {}, cursor = string.char(page + 1, 255), more = page < limit }
        end,
        send = function(_channel, message)
            local how = message.attributes.how
            if how == "sent" then
                return { sent = message.idempotency_key .. ":" .. message.recipient }
            elseif how == "retry" then
                return { retry = "busy", after_ms = 1500 }
            elseif how == "both" then
                return { sent = "1", rejected = "no" }
            end
            return { [how] = message.text }
        end,
    },
}
"#;

async fn world() -> World {
    let files = BTreeMap::from([("handler.luau".to_owned(), HANDLER.as_bytes().to_vec())]);
    let package = Package::from_parts(Path::new("connector-x/plugin.toml"), MANIFEST.to_owned(), files);
    let world = World::new();
    world.load(package.expect("a package")).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_keeps_its_shape() {
    let world = world().await;
    let features = Connectors::features(&world.host, "connector-x").expect("features");
    assert!(features.receives && features.polls && features.sends && !features.threads);
    assert_eq!((features.address_scheme.as_str(), features.text_limit), ("email", Some(160)));
    let webhook = Webhook {
        method: "POST".to_owned(),
        path: String::new(),
        query: String::new(),
        headers: vec![("x-many".to_owned(), "one".to_owned()), ("x-many".to_owned(), "two".to_owned())],
        body: br#"{"id":"A-1","lines":[1,2.5,"three",null]}"#.to_vec(),
    };
    let (items, reply, effects) =
        world.host.receive(&channel("connector-x"), webhook).await.expect("received");
    assert!(effects.is_empty());
    assert_eq!((reply.status, reply.body.as_slice()), (202, &b"ok"[..]));
    assert_eq!(reply.headers, [("content-type".to_owned(), "text/plain".to_owned())]);
    let item = &items[0];
    assert_eq!(item.external_id, "A-1");
    assert_eq!(item.sender, Some(("email".to_owned(), "Ada@Example.com".to_owned())));
    assert_eq!(
        (item.occurred_at_ms, item.amount.clone()),
        (1_764_000_000_123, Some((-250, "EUR".to_owned())))
    );
    // An empty table without the mark of a list is an object.
    let nested = json!({ "list": {}, "deep": [true] });
    let expected = [("lines", json!([1, 2.5, "three", null])), ("nested", nested)];
    assert_eq!(item.attributes, Attributes::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_bytes() {
    let world = world().await;
    let first = world.host.poll(&channel("connector-x"), None, 1).await.expect("a page").0;
    assert_eq!((first.cursor.as_deref(), first.more), (Some(&[1, 255][..]), true));
    let second = world.host.poll(&channel("connector-x"), first.cursor, 1).await.expect("a page").0;
    assert_eq!((second.cursor.as_deref(), second.more), (Some(&[2, 255][..]), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_has_exactly_one_outcome() {
    let world = world().await;
    let send = async |how: &str| {
        let message = Outbound {
            idempotency_key: "k".to_owned(),
            recipient: "ada@example.com".to_owned(),
            thread: None,
            subject: None,
            text: "hello".to_owned(),
            attributes: Attributes::from([("how", Value::from(how))]),
        };
        world.host.send(&channel("connector-x"), message).await.map(|(outcome, _)| outcome)
    };
    assert_eq!(send("sent").await.expect("sent"), Outcome::Sent("k:ada@example.com".to_owned()));
    assert_eq!(send("rejected").await.expect("rejected"), Outcome::Rejected("hello".to_owned()));
    assert_eq!(send("uncertain").await.expect("uncertain"), Outcome::Uncertain("hello".to_owned()));
    let after = Some(Duration::from_millis(1500));
    assert_eq!(send("retry").await.expect("retry"), Outcome::Retry { reason: "busy".to_owned(), after });
    for how in ["both", "nonsense"] {
        let failed = send(how).await.expect_err(how).to_string();
        assert!(
            failed.starts_with("connector-x: connector.send failed: failed: what send returns: "),
            "{failed}"
        );
    }
}
