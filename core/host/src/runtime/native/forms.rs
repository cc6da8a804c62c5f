//! Forms with bytes, which JSON carries as base64 in fields that say so. Everything else has the forms that all runtimes
//! share.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regard_engine::ports::{Handed, Polled, Webhook, WebhookReply};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::runtime::forms;

/// Bytes as base64.
#[derive(Debug, Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = |why| serde::de::Error::custom(format!("no base64: {why}"));
        STANDARD.decode(text).map(Self).map_err(wrong)
    }
}

/// Bytes as text.
pub(super) fn base64(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

/// What a connector's `receive` is given.
pub(super) fn webhook(webhook: &Webhook) -> Value {
    json!({
        "method": webhook.method,
        "path": webhook.path,
        "query": webhook.query,
        "headers": webhook.headers,
        "body_base64": base64(&webhook.body),
    })
}

/// What a connector's `poll` is given.
pub(super) fn poll(channel: Value, cursor: Option<&[u8]>, limit: u32) -> Value {
    let mut arguments = json!({ "channel": channel, "limit": limit });
    if let Some(cursor) = cursor {
        arguments["cursor_base64"] = base64(cursor);
    }
    arguments
}

/// What `http.send` answers.
pub(super) fn response(response: &Response) -> Value {
    json!({
        "status": response.status,
        "headers": response.headers,
        "body_base64": base64(&response.body),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Received {
    items: Value,
    #[serde(default)]
    reply: Option<Reply>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body_base64: Bytes,
}

/// `{ items, reply }`; without a reply the provider gets 200 and nothing else.
pub(super) fn received(value: Value) -> Result<(Vec<Handed>, WebhookReply), String> {
    let received: Received = form(value)?;
    let reply =
        received.reply.unwrap_or(Reply { status: None, headers: Vec::new(), body_base64: Bytes::default() });
    let reply = WebhookReply {
        status: reply.status.unwrap_or(200),
        headers: reply.headers,
        body: reply.body_base64.0,
    };
    Ok((forms::items(received.items)?, reply))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    items: Value,
    #[serde(default)]
    cursor_base64: Option<Bytes>,
    #[serde(default)]
    more: bool,
}

/// `{ items, cursor_base64, more }`.
pub(super) fn polled(value: Value) -> Result<Polled, String> {
    let page: Page = form(value)?;
    Ok(Polled {
        items: forms::items(page.items)?,
        cursor: page.cursor_base64.map(|cursor| cursor.0),
        more: page.more,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpRequest {
    #[serde(default)]
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body_base64: Bytes,
    #[serde(default)]
    timeout_ms: Option<u32>,
}

impl From<HttpRequest> for Request {
    fn from(request: HttpRequest) -> Self {
        Self {
            method: request.method.unwrap_or_else(|| "GET".to_owned()),
            url: request.url,
            headers: request.headers,
            body: request.body_base64.0.into(),
            timeout: request.timeout_ms.map(|millis| Duration::from_millis(u64::from(millis))),
        }
    }
}

fn form<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cross_as_base64() {
        let page = polled(json!({ "items": [], "cursor_base64": "Af8=", "more": true })).expect("a page");
        assert_eq!((page.cursor.as_deref(), page.more), (Some(&[1, 255][..]), true));
        assert_eq!(poll(json!({}), Some(&[1, 255]), 3)["cursor_base64"], "Af8=");
        let (items, reply) = received(json!({ "items": {} })).expect("received");
        assert!(items.is_empty() && reply.status == 200 && reply.body.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |value| received(value).expect_err("refused");
        assert!(wrong(json!({ "items": [], "replay": {} })).contains("unknown field `replay`"));
        assert!(wrong(json!({ "items": [], "reply": { "body_base64": "!" } })).contains("no base64"));
        assert!(wrong(json!({ "items": [{ "kind": "x" }] })).contains("items[1]: missing field"));
    }
}
