//! A plugin sees and changes the fields of customers that it was granted, and no others.

use std::path::Path;

use regard_engine::ports::{Event, Hooks as _};
use regard_host::manifest::{CustomerAccess, CustomerFields};
use regard_host::{Grants, Package};
use regard_model::{Attributes, Identifier};
use serde_json::{Value, json};

use super::world::{World, event_with};

/// Looks at a customer, by whichever way the event names, and keeps what it sees in an attribute `seen`.
const HANDLER: &str = r#"
local function words(customer)
    local identifiers = {}
    for _, identifier in customer.identifiers do
        table.insert(identifiers, identifier.scheme)
    end
    local names = {}
    for name in customer.attributes do
        table.insert(names, name)
    end
    table.sort(names)
    return `{customer.name}|{table.concat(customer.tags, ",")}|{table.concat(identifiers, ",")}|{table.concat(names, ",")}`
end
return {
    hook = {
        handle = function(events)
            for _, event in events do
                if event.type == "customer-changed" then
                    regard.kv.set("seen", words(event.customer))
                    continue
                end
                local customer = assert(regard.customers.get(event.interaction.customer_id))
                local way = event.interaction.kind
                if way == "test.find" then
                    regard.customers.find("phone", "+4930123456")
                elseif way == "test.tag" then
                    regard.customers.update(customer.id, customer.version, { add_tags = { "x" } })
                elseif way == "test.street" then
                    regard.customers.update(customer.id, customer.version, { set = { street = "x" } })
                else
                    customer = regard.customers.update(customer.id, customer.version, { set = { city = "Bonn" } })
                    regard.kv.set("seen", words(customer))
                end
            end
        end,
    },
}"#;

fn package(fields: &str) -> Package {
    let manifest = format!(
        "id = \"hook-look\"\nname = \"Look\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
         capabilities = [\"hook\"]\n[permissions]\nkv = true\ncustomers = \"write\"\n{fields}\n\
         [[subscribe]]\nevent = \"interaction.appended\"\n[[subscribe]]\nevent = \"customer.changed\"\n"
    );
    let files = [("handler.luau".to_owned(), HANDLER.as_bytes().to_vec())].into();
    Package::from_parts(Path::new("hook-look/plugin.toml"), manifest, files).expect("a package")
}

async fn world(fields: &str, grants: Option<Grants>) -> (World, Event, Event) {
    let world = World::new();
    let id = world.customer(1, "Ann");
    let customer = {
        let mut customers = world.stored.customers.lock();
        let customer = customers.get_mut(&id).expect("Ann");
        customer.tags.insert("vip".to_owned());
        customer.attributes = Attributes::from([("city", json!("Ulm")), ("street", json!("Hirschstraße"))]);
        for (scheme, value) in [("email", "ann@example.com"), ("phone", "+4930123456")] {
            customer.identifiers.push(Identifier::new(scheme, value).expect("an identifier"));
        }
        customer.clone()
    };
    world.load_with(package(fields), Value::Null, grants).await;
    (world, event_with("look", Some(id), Attributes::new()), Event::CustomerChanged(customer))
}

/// What the plugin has seen.
async fn seen(world: &World, event: &Event) -> String {
    let effects = world.host.handle("hook-look", std::slice::from_ref(event)).await.expect("handles");
    let kept = effects.kept.iter().find(|(key, _)| *key == "seen").and_then(|(_, value)| value.clone());
    String::from_utf8(kept.expect("seen")).expect("text")
}

#[tokio::test]
async fn only_granted_fields_are_seen() {
    let (world, look, changed) = world("", None).await;
    assert_eq!(seen(&world, &look).await, "Ann|vip|email,phone|city,street");
    assert_eq!(seen(&world, &changed).await, "Ann|vip|email,phone|city,street");

    let fields = "customer_fields = [\"attributes.city\", \"identifiers.email\"]";
    let (world, look, changed) = self::world(fields, None).await;
    assert_eq!(seen(&world, &look).await, "||email|city");
    assert_eq!(seen(&world, &changed).await, "||email|city");
}

#[tokio::test]
async fn without_access_an_event_shows_nobody() {
    let mut grants = Grants::by_default(&package("").manifest().permissions);
    grants.0.customers = CustomerAccess::None;
    let (world, _, changed) = world("", Some(grants)).await;
    assert_eq!(seen(&world, &changed).await, "|||");
}

#[tokio::test]
async fn a_grant_narrows_what_the_manifest_asks_for() {
    let mut grants = Grants::by_default(&package("").manifest().permissions);
    grants.0.customer_fields = CustomerFields::only(["name", "attributes.city"]);
    let (world, look, _) = world("", Some(grants)).await;
    assert_eq!(seen(&world, &look).await, "Ann|||city");
}

#[tokio::test]
async fn other_fields_are_denied_and_audited() {
    let (world, _, _) = world("customer_fields = [\"attributes.city\", \"identifiers.email\"]", None).await;
    let id = *world.stored.customers.lock().keys().next().expect("Ann");
    for (way, call, field) in [
        ("find", "customers.find", "identifiers.phone"),
        ("tag", "customers.update", "tags"),
        ("street", "customers.update", "attributes.street"),
    ] {
        let event = event_with(way, Some(id), Attributes::new());
        let failed = world.host.handle("hook-look", &[event]).await.expect_err(way).to_string();
        assert!(failed.contains(&format!("{call} of `{field}` is not granted")), "{failed}");
        let audit = world.stored.audit.lock();
        let (_, action, details) = audit.last().expect("a line");
        assert_eq!((action.as_str(), details.get("what")), ("call.denied", Some(&json!(field))));
    }
}
