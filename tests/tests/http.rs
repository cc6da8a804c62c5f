//! The HTTP API of the real program: who may call what, what it says of itself, and what it answers to bad input.
//!
//! - `http/roles.rs`: every operation of the description, with every role
//! - `http/description.rs`: the OpenAPI document is a golden file; the pages beside it
//! - `http/refusals.rs`: bad input, one line each
//! - `http/lists.rs`: pages and cursors
//! - `http/metrics.rs`: a metric from its evaluator's installation to its explanation
//! - `http/repeats.rs`: duplicates, idempotency keys, optimistic locking
//! - `http/connections.rs`: callers who hold on to a connection
//! - `http/crash.rs`: `kill -9` in the middle of writing
//! - `http/settings.rs`: the settings of channels

#[path = "http/connections.rs"]
mod connections;
#[path = "http/crash.rs"]
mod crash;
#[path = "http/description.rs"]
mod description;
#[path = "http/lists.rs"]
mod lists;
#[path = "http/metrics.rs"]
mod metrics;
#[path = "http/refusals.rs"]
mod refusals;
#[path = "http/repeats.rs"]
mod repeats;
#[path = "http/roles.rs"]
mod roles;
#[path = "http/settings.rs"]
mod settings;

use regard_tests::server::client;
use regard_tests::server::{Server, block_on};
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// A server, and a token with every right.
struct Api {
    server: Server,
    admin: String,
}

/// Status, headers that matter, and body of an answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    content_type: String,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let content_type =
            headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let text = response.text().await.expect("a body");
        Self { status, content_type, headers, text }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// The document of a refusal, complete after RFC 9457.
    fn problem(&self) -> Value {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        for field in ["type", "title", "detail"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field} is missing: {self:?}"
            );
        }
        problem
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Api {
    fn start() -> Self {
        let server = Server::start().expect("the server starts");
        let admin = server.token("admin").expect("a token");
        let api = Self { server, admin };
        api.ask(201, Method::POST, "/channels", json!({ "name": "shop", "kind": "shop" }));
        api
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// Sends a request as it is made here and returns the answer.
    fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        block_on(async { Answer::of(request.send().await.expect("an answer")).await })
    }

    /// A request below `/api/v1` with every right.
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        client().request(method, self.url(&format!("/api/v1{path}"))).bearer_auth(&self.admin)
    }

    /// Asks with a JSON body, or without one when it is null, and expects a status.
    fn ask(&self, status: u16, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = self.send(request);
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }

    fn get(&self, path: &str) -> Value {
        self.ask(200, Method::GET, path, Value::Null)
    }

    fn is_up(&self) -> bool {
        self.send(client().get(self.url("/healthz"))).status == 200
    }
}

/// An interaction that is taken.
fn order(external_id: &str) -> Value {
    json!({
        "channel": "shop", "external_id": external_id, "kind": "order.placed", "occurred_at": "1997-06-30T12:00:00Z",
        "identifier": { "scheme": "email", "value": "ada@example.com" },
        "amount": { "minor": 1177, "currency": "USD" },
    })
}
