//! A hook that crashes in the middle of its changes, in the real program with the real store: nothing of what it did is
//! there, another hook has done its work meanwhile, and the hook that crashes is named.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regard_tests::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// A hook that fails is tried again with pauses before its event is passed over.
const PATIENCE: Duration = Duration::from_secs(90);

/// Changes everything that a hook can change, and crashes when an order is placed.
const HALF: &str = r#"
return { hook = { handle = function(events)
    for _, event in events do
        local interaction = event.interaction
        local customer = regard.customers.get(interaction.customer_id)
        if interaction.kind == "order.placed" then
            regard.customers.update(customer.id, customer.version, { add_tags = { "half" }, set = { half = true } })
            regard.messages.enqueue({
                customer_id = customer.id, purpose = "service", body = "half", idempotency_key = interaction.id,
            })
            regard.records.create("half", customer.id, { number = 1 })
            regard.kv.set("half", "done")
            error("boom")
        end
        local left = if regard.kv.get("half") then "left" else "fine"
        regard.customers.update(customer.id, customer.version, { add_tags = { left } })
    end
end } }
"#;

/// Does the same, and does not crash.
const WHOLE: &str = r#"
return { hook = { handle = function(events)
    for _, event in events do
        local customer = regard.customers.get(event.interaction.customer_id)
        regard.customers.update(customer.id, customer.version, { add_tags = { "whole" } })
    end
end } }
"#;

struct Desk {
    server: Server,
    admin: String,
}

impl Desk {
    fn ask(&self, status: u16, method: Method, path: &str, body: Option<Value>) -> Value {
        let (found, answer) = self.server.call(method, path, &self.admin, body).expect("an answer");
        assert_eq!(found, status, "{path}: {answer}");
        answer
    }

    fn get(&self, path: &str) -> Value {
        self.ask(200, Method::GET, path, None)
    }

    fn install(&self, id: &str, more: &str, handler: &str) {
        let manifest = format!(
            "id = \"{id}\"\nname = \"{id}\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
             capabilities = [\"hook\"]\n[permissions]\ncustomers = \"write\"\nmessages = true\nkv = true\n\
             [[subscribe]]\nevent = \"interaction.appended\"\nkind = \"order.*\"\n{more}"
        );
        let body = json!({ "manifest": manifest, "files": { "handler.luau": STANDARD.encode(handler) } });
        self.ask(201, Method::POST, "/plugins", Some(body));
    }

    fn say(&self, external_id: &str, kind: &str) -> Value {
        let said = json!({
            "channel": "shop", "external_id": external_id, "kind": kind, "occurred_at": "2026-01-01T10:00:00Z",
            "identifier": { "scheme": "email", "value": "ada@example.com" },
        });
        self.ask(200, Method::POST, "/interactions", Some(said))["items"][0].clone()
    }

    /// Waits until the customer has the tag; gives the customer.
    fn tagged(&self, customer: &str, tag: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let customer = self.get(&format!("/customers/{customer}"));
            if customer["tags"].as_array().expect("tags").contains(&json!(tag)) {
                return customer;
            }
            assert!(Instant::now() < until, "never {tag}: {customer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn what_a_crashed_call_did_is_not_stored() {
    let server = Server::start().expect("serves");
    let admin = server.token("admin").expect("a token");
    server.make_channel("shop").expect("a channel");
    let desk = Desk { server, admin };
    let record_type = "[[records]]\nname = \"half\"\ntitle = \"Half\"\ncustomer = \"optional\"\n\
                       [records.schema]\ntype = \"object\"\n";
    desk.install("hook-half", record_type, HALF);
    desk.install("hook-whole", "", WHOLE);

    let said = desk.say("1", "order.placed");
    let ada = said["customer"].as_str().expect("a customer").to_owned();
    let customer = desk.tagged(&ada, "whole");
    assert!(!customer["tags"].as_array().expect("tags").contains(&json!("half")), "{customer}");

    // The event that it crashes on is passed over in the end, and what follows is handled.
    desk.say("2", "order.paid");
    let customer = desk.tagged(&ada, "fine");
    let tags = customer["tags"].as_array().expect("tags");
    assert!(!tags.contains(&json!("half")) && !tags.contains(&json!("left")), "{customer}");
    assert!(customer["attributes"].get("half").is_none(), "{customer}");
    assert_eq!(desk.get("/outbox")["items"], json!([]));
    assert_eq!(desk.get("/records/half")["items"], json!([]));

    let faults = |plugin: &str| {
        let shown = desk.get(&format!("/plugins/{plugin}"));
        let calls = shown["calls"].as_array().unwrap_or_else(|| panic!("no calls: {shown}")).clone();
        calls.iter().map(|call| call["faults"]["trap"].as_u64().unwrap_or_default()).sum::<u64>()
    };
    assert!(faults("hook-half") > 0);
    assert_eq!(faults("hook-whole"), 0);
}
