//! A webhook's body: one event as a JSON object, or several as an array.
//!
//! ```json
//! {
//!   "kind": "order.placed",
//!   "external_id": "order-17",
//!   "occurred_at": "2026-03-01T10:00:00Z",
//!   "sender": { "scheme": "email", "value": "ada@example.com" },
//!   "aliases": [{ "scheme": "cookie", "value": "v-17" }],
//!   "sender_name": "Ada Lovelace",
//!   "thread": "conversation-4",
//!   "amount": { "minor": 1999, "currency": "EUR" },
//!   "attributes": { "items": 2 }
//! }
//! ```
//!
//! `kind` and `occurred_at` are required. Unknown members are refused, because a misspelt one would be lost
//! silently. An error names the place by its JSON pointer.

use chrono::DateTime;
use regard_sdk::connector::{Received, Reply, Webhook};
use regard_sdk::{Error, Identifier, Inbound, Money};
use serde::Deserialize;

use crate::signature;

/// Events in one webhook; a sender with more sends several.
pub const EVENTS_MAX: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    kind: String,
    external_id: Option<String>,
    occurred_at: String,
    sender: Option<Sender>,
    #[serde(default)]
    aliases: Vec<Sender>,
    sender_name: Option<String>,
    thread: Option<String>,
    amount: Option<Amount>,
    #[serde(default)]
    attributes: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sender {
    scheme: String,
    value: String,
}

impl Sender {
    fn identifier(self) -> Identifier {
        Identifier { scheme: self.scheme, value: self.value }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    minor: i64,
    currency: String,
}

/// Verifies a webhook and reads its events.
pub fn receive(webhook: &Webhook) -> Result<Received, Error> {
    if !webhook.method.eq_ignore_ascii_case("POST") {
        return Err(Error::invalid(format!("a webhook is a POST, not a {}", webhook.method)));
    }
    let id = signature::verify(webhook)?;
    let items = events(&webhook.body, &id)?;
    let body = serde_json::json!({ "received": items.len() }).to_string().into_bytes();
    let headers = vec![("content-type".into(), "application/json".into())];
    Ok(Received { items, reply: Reply { status: 200, headers, body } })
}

/// The events of a body; those without an id of their own get the webhook's, in an array with their place in
/// it.
fn events(body: &[u8], webhook_id: &str) -> Result<Vec<Inbound>, Error> {
    let body: serde_json::Value =
        serde_json::from_slice(body).map_err(|e| Error::invalid(format!("body: {e}")))?;
    match body {
        serde_json::Value::Array(events) if events.len() > EVENTS_MAX => {
            Err(Error::invalid(format!("body: {} events, at most {EVENTS_MAX} are taken", events.len())))
        }
        serde_json::Value::Array(events) => {
            let each = |(n, event)| inbound(event, &format!("/{n}"), format!("{webhook_id}/{n}"));
            events.into_iter().enumerate().map(each).collect()
        }
        event => Ok(vec![inbound(event, "", webhook_id.to_owned())?]),
    }
}

fn inbound(event: serde_json::Value, at: &str, default_id: String) -> Result<Inbound, Error> {
    let event: Event = serde_path_to_error::deserialize(event)
        .map_err(|e| fault(&format!("{at}{}", pointer(e.path())), &e.inner().to_string()))?;
    let filled = |name: &str, text: &str| {
        let place = format!("{at}/{name}");
        if text.trim().is_empty() { Err(fault(&place, "is empty")) } else { Ok(()) }
    };
    filled("kind", &event.kind)?;
    if let Some(id) = &event.external_id {
        filled("external_id", id)?;
    }
    if event.sender.is_none() && !event.aliases.is_empty() {
        return Err(fault(&format!("{at}/aliases"), "are further names of a sender, who is missing"));
    }
    let aliases = event.aliases.iter().enumerate().map(|(n, alias)| (format!("aliases/{n}"), alias));
    for (place, sender) in event.sender.iter().map(|sender| ("sender".to_owned(), sender)).chain(aliases) {
        filled(&format!("{place}/scheme"), &sender.scheme)?;
        filled(&format!("{place}/value"), &sender.value)?;
    }
    if let Some(amount) = &event.amount
        && (amount.currency.len() != 3 || !amount.currency.bytes().all(|b| b.is_ascii_uppercase()))
    {
        return Err(fault(&format!("{at}/amount/currency"), "is not an ISO 4217 code such as EUR"));
    }
    let occurred_at = DateTime::parse_from_rfc3339(&event.occurred_at)
        .map_err(|e| fault(&format!("{at}/occurred_at"), &format!("is not a time by RFC 3339 ({e})")))?;
    Ok(Inbound {
        external_id: event.external_id.unwrap_or(default_id),
        sender: event.sender.map(Sender::identifier),
        aliases: event.aliases.into_iter().map(Sender::identifier).collect(),
        sender_name: event.sender_name,
        kind: event.kind,
        occurred_at_ms: occurred_at.timestamp_millis(),
        thread: event.thread,
        amount: event.amount.map(|amount| Money { minor: amount.minor, currency: amount.currency }),
        attributes: event.attributes.into_iter().map(|(name, json)| (name, json.into())).collect(),
    })
}

fn fault(pointer: &str, problem: &str) -> Error {
    let place = if pointer.is_empty() { "body" } else { pointer };
    Error::invalid(format!("{place}: {problem}"))
}

/// RFC 6901, with its escapes.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::tests::SPEC_SECRET;
    use regard_sdk::Value;
    use regard_sdk::testing;

