//! A channel's settings are what its connector's manifest describes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::Api;

const HANDLER: &str = r#"
return {
    connector = {
        describe = function()
            return { receives = true, address_scheme = "email" }
        end,
        receive = function(channel)
            return { items = {}, reply = { body = channel.settings.inbox } }
        end,
    },
}"#;

/// Installs a connector whose channels have the settings `rest`.
fn install(api: &Api, id: &str, version: &str, rest: &str) {
    let manifest = format!(
        "id = \"{id}\"\nname = \"Post\"\nversion = \"{version}\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
         capabilities = [\"connector\"]\n{rest}"
    );
    let package = json!({ "manifest": manifest, "files": { "handler.luau": STANDARD.encode(HANDLER) } });
    api.ask(201, Method::POST, "/plugins", package);
}

const SCHEMA: &str = r#"
[channel.schema]
type = "object"
required = ["account"]
[channel.schema.properties.account]
type = "string"
[channel.schema.properties.inbox]
type = "string"
default = "INBOX"
[channel.schema.properties.poll_every_s]
type = "integer"
default = 30
"#;

fn post() -> Api {
    let api = Api::start();
    install(&api, "connector-post", "0.1.0", SCHEMA);
    api
}

fn channel(name: &str, settings: Value) -> Value {
    json!({ "name": name, "kind": "mail", "connector": "connector-post", "settings": settings })
}

fn made(api: &Api) -> (String, Value) {
    let made = api.ask(201, Method::POST, "/channels", channel("post", json!({ "account": "ada" })));
    (format!("/channels/{}", made["id"].as_str().expect("an id")), made["settings"].clone())
}

#[test]
fn defaults_are_filled_in() {
    let api = post();
    let (path, settings) = made(&api);
    let complete = json!({ "account": "ada", "inbox": "INBOX", "poll_every_s": 30 });
    assert_eq!(settings, complete);
    assert_eq!(api.get(&path)["settings"], complete);
    let reply = api.send(api.request(Method::POST, "/inbound/post").body("x"));
    assert_eq!((reply.status, reply.text.as_str()), (200, "INBOX"), "the connector sees them");

    let changed = json!({ "settings": { "inbox": "Sales", "address_scheme": "external:post" } });
    let changed = api.ask(200, Method::PATCH, &path, changed)["settings"].clone();
    let expected =
        json!({ "account": "ada", "inbox": "Sales", "poll_every_s": 30, "address_scheme": "external:post" });
    assert_eq!(changed, expected);
    let removed = json!({ "settings": { "inbox": null, "address_scheme": null } });
    assert_eq!(api.ask(200, Method::PATCH, &path, removed)["settings"], complete, "the default is back");
}

#[test]
fn a_default_of_a_new_version_counts_for_channels_that_are_there() {
    let api = Api::start();
    install(
        &api,
        "connector-post",
        "0.1.0",
        "[channel.schema]\ntype = \"object\"\n[channel.schema.properties.account]\ntype = \"string\"\n",
    );
    let (path, settings) = made(&api);
    install(&api, "connector-post", "0.2.0", SCHEMA);
    assert_eq!(api.get(&path)["settings"], settings, "what people have set stays as it is");
    let reply = api.send(api.request(Method::POST, "/inbound/post").body("x"));
    assert_eq!((reply.status, reply.text.as_str()), (200, "INBOX"));
}

#[test]
fn what_the_connector_does_not_take_is_refused() {
    let api = post();
    let (path, settings) = made(&api);
    let cases = [
        (json!({ "account": 7 }), "/settings/account", "is not of type"),
        (json!({ "account": "ada", "acount": "ada" }), "/settings", "'acount' was unexpected"),
        (json!({ "account": "ada", "poll_every_s": 0 }), "/settings/poll_every_s", "from 1 to 86400"),
        (json!({ "account": "ada", "poll_every_s": "often" }), "/settings/poll_every_s", "is not of type"),
        (json!({ "account": "ada", "address_scheme": "E Mail" }), "/settings/address_scheme", "is no name"),
    ];
    for (wrong, pointer, told) in cases {
        for (method, at, body) in [
            (Method::POST, "/channels", channel("other", wrong.clone())),
            (Method::PATCH, path.as_str(), json!({ "settings": wrong })),
        ] {
            let problem = api.ask(422, method.clone(), at, body);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{method} {wrong}: {problem}");
            let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(told), "{method} {wrong}: {problem}");
        }
    }
    let without = api.ask(422, Method::POST, "/channels", channel("other", json!({})));
    assert!(
        without["detail"].as_str().is_some_and(|told| told.contains("\"account\" is a required")),
        "{without}"
    );
    let taken = json!({ "settings": { "account": null } });
    api.ask(422, Method::PATCH, &path, taken);
    assert_eq!(api.get(&path)["settings"], settings, "nothing of it was kept");
}

#[test]
fn another_connector_takes_the_channel_over_only_with_its_own_settings() {
    let api = post();
    let (path, _) = made(&api);
    install(&api, "connector-plain", "0.1.0", "");
    let over = |settings: Value| json!({ "connector": "connector-plain", "settings": settings });
    api.ask(422, Method::PATCH, &path, over(json!({})));
    let bare = json!({ "account": null, "inbox": null });
    let over = api.ask(200, Method::PATCH, &path, over(bare));
    assert_eq!(
        (&over["connector"], &over["settings"]),
        (&json!("connector-plain"), &json!({ "poll_every_s": 30 }))
    );
}
