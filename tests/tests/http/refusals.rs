//! Bad input is refused with a problem that says what is wrong and where; the server stays up and goes on.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{Api, order};

/// One bad body: where to, what, and what the answer says.
type Case<'a> = (&'a str, &'a [u8], u16, &'a str, &'a str);

#[test]
fn bad_bodies_are_refused_with_their_place() {
    let api = Api::start();
    let deep = format!(r#"{{"attributes":{{"a":{}1{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let cases: &[Case<'_>] = &[
        // path, body, status, pointer, part of the detail
        ("/customers", b"", 400, "", "no JSON"),
        ("/customers", b"{\"name\": \"Ada\",\n  oops}", 400, "", "line 2 column 3"),
        ("/customers", b"{\"name\": \"Ada\"} {}", 400, "", "trailing characters"),
        ("/customers", b"{\"name\": \"\xff\xfe\"}", 400, "", "not UTF-8"),
        ("/customers", b"{\"nme\": \"Ada\"}", 400, "/nme", "unknown field `nme`"),
        ("/customers", b"{\"name\": 7}", 400, "/name", "expected a string"),
        ("/customers", b"[]", 400, "", "expected"),
        ("/customers", b"{\"kind\": \"robot\"}", 400, "/kind", "unknown variant"),
        (
            "/customers",
            b"{\"identifiers\": [{\"scheme\": \"email\", \"value\": \"ada\"}]}",
            400,
            "/identifiers/0",
            "no e-mail",
        ),
        (
            "/customers",
            b"{\"identifiers\": [{\"scheme\": \"email\"}]}",
            400,
            "/identifiers/0",
            "missing field `value`",
        ),
        ("/customers", b"{\"name\": \"a\\u0000b\"}", 422, "/name", "control character"),
        ("/customers", b"{\"source\": \"No Slug\"}", 422, "/source", "is no name"),
        ("/customers", deep.as_bytes(), 400, "", "recursion limit"),
        ("/channels", b"{\"name\": \"Shop!\", \"kind\": \"shop\"}", 422, "/name", "is no name"),
        (
            "/channels",
            b"{\"name\": \"a\", \"kind\": \"b\", \"connector\": \"none\"}",
            422,
            "/connector",
            "no connector `none`",
        ),
        ("/tokens", b"{\"role\": \"king\"}", 400, "/role", "unknown variant"),
        ("/interactions", b"{\"channel\": \"shop\"", 400, "", "no JSON"),
        ("/interactions", b"{\"channel\": \"shop\"}", 422, "", "missing field"),
        ("/interactions", b"7", 422, "", "expected"),
        (
            "/plugins",
            b"{\"manifest\": \"x\", \"files\": {\"handler.luau\": \"!\"}}",
            422,
            "/files/handler.luau",
            "base 64",
        ),
        ("/plugins", b"{\"manifest\": \"id = 3\", \"files\": {}}", 422, "/manifest", ""),
    ];
    for (path, body, status, pointer, says) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let request =
            api.request(Method::POST, path).header("content-type", "application/json").body(body.to_vec());
        let answer = api.send(request);
        assert_eq!(answer.status, *status, "{path} {shown}: {}", answer.text);
        let problem = answer.problem();
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains(says)),
            "{path} {shown}: {problem}"
        );
        if !pointer.is_empty() {
            assert_eq!(problem["errors"][0]["pointer"], *pointer, "{path} {shown}: {problem}");
        }
    }
    assert!(api.is_up());
}

#[test]
fn bad_interactions_are_refused_with_their_field() {
    let api = Api::start();
    for (field, value, pointer, says) in [
        ("occurred_at", json!("0001-01-01T00:00:00Z"), "/occurred_at", "out of range"),
        ("occurred_at", json!("9999-12-31T00:00:00Z"), "/occurred_at", "out of range"),
        ("occurred_at", json!("2199-01-01T00:00:00Z"), "/occurred_at", "ahead of this server's clock"),
        ("occurred_at", json!("1997-02-30"), "/occurred_at", "no RFC 3339 time"),
        ("occurred_at", json!(867_000_000), "/occurred_at", "expected"),
        ("amount", json!({ "minor": 1, "currency": "XYZ" }), "/amount/currency", "no currency of ISO 4217"),
        ("amount", json!({ "minor": 1.5, "currency": "USD" }), "/amount/minor", "expected a whole number"),
        ("amount", json!({ "minor": 1e30, "currency": "USD" }), "/amount/minor", "expected a whole number"),
        ("channel", json!("nowhere"), "/channel", "no channel `nowhere`"),
        ("kind", json!("Order Placed"), "/kind", "is no kind"),
        ("external_id", json!(""), "/external_id", "must not be empty"),
        ("external_id", json!("x".repeat(300)), "/external_id", "at most 256"),
        ("external_id", json!("a\u{0}b"), "/external_id", "control character"),
        ("customer_id", json!("cus_0000000000001"), "/customer_id", "cus_0000000000001"),
        ("customer_id", json!("int_0000000000001"), "/customer_id", "no identifier"),
        ("attributes", json!({ "big": "x".repeat(70_000) }), "/attributes", "bytes"),
        ("surprise", json!(1), "/surprise", "unknown field"),
    ] {
        let mut body = order("bad");
        body[field] = value.clone();
        let request = api.request(Method::POST, "/interactions").header("content-type", "application/json");
        let answer = api.send(request.body(body.to_string()));
        let shown: String = value.to_string().chars().take(60).collect();
        assert_eq!(answer.status, 422, "{field} {shown}: {}", answer.text);
        let problem = answer.problem();
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains(says)),
            "{field} {shown}: {problem}"
        );
        let found = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert!(found.starts_with(pointer) || pointer == "/customer_id", "{field} {shown}: {problem}");
    }
    assert_eq!(api.get("/interactions")["items"], json!([]), "nothing of it was stored");
    assert!(api.is_up());
}

