//! Every operation of the description is called without a token and with every role.

use reqwest::{Client, Method};
use serde_json::Value;

use crate::Api;

const ROLES: [&str; 4] = ["admin", "agent", "analyst", "ingest"];

/// Which roles may call which operation, by its `operationId`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("addRelationship", &["admin", "agent"]),
    ("changeChannel", &["admin"]),
    ("changeCustomer", &["admin", "agent"]),
    ("createChannel", &["admin"]),
    ("changeRecord", &["admin", "agent"]),
    ("createCustomer", &["admin", "agent"]),
    ("createRecord", &["admin", "agent"]),
    ("createToken", &["admin"]),
    ("deleteRecord", &["admin", "agent"]),
    ("declinePlugin", &["admin"]),
    ("disablePlugin", &["admin"]),
    ("enablePlugin", &["admin"]),
    ("evaluateMetric", &["admin", "analyst"]),
    ("explainObservation", &["admin", "agent", "analyst"]),
    ("exportCustomer", &["admin", "agent", "analyst"]),
    ("getChannel", &["admin", "agent", "analyst"]),
    ("getCustomer", &["admin", "agent", "analyst"]),
    ("getEvaluation", &["admin", "agent", "analyst"]),
    ("getMerge", &["admin", "agent", "analyst"]),
    ("getOutboxEntry", &["admin", "agent", "analyst"]),
    ("getPlugin", &["admin", "analyst"]),
    ("getRecord", &["admin", "agent", "analyst"]),
    ("getTimeline", &["admin", "agent", "analyst"]),
    ("grantPlugin", &["admin"]),
    ("installPlugin", &["admin"]),
    ("listAudit", &["admin"]),
    ("listChannels", &["admin", "agent", "analyst"]),
    ("listConsents", &["admin", "agent", "analyst"]),
    ("listCustomers", &["admin", "agent", "analyst"]),
    ("listInteractions", &["admin", "agent", "analyst"]),
    ("listMetrics", &["admin", "agent", "analyst"]),
    ("listObservations", &["admin", "agent", "analyst"]),
    ("listOutbox", &["admin", "agent", "analyst"]),
    ("listPluginVersions", &["admin", "analyst"]),
    ("listPlugins", &["admin", "analyst"]),
    ("listRecordTypes", &["admin", "agent", "analyst"]),
    ("listRecords", &["admin", "agent", "analyst"]),
    ("listRelationships", &["admin", "agent", "analyst"]),
    ("listTokens", &["admin"]),
    ("mergeCustomer", &["admin", "agent"]),
    ("receiveInteractions", &["admin", "agent", "ingest"]),
    ("recordConsent", &["admin", "agent"]),
    ("removePlugin", &["admin"]),
    ("rollBackPlugin", &["admin"]),
    ("removeRelationship", &["admin", "agent"]),
    ("requeueOutboxEntry", &["admin", "agent"]),
    ("revokeToken", &["admin"]),
    ("scrape", &["admin", "analyst"]),
    ("sendMessage", &["admin", "agent"]),
    ("undoMerge", &["admin", "agent"]),
];

/// Operations that need no token.
const OPEN: [&str; 3] = ["health", "readiness", "receiveWebhook"];

struct Operation {
    id: String,
    method: Method,
    path: String,
}

/// Every operation, with names in its path that nothing has.
fn operations(description: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let path = path.split('/').map(|part| if part.starts_with('{') { "nobody" } else { part });
            found.push(Operation {
                id: operation["operationId"].as_str().expect("an operationId").to_owned(),
                method: method.to_uppercase().parse().expect("a method"),
                path: path.collect::<Vec<_>>().join("/"),
            });
        }
    }
    found
}

#[test]
fn every_operation_is_open_to_its_roles_only() {
    let api = Api::start();
    let description = api.send(Client::new().get(api.url("/openapi.json"))).json();
    let operations = operations(&description);
    let call = |operation: &Operation, token: Option<&str>| {
        let request = Client::new().request(operation.method.clone(), api.url(&operation.path));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        api.send(request.header("content-type", "application/json").body("{}"))
    };
    let tokens = ROLES.map(|role| (role, api.server.token(role).expect("a token")));
    for operation in operations.iter().filter(|operation| !OPEN.contains(&operation.id.as_str())) {
        let id = &operation.id;
        let allowed = ALLOWED.iter().find(|(known, _)| known == id).map(|(_, roles)| *roles);
        let allowed = allowed.unwrap_or_else(|| panic!("{id} is new: say in this test who may call it"));

        let without = call(operation, None);
        assert_eq!(without.status, 401, "{id} without a token: {}", without.text);
        assert!(without.header("www-authenticate").starts_with("Bearer"), "{id}");
        without.problem();
        assert_eq!(call(operation, Some("regard_wrong")).status, 401, "{id} with a wrong token");

        for (role, token) in &tokens {
            let answer = call(operation, Some(token));
            assert_eq!(answer.status != 403, allowed.contains(role), "{id} as {role}: {}", answer.text);
            assert!(
                answer.status < 500 && answer.status != 401,
                "{id} as {role}: {} {}",
                answer.status,
                answer.text
            );
            if answer.status == 403 {
                let detail = answer.problem()["detail"].to_string();
                assert!(detail.contains(allowed[0]) && detail.contains(role), "{id} as {role}: {detail}");
            }
        }
    }
    for (id, _) in ALLOWED {
        assert!(operations.iter().any(|operation| operation.id == *id), "{id} is no longer there");
    }
}

#[test]
fn a_revoked_token_is_worth_nothing() {
    let api = Api::start();
    let made = api.ask(201, Method::POST, "/tokens", serde_json::json!({ "role": "agent", "label": "till" }));
    let token = made["token"].as_str().expect("a secret");
    let ask = || api.send(Client::new().get(api.url("/api/v1/customers")).bearer_auth(token)).status;
    assert_eq!(ask(), 200);
    let id = made["id"].as_str().expect("an id");
    let listed = api.get("/tokens");
    assert!(listed["items"].as_array().expect("items").iter().any(|known| known["id"] == id));
    assert!(!listed.to_string().contains(token), "a list shows no secrets");
    api.ask(204, Method::DELETE, &format!("/tokens/{id}"), Value::Null);
    assert_eq!(ask(), 401);
}