    const EVENT: &str = r#"{"kind":"order.placed","occurred_at":"2026-03-01T10:00:00.250+01:00",
        "sender":{"scheme":"email","value":"ada@example.com"},"sender_name":"Ada",
        "aliases":[{"scheme":"cookie","value":"v-17"}],"amount":{"minor":1999,"currency":"EUR"},
        "attributes":{"items":2,"share":0.5,"gift":true,"note":null,"tags":["a"]}}"#;

    #[test]
    fn an_event_becomes_an_interaction() {
        let items = events(EVENT.as_bytes(), "msg_1").expect("one event");
        let [item] = &items[..] else { panic!("{items:?}") };
        assert_eq!((item.external_id.as_str(), item.occurred_at_ms), ("msg_1", 1_772_355_600_250));
        assert_eq!((item.sender_name.as_deref(), item.aliases[0].value.as_str()), (Some("Ada"), "v-17"));
        assert_eq!(item.amount, Some(Money { minor: 1999, currency: "EUR".into() }));
        let attribute = |name: &str| {
            item.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
        };
        assert_eq!(attribute("items"), Some(Value::Integer(2)));
        assert_eq!(attribute("share"), Some(Value::Number(0.5)));
        assert_eq!(attribute("note"), Some(Value::Null));
        assert_eq!(attribute("tags"), Some(Value::Json("[\"a\"]".into())));
    }

    #[test]
    fn events_of_an_array_are_told_apart() {
        let own = r#"{"kind":"a","external_id":"x","occurred_at":"2026-03-01T10:00:00Z"}"#;
        let items = events(format!("[{EVENT},{own}]").as_bytes(), "msg_1").expect("two events");
        assert_eq!(items.iter().map(|item| item.external_id.as_str()).collect::<Vec<_>>(), ["msg_1/0", "x"]);
        assert_eq!(events(b"[]", "msg_1"), Ok(vec![]));
    }

    #[test]
    fn faults_name_their_place() {
        let check = |body: &str, message: &str| {
            let error = events(body.as_bytes(), "m").expect_err("refused");
            assert_eq!(error.code, "invalid");
            assert!(error.message.starts_with(message), "{} does not begin with {message}", error.message);
        };
        check("{", "body: EOF while parsing");
        check("3", "body: invalid type");
        check(r#"{"kind":"a"}"#, "body: missing field `occurred_at`");
        check(r#"{"kind":"a","occured_at":"x"}"#, "/occured_at: unknown field `occured_at`");
        check(r#"{"kind":"a","occurred_at":"yesterday"}"#, "/occurred_at: is not a time by RFC 3339");
        check(r#"{"kind":" ","occurred_at":"2026-03-01T10:00:00Z"}"#, "/kind: is empty");
        let amount = |amount: &str| {
            format!(r#"[{EVENT},{{"kind":"a","occurred_at":"2026-03-01T10:00:00Z","amount":{amount}}}]"#)
        };
        check(&amount(r#"{"minor":1.5,"currency":"EUR"}"#), "/1/amount/minor: invalid type");
        check(&amount(r#"{"minor":1,"currency":"euro"}"#), "/1/amount/currency: is not an ISO 4217 code");
        check(&amount(r#"{"minor":1}"#), "/1/amount: missing field `currency`");
    }

    #[test]
    fn a_signed_webhook_is_taken_whole() {
        testing::set(|host| {
            host.now_ms = 1_772_355_601_000;
            host.secrets.insert(signature::SECRET.into(), SPEC_SECRET.into());
        });
        let headers = signature::sign("msg_9", EVENT.as_bytes()).expect("signed");
        let webhook = Webhook {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers,
            body: EVENT.as_bytes().into(),
        };
        let received = receive(&webhook).expect("received");
        assert_eq!((received.items[0].external_id.as_str(), received.reply.status), ("msg_9", 200));
        assert_eq!(receive(&webhook).expect("again").items, received.items, "a replay has the same ids");
        let get = Webhook { method: "GET".into(), ..webhook.clone() };
        assert_eq!(receive(&get).expect_err("a GET").code, "invalid");
        let unsigned = Webhook { headers: vec![], ..webhook };
        assert_eq!(receive(&unsigned).expect_err("unsigned").code, "denied");
    }
}