#[test]
fn one_broken_item_does_not_hurt_its_neighbours() {
    let api = Api::start();
    let mut wrong_currency = order("3");
    wrong_currency["amount"]["currency"] = json!("XYZ");
    let received = api.ask(
        200,
        Method::POST,
        "/interactions",
        json!([order("1"), { "channel": "shop", "kind": 7 }, wrong_currency, "text", order("2")]),
    );
    let statuses: Vec<&str> = received["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["status"].as_str())
        .collect();
    assert_eq!(statuses, ["accepted", "rejected", "rejected", "rejected", "accepted"], "{received}");
    assert_eq!([&received["accepted"], &received["duplicates"], &received["rejected"]], [2, 0, 3]);
    assert_eq!(received["items"][1]["pointer"], "/1/kind");
    assert_eq!(received["items"][2]["pointer"], "/2/amount/currency");
    assert_eq!(received["items"][3]["pointer"], "/3");

    let lines = format!("{}\n\n{{\"channel\": \n{}\n", order("1"), order("4"));
    let request =
        api.request(Method::POST, "/interactions").header("content-type", "application/x-ndjson").body(lines);
    let received = api.send(request).json();
    let statuses: Vec<&str> = received["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["status"].as_str())
        .collect();
    assert_eq!(statuses, ["duplicate", "rejected", "accepted"], "{received}");
    assert!(
        received["items"][1]["reason"].as_str().is_some_and(|reason| reason.starts_with("line 3: no JSON")),
        "{received}"
    );
    assert_eq!(api.get("/interactions")["items"].as_array().map(Vec::len), Some(3));
}

#[test]
fn too_much_is_refused() {
    let api = Api::start();
    let huge = vec![b' '; 40 * 1024 * 1024];
    for (path, content_type) in [
        ("/customers", "application/json"),
        ("/interactions", "application/json"),
        ("/interactions", "application/x-ndjson"),
    ] {
        let request = api.request(Method::POST, path).header("content-type", content_type).body(huge.clone());
        let answer = api.send(request);
        assert_eq!(answer.status, 413, "{path}: {}", answer.text);
        answer.problem();
    }
    let many: Vec<Value> = (0..10_001).map(|number| order(&number.to_string())).collect();
    let answer = api.ask(422, Method::POST, "/interactions", Value::Array(many));
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("at most 10000")), "{answer}");
    assert!(api.is_up());
}

#[test]
fn wrong_paths_methods_and_formats_are_problems_too() {
    let api = Api::start();
    for (method, path, status) in [
        (Method::GET, "/nothing", 404),
        (Method::GET, "/customers/", 404),
        (Method::GET, "/customers/cus_0000000000001", 404),
        (Method::GET, "/customers/nobody", 404),
        (Method::GET, "/customers/%FF", 404),
        (Method::GET, "/customers/'%20OR%201=1--", 404),
        (Method::GET, "/channels/%00", 404),
        (Method::GET, "/metrics/none/observations", 404),
        (Method::POST, "/metrics/none/evaluate", 404),
        (Method::POST, "/outbox/out_0000000000001/requeue", 404),
        (Method::POST, "/inbound/nowhere", 404),
        (Method::POST, "/inbound/shop", 404),
        (Method::PUT, "/customers", 405),
        (Method::DELETE, "/interactions", 405),
        (Method::GET, "/customers?limit=0", 400),
        (Method::GET, "/customers?limit=501", 400),
        (Method::GET, "/customers?lim=5", 400),
        (Method::GET, "/customers?q=a&q=b", 400),
        (Method::GET, "/customers?q=%FF", 400),
        (Method::GET, "/interactions?channel=%00", 400),
        (Method::GET, "/customers?cursor=abc", 400),
        (Method::GET, "/customers?identifier=nonsense", 422),
        (Method::GET, "/interactions?since=yesterday", 400),
        (Method::GET, "/interactions?customer=7", 400),
        (Method::GET, "/outbox?state=lost", 400),
    ] {
        let answer = api.send(api.request(method.clone(), path));
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        answer.problem();
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{method} {path} does not say what is allowed");
        }
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        for path in ["/customers", "/interactions"] {
            let request = api.request(Method::POST, path).header("content-type", content_type).body("{}");
            let answer = api.send(request);
            assert_eq!(answer.status, 415, "{path} {content_type}: {}", answer.text);
            answer.problem();
        }
    }
    assert_eq!(api.send(Client::new().get(api.url("/nothing"))).status, 404);
    assert!(api.is_up());
}

#[test]
fn text_that_looks_like_sql_is_text() {
    let api = Api::start();
    for name in [
        "Robert'); DROP TABLE customer;--",
        "100% _under_ \\back\\",
        "\u{1f980} \u{5bc}\u{202e}",
        "'\"`;--/**/",
    ] {
        let made =
            api.ask(201, Method::POST, "/customers", json!({ "name": name, "attributes": { name: name } }));
        let id = made["id"].as_str().expect("an id");
        let read = api.get(&format!("/customers/{id}"));
        assert_eq!(read["name"], name);
        assert_eq!(read["attributes"][name], name);
        let found = api.get(&format!("/customers?q={}", encoded(name)));
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{name}: {found}");
        let mut interaction = order(&format!("x{name}"));
        interaction["attributes"] = json!({ "text": name });
        api.ask(200, Method::POST, "/interactions", interaction);
    }
    let nobody = api.get(&format!("/customers?q={}", encoded("' OR '1'='1")));
    assert_eq!(nobody["items"], json!([]));
    assert!(api.is_up());
}

/// Every byte in the form `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
