//! The same connector in Rust, as a component and as a library, and in Luau: every shape that crosses, there and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use regard_engine::ports::{Connectors, Event, Hooks, Outbound, Outcome, Webhook};
use regard_host::Package;
use regard_model::{Attributes, Identifier, Subject};
use serde_json::{Value, json};

use crate::welcome::observed;
use crate::world::{RUNTIMES, Runtime, World, channel, component, event_with, fixture, library};

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
                        aliases = { { scheme = "cookie", value = "c-1" } },
                        sender_name = "Ada",
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

fn package(runtime: Runtime) -> Package {
    static COMPONENT: OnceLock<Package> = OnceLock::new();
    static LIBRARY: OnceLock<Package> = OnceLock::new();
    match runtime {
        Runtime::Wasm => COMPONENT.get_or_init(|| component(&fixture("shapes"))).clone(),
        Runtime::Native => LIBRARY.get_or_init(|| library(&fixture("shapes"))).clone(),
        Runtime::Luau => {
            let files = BTreeMap::from([("handler.luau".to_owned(), HANDLER.as_bytes().to_vec())]);
            let package =
                Package::from_parts(Path::new("connector-x/plugin.toml"), MANIFEST.to_owned(), files);
            package.expect("a package")
        }
    }
}

async fn world(runtime: Runtime) -> World {
    let package = package(runtime);
    let world = World::new();
    world.load(package).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_keeps_its_shape() {
    for runtime in RUNTIMES {
        let world = world(runtime).await;
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
        assert_eq!(item.aliases, [("cookie".to_owned(), "c-1".to_owned())]);
        assert_eq!(item.sender_name.as_deref(), Some("Ada"));
        assert_eq!(
            (item.occurred_at_ms, item.amount.clone()),
            (1_764_000_000_123, Some((-250, "EUR".to_owned())))
        );
        // An empty Luau table without the mark of a list is an object.
        let nested = json!({ "list": {}, "deep": [true] });
        let expected = [("lines", json!([1, 2.5, "three", null])), ("nested", nested)];
        assert_eq!(item.attributes, Attributes::from(expected), "{runtime:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_bytes() {
    for runtime in RUNTIMES {
        let world = world(runtime).await;
        let first = world.host.poll(&channel("connector-x"), None, 1).await.expect("a page").0;
        assert_eq!((first.cursor.as_deref(), first.more), (Some(&[1, 255][..]), true), "{runtime:?}");
        let second = world.host.poll(&channel("connector-x"), first.cursor, 1).await.expect("a page").0;
        assert_eq!((second.cursor.as_deref(), second.more), (Some(&[2, 255][..]), false), "{runtime:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_has_exactly_one_outcome() {
    for runtime in RUNTIMES {
        let world = world(runtime).await;
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
        // The contract's error has a code, which stands before the words; in Luau there are only words.
        let words = |code: &str, words: &str| match runtime {
            Runtime::Luau => words.to_owned(),
            _ => format!("{code}: {words}"),
        };
        assert_eq!(send("sent").await.expect("sent"), Outcome::Sent("k:ada@example.com".to_owned()));
        let hello = words("failed", "hello");
        assert_eq!(send("rejected").await.expect("rejected"), Outcome::Rejected(hello.clone()));
        assert_eq!(send("uncertain").await.expect("uncertain"), Outcome::Uncertain(hello));
        let after = Some(Duration::from_millis(1500));
        let busy = Outcome::Retry { reason: words("throttled", "busy"), after };
        assert_eq!(send("retry").await.expect("retry"), busy, "{runtime:?}");
        // A component and the SDK's libraries cannot say two things at once.
        for how in ["both", "nonsense"].into_iter().filter(|_| runtime == Runtime::Luau) {
            let failed = send(how).await.expect_err(how).to_string();
            assert!(
                failed.starts_with("connector-x: connector.send failed: failed: what send returns: "),
                "{failed}"
            );
        }
    }
}

/// What a library's hook is given through JSON must be, word for word, what a component's is given.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_given_the_same_as_component_and_as_library() {
    let mut seen = Vec::new();
    for runtime in [Runtime::Wasm, Runtime::Native] {
        let world = world(runtime).await;
        let ada = world.customer(7, "Ada \"the first\"");
        let mut customer = world.stored.customers.lock().get(&ada).cloned().expect("the customer");
        customer.tags.insert("vip".to_owned());
        customer.identifiers.push(Identifier::new("email", "ada@example.com").expect("an identifier"));
        customer.attributes = Attributes::from([
            ("whole", json!(9_007_199_254_740_993_i64)),
            ("half", json!(0.5)),
            ("large", json!(u64::MAX)),
            ("yes", json!(true)),
            ("text", json!("ü\u{0}\n")),
            ("nested", json!({ "a": [1, null, {}] })),
            ("none", Value::Null),
        ]);
        let events = [
            event_with("x", Some(ada), customer.attributes.clone()),
            event_with("x", None, Attributes::new()),
            Event::CustomerChanged(customer),
            observed("clv", Subject::Customer(ada), Some(0.1), Some(-3.0)),
            observed("clv", Subject::Business, None, None),
        ];
        let effects = world.host.handle("connector-x", &events).await.expect("handled");
        seen.push(effects.kept);
    }
    assert_eq!(seen[0].len(), 9, "{:?}", seen[0]);
    for (component, library) in seen[0].iter().zip(&seen[1]) {
        let text =
            |kept: &Option<Vec<u8>>| kept.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!((&component.0, text(&component.1)), (&library.0, text(&library.1)));
    }
    assert_eq!(seen[0], seen[1]);
}
