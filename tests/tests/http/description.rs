//! What the server says of itself.

use regard_tests::server::client;
use regard_tests::server::{regard, source};
use serde_json::Value;

use crate::{Api, order};

/// Set it to write the golden file anew.
const REWRITE: &str = "REGARD_REWRITE_GOLDEN";

#[test]
fn the_description_is_the_golden_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = regard(folder.path(), &["openapi"]).expect("prints");
    let golden = source("tests/golden/openapi.json");
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&golden, &printed).expect("writes");
    }
    let kept = std::fs::read_to_string(&golden).expect("the golden file");
    let (printed, kept): (Value, Value) =
        (serde_json::from_str(&printed).expect("JSON"), serde_json::from_str(&kept).expect("JSON"));
    if printed != kept {
        let paths = |document: &Value| {
            let paths = document["paths"].as_object().cloned().unwrap_or_default();
            paths.into_iter().collect::<std::collections::BTreeMap<String, Value>>()
        };
        let (now, before) = (paths(&printed), paths(&kept));
        let changed: Vec<_> =
            now.keys().chain(before.keys()).filter(|path| now.get(*path) != before.get(*path)).collect();
        panic!(
            "the API changed at {changed:?} or in its schemas: if that is meant, run the test with {REWRITE}=1 and look at the difference"
        );
    }
}

#[test]
fn every_reference_of_the_description_leads_somewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = regard(folder.path(), &["openapi"]).expect("prints");
    let document: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = std::collections::BTreeSet::new();
    for operation in
        document["paths"].as_object().expect("paths").values().flat_map(|item| item.as_object()).flatten()
    {
        let id = operation.1["operationId"].as_str().expect("an operationId");
        assert!(ids.insert(id.to_owned()), "{id} is there twice");
        assert!(
            operation.1["responses"]["default"]["content"]["application/problem+json"].is_object(),
            "{id}"
        );
    }
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.values()),
            _ => {}
        }
    }
}

#[test]
fn pages_for_people_and_machines_are_served() {
    let api = Api::start();
    let get = |path: &str| api.send(client().get(api.url(path)));
    assert_eq!(get("/healthz").json()["status"], "ok");
    assert_eq!(get("/readyz").json()["status"], "ok");
    assert_eq!(get("/openapi.json").json(), get("/api/v1/openapi.json").json());
    let docs = get("/docs/");
    assert_eq!(docs.status, 200);
    assert!(docs.content_type.starts_with("text/html"), "{}", docs.content_type);
    assert!(!docs.text.contains("https://"), "the page loads something from elsewhere: {}", docs.text);
    assert_eq!(get("/docs/swagger-ui-bundle.js").status, 200);
    let id = "my-request";
    assert_eq!(
        api.send(client().get(api.url("/healthz")).header("x-request-id", id)).header("x-request-id"),
        id
    );
}

#[test]
fn what_the_server_measures_is_told_to_prometheus() {
    let api = Api::start();
    api.ask(
        200,
        reqwest::Method::POST,
        "/interactions",
        serde_json::json!([order("1"), order("1"), {"channel": "shop"}]),
    );
    let answer = api.send(client().get(api.url("/metrics")).bearer_auth(&api.admin));
    assert_eq!(answer.status, 200, "{}", answer.text);
    for line in [
        r#"regard_interactions_total{outcome="accepted"} 1"#,
        r#"regard_interactions_total{outcome="duplicate"} 1"#,
        r#"regard_interactions_total{outcome="rejected"} 1"#,
        r#"regard_http_requests_total{method="POST",route="/api/v1/interactions",status="200"} 1"#,
        r#"regard_http_request_duration_seconds_count{method="POST",route="/api/v1/interactions"} 1"#,
        r#"regard_outbox_entries{state="dead"} 0"#,
    ] {
        assert!(answer.text.lines().any(|found| found == line), "{line} is missing in\n{}", answer.text);
    }
}
