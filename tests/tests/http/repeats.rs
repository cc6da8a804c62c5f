//! What is sent twice happens once, and what was changed meanwhile is not overwritten.

use std::sync::Barrier;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Api, order};

#[test]
fn duplicates_are_harmless() {
    let api = Api::start();
    let first = api.ask(200, Method::POST, "/interactions", order("1"));
    let mut changed = order("1");
    changed["amount"]["minor"] = json!(99);
    let second =
        api.ask(200, Method::POST, "/interactions", json!([order("1"), changed, order("2"), order("2")]));
    let statuses: Vec<&str> = second["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["status"].as_str())
        .collect();
    assert_eq!(statuses, ["duplicate", "duplicate", "accepted", "duplicate"], "{second}");
    assert_eq!(second["items"][0]["id"], first["items"][0]["id"]);
    let stored = api.get("/interactions");
    assert_eq!(stored["items"].as_array().map(Vec::len), Some(2));
    assert!(stored["items"].as_array().expect("items").iter().all(|item| item["amount"]["minor"] == 1177));
}

fn with_key(api: &Api, path: &str, key: &str, body: &Value) -> Answer {
    let request = api
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    api.send(request.body(body.to_string()))
}

#[test]
fn a_key_makes_a_post_happen_once() {
    let api = Api::start();
    let body = json!({ "name": "Ada" });
    let first = with_key(&api, "/customers", "k1", &body);
    let again = with_key(&api, "/customers", "k1", &body);
    assert_eq!((first.status, again.status), (201, 201), "{}", again.text);
    assert_eq!(first.text, again.text);
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.content_type, "application/json");
    assert_eq!(api.get("/customers")["items"].as_array().map(Vec::len), Some(1));

    let other = with_key(&api, "/customers", "k1", &json!({ "name": "Bob" }));
    assert_eq!(other.status, 422);
    assert_eq!(other.problem()["type"], "urn:regard:problem:idempotency-key-reused");
    assert_eq!(with_key(&api, "/channels", "k1", &body).status, 422, "a key belongs to one path");
    assert_eq!(with_key(&api, "/customers", &"k".repeat(300), &body).status, 400);

    // A refusal is an answer, too.
    let refused = with_key(&api, "/customers", "k2", &json!({ "source": "No Slug" }));
    let again = with_key(&api, "/customers", "k2", &json!({ "source": "No Slug" }));
    assert_eq!((refused.status, &refused.text), (422, &again.text));
    again.problem();

    // Another caller's key is another key.
    let agent = api.server.token("agent").expect("a token");
    let request = regard_tests::server::client().post(api.url("/api/v1/customers")).bearer_auth(agent);
    let request = request.header("idempotency-key", "k1").header("content-type", "application/json");
    assert_eq!(api.send(request.body(json!({ "name": "Bob" }).to_string())).status, 201);

    // A secret is never kept, so a token is made each time.
    let token = json!({ "role": "agent" });
    assert_ne!(with_key(&api, "/tokens", "k3", &token).text, with_key(&api, "/tokens", "k3", &token).text);
}

#[test]
fn a_message_with_a_key_is_enqueued_once() {
    let api = Api::start();
    let customer = api.ask(201, Method::POST, "/customers", json!({ "name": "Ada" }))["id"].clone();
    let message = json!({ "customer": customer, "purpose": "service", "body": "Your parcel is on its way.", "not_before": "2100-01-01" });
    let first = with_key(&api, "/channels/shop/send", "m1", &message);
    assert_eq!(first.status, 202, "{}", first.text);
    assert_eq!(with_key(&api, "/channels/shop/send", "m1", &message).text, first.text);
    let listed = api.get("/outbox?state=pending");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(api.get(&format!("/outbox/{id}"))["tries"], json!([]));
    api.ask(409, Method::POST, &format!("/outbox/{id}/requeue"), Value::Null);
}

#[test]
fn the_same_key_at_the_same_time_happens_once() {
    let api = Api::start();
    let barrier = Barrier::new(8);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    with_key(&api, "/customers", "once", &json!({ "name": "Ada" }))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("joins")).collect()
    });
    assert!(answers.iter().any(|answer| answer.status == 201));
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409)), "{answers:?}");
    assert_eq!(api.get("/customers")["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_change_against_an_old_version_is_refused() {
    let api = Api::start();
    let made = api.ask(
        201,
        Method::POST,
        "/customers",
        json!({ "name": "Ada", "attributes": { "city": "Bonn", "age": 36 }, "tags": ["vip"] }),
    );
    let path = format!("/customers/{}", made["id"].as_str().expect("an id"));
    let version = &made["version"];
    let change = json!({ "version": version, "attributes": { "age": null, "city": "London" }, "add_tags": ["poet"], "remove_tags": ["vip"], "stage": "retained" });
    let changed = api.ask(200, Method::PATCH, &path, change.clone());
    assert_eq!(changed["attributes"], json!({ "city": "London" }));
    assert_eq!((&changed["tags"], &changed["stage"]), (&json!(["poet"]), &json!("retained")));
    let refused = api.ask(409, Method::PATCH, &path, change);
    assert_eq!(refused["type"], "urn:regard:problem:conflict");
    assert_eq!(api.get(&path), changed);
    api.ask(200, Method::PATCH, &path, json!({ "name": "Ada L." }));
    let taken = json!({ "identifiers": [{ "scheme": "email", "value": "ada@example.com" }] });
    api.ask(200, Method::PATCH, &path, taken.clone());
    let other = api.ask(201, Method::POST, "/customers", json!({ "name": "Bob" }));
    api.ask(409, Method::PATCH, &format!("/customers/{}", other["id"].as_str().expect("an id")), taken);
}
