//! Lists go on where the last page ended, and a cursor fits one list only.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, order};

/// Follows the cursors from the first page to the last and returns every id in order.
fn ids(api: &Api, path: &str) -> Vec<String> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{path}{joint}limit=3{cursor}"));
        ids.extend(
            page["items"]
                .as_array()
                .expect("items")
                .iter()
                .filter_map(|item| item["id"].as_str().map(str::to_owned)),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
        assert!(ids.len() < 100, "the list does not end");
    }
}

#[test]
fn pages_hold_everything_once() {
    let api = Api::start();
    for number in 0..10 {
        // Every second order occurred at the same instant: the position within a page is the instant and the id.
        let mut one = order(&number.to_string());
        one["identifier"]["value"] = json!(format!("c{number}@example.com"));
        one["occurred_at"] = json!(format!("1997-06-{:02}T12:00:00Z", 1 + number / 2));
        api.ask(200, Method::POST, "/interactions", one);
    }
    for path in ["/customers", "/interactions", "/interactions?kind=order.placed", "/audit", "/tokens"] {
        let found = ids(&api, path);
        let unique: BTreeSet<_> = found.iter().collect();
        assert_eq!(unique.len(), found.len(), "{path} shows something twice");
        let everything = api.get(&format!("{path}{}limit=500", if path.contains('?') { '&' } else { '?' }));
        assert_eq!(everything["items"].as_array().map(Vec::len), Some(found.len()), "{path}");
        assert_eq!(everything["next_cursor"], Value::Null);
    }
    assert_eq!(ids(&api, "/interactions").len(), 10);
    assert_eq!(ids(&api, "/customers").len(), 10);
    assert_eq!(ids(&api, "/interactions?since=1997-06-03&until=1997-06-04").len(), 2);
    assert_eq!(ids(&api, "/interactions?kind=page.viewed").len(), 0);
}

#[test]
fn a_cursor_fits_its_own_list_only() {
    let api = Api::start();
    let mut ids = Vec::new();
    for number in 0..3 {
        let mut one = order(&number.to_string());
        one["identifier"]["value"] = json!(format!("c{number}@example.com"));
        ids.push(api.ask(200, Method::POST, "/interactions", one)["items"][0]["customer"].clone());
    }
    let page = api.get("/interactions?limit=1&kind=order.placed");
    let cursor = page["next_cursor"].as_str().expect("more pages");
    api.get(&format!("/interactions?kind=order.placed&limit=2&cursor={cursor}"));
    for (path, says) in [
        ("/customers".to_owned(), "belongs to the list /api/v1/interactions"),
        ("/outbox".to_owned(), "belongs to the list"),
        ("/interactions".to_owned(), "another filter"),
        ("/interactions?kind=page.viewed".to_owned(), "another filter"),
        (format!("/customers/{}/timeline", ids[0].as_str().expect("an id")), "belongs to the list"),
    ] {
        let joint = if path.contains('?') { '&' } else { '?' };
        let answer = api.send(api.request(Method::GET, &format!("{path}{joint}cursor={cursor}")));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        assert!(
            answer.problem()["detail"].as_str().is_some_and(|detail| detail.contains(says)),
            "{path}: {}",
            answer.text
        );
    }
}

#[test]
fn customers_merge_and_part_again() {
    let api = Api::start();
    let ada = api.ask(
        201,
        Method::POST,
        "/customers",
        json!({ "name": "Ada", "identifiers": [{ "scheme": "email", "value": "Ada@Example.com" }] }),
    );
    let lady = api.ask(
        201,
        Method::POST,
        "/customers",
        json!({ "name": "Lady L.", "identifiers": [{ "scheme": "phone", "value": "+44 20 7946 0000" }] }),
    );
    let (ada_id, lady_id) = (ada["id"].as_str().expect("an id"), lady["id"].as_str().expect("an id"));
    assert_eq!(api.get("/customers?identifier=email:ADA@example.com")["items"][0]["id"], ada_id);
    api.ask(200, Method::POST, "/interactions", order("1"));
    api.ask(201, Method::POST, &format!("/customers/{ada_id}/consents"), json!({ "purpose": "marketing", "channel_kind": "any", "state": "granted", "basis": "form", "source": "shop" }));
    api.ask(
        201,
        Method::POST,
        &format!("/customers/{ada_id}/relationships"),
        json!({ "kind": "works-for", "to": lady_id }),
    );

    let mut before = api.get(&format!("/customers/{ada_id}"));
    let merge = api.ask(
        201,
        Method::POST,
        &format!("/customers/{ada_id}/merge"),
        json!({ "into": lady_id, "reason": "same person", "evidence": { "score": 0.98 } }),
    );
    assert_eq!(api.get(&format!("/customers/{ada_id}"))["id"], lady_id);
    assert_eq!(api.get(&format!("/customers/{lady_id}/timeline"))["items"].as_array().map(Vec::len), Some(1));
    api.ask(
        409,
        Method::POST,
        &format!("/customers/{ada_id}/merge"),
        json!({ "into": lady_id, "reason": "again" }),
    );
    let merge_id = merge["id"].as_str().expect("an id");
    assert_eq!(api.get(&format!("/merges/{merge_id}"))["reason"], "same person");

    assert!(
        api.ask(200, Method::POST, &format!("/merges/{merge_id}/undo"), Value::Null)["undone_at"].is_string()
    );
    api.ask(409, Method::POST, &format!("/merges/{merge_id}/undo"), Value::Null);
    let mut after = api.get(&format!("/customers/{ada_id}"));
    for customer in [&mut after, &mut before] {
        customer["version"] = Value::Null;
        customer["updated_at"] = Value::Null;
    }
    assert_eq!(after, before, "as if nothing had been");
    assert_eq!(api.get(&format!("/customers/{ada_id}/consents"))["items"].as_array().map(Vec::len), Some(1));
    let ties = format!("/customers/{ada_id}/relationships");
    assert_eq!(api.get(&ties)["items"][0]["to"], lady_id);
    api.ask(204, Method::DELETE, &format!("{ties}/works-for/{lady_id}"), Value::Null);
    api.ask(404, Method::DELETE, &format!("{ties}/works-for/{lady_id}"), Value::Null);
    assert_eq!(api.get(&format!("/customers/{ada_id}/export"))["customer"]["id"], ada_id);

    let actions: Vec<String> = api.get("/audit?limit=500")["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|line| line["action"].as_str().unwrap_or_default().to_owned())
        .collect();
    for action in [
        "customer.created",
        "customer.merged",
        "customer.unmerged",
        "consent.recorded",
        "relationship.added",
        "relationship.removed",
        "customer.exported",
    ] {
        assert!(actions.iter().any(|known| known == action), "{action} is not in the audit log: {actions:?}");
    }
}
