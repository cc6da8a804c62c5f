//! A message becomes an HTTP POST to the channel's `url`; the answer says what became of it.
//!
//! | answer | outcome |
//! | --- | --- |
//! | 2xx | sent; the provider's id is the answer's JSON member `id`, else the idempotency key |
//! | 409 | sent: the receiver has taken this key already |
//! | 429, 503 | retry, after `Retry-After` when it is given |
//! | 408, other 5xx, no answer | retry |
//! | anything else | rejected |
//!
//! No answer at all is a retry and not uncertain, because the receiver takes a repeated key once.

use chrono::DateTime;
use regard_sdk::connector::{Channel, Outbound, Outcome};
use regard_sdk::http::{self, Request, Response};
use regard_sdk::{Attributes, Error, Value, clock, error::code};
use serde_json::json;

use crate::signature;

/// The `type` member of the JSON that is sent.
pub const TYPE: &str = "message.outbound";
/// How long the receiver may take to answer.
const TIMEOUT_MS: u32 = 15_000;
/// The longest wait that a receiver may ask for; a day later the message would hardly be news.
const RETRY_AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// How much of a refusal's body goes into the error; enough for a sentence.
const EXCERPT_CHARS_MAX: usize = 200;

/// Sends a message to the channel's receiver.
pub fn send(channel: &Channel, message: &Outbound) -> Outcome {
    let request = match request(channel, message) {
        Ok(request) => request,
        Err(error) => return Outcome::Rejected(error),
    };
    match http::send(&request) {
        Ok(response) => outcome(&response, &message.idempotency_key),
        // A host that is not granted or an address that is no URL stays so.
        Err(error) if [code::DENIED, code::INVALID, code::UNSUPPORTED].contains(&error.code.as_str()) => {
            Outcome::Rejected(error)
        }
        Err(error) => Outcome::Retry(error),
    }
}

fn request(channel: &Channel, message: &Outbound) -> Result<Request, Error> {
    let url = channel.required_text("url")?;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(Error::invalid(format!(
            "setting `url` of channel `{}` is no http address",
            channel.name
        )));
    }
    let body = json!({
        "type": TYPE,
        "idempotency_key": message.idempotency_key,
        "recipient": message.recipient,
        "thread": message.thread,
        "subject": message.subject,
        "text": message.text,
        "attributes": attributes(&message.attributes),
    });
    let body = body.to_string().into_bytes();
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("idempotency-key".to_owned(), message.idempotency_key.clone()),
    ];
    headers.extend(signature::sign(&message.idempotency_key, &body)?);
    Ok(Request { method: "POST".into(), url: url.into(), headers, body, timeout_ms: Some(TIMEOUT_MS) })
}

fn attributes(attributes: &Attributes) -> serde_json::Value {
    let json = |value: &Value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(truth) => json!(truth),
        Value::Integer(integer) => json!(integer),
        Value::Number(float) => json!(float),
        Value::Text(text) => json!(text),
        Value::TimestampMs(ms) => match DateTime::from_timestamp_millis(*ms) {
            Some(time) => json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            None => json!(ms),
        },
        Value::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    };
    attributes
        .iter()
        .map(|(name, value)| (name.clone(), json(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn outcome(response: &Response, key: &str) -> Outcome {
    match response.status {
        200..=299 | 409 => Outcome::Sent(provider_id(&response.body).unwrap_or_else(|| key.to_owned())),
        429 => Outcome::Retry(wait(response, refusal(response, Error::throttled))),
        503 => Outcome::Retry(wait(response, refusal(response, Error::unavailable))),
        408 | 500..=599 => Outcome::Retry(refusal(response, Error::unavailable)),
        401 | 403 => Outcome::Rejected(refusal(response, Error::denied)),
        404 | 410 => Outcome::Rejected(refusal(response, Error::not_found)),
        _ => Outcome::Rejected(refusal(response, Error::invalid)),
    }
}

fn provider_id(body: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    match json.get("id")? {
        serde_json::Value::String(id) if !id.is_empty() => Some(id.clone()),
        serde_json::Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn refusal(response: &Response, error: fn(String) -> Error) -> Error {
    let text = String::from_utf8_lossy(&response.body);
    let excerpt: String = text.trim().chars().take(EXCERPT_CHARS_MAX).collect();
    let separator = if excerpt.is_empty() { "" } else { ": " };
    error(format!("the receiver answered {}{separator}{excerpt}", response.status))
}

/// The error with the wait that `Retry-After` asks for, in seconds or until a date (RFC 9110, 10.2.3).
fn wait(response: &Response, error: Error) -> Error {
    let Some(after) = response.header("retry-after").map(str::trim) else { return error };
    let until = |date: &str| {
        let date = DateTime::parse_from_rfc2822(date).ok()?;
        Some(date.timestamp_millis().saturating_sub(clock::now_ms()).max(0).unsigned_abs())
    };
    let ms = after.parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000)).or_else(|| until(after));
    match ms {
        Some(ms) => error.retry_after_ms(ms.min(RETRY_AFTER_MS_MAX)),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::tests::SPEC_SECRET;
    use regard_sdk::connector::Webhook;
    use regard_sdk::testing;

    fn channel(url: &str) -> Channel {
        Channel {
            id: "c".into(),
            name: "crm".into(),
            settings: vec![("url".into(), Value::Text(url.into()))],
        }
    }

    fn message() -> Outbound {
        Outbound {
            idempotency_key: "enrollment/3".into(),
            recipient: "customer-7".into(),
            thread: None,
            subject: Some("Hello".into()),
            text: "We miss you".into(),
            attributes: vec![("due".into(), Value::TimestampMs(0)), ("n".into(), Value::Integer(1))],
        }
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
        let headers =
            headers.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect();
        testing::set(|host| {
            host.now_ms = 784_111_777_000;
            host.responses.push_back(Ok(Response { status, headers, body: body.into() }));
        });
        send(&channel("https://crm.example/hook"), &message())
    }

    #[test]
    fn the_request_carries_message_and_key() {
        assert_eq!(answer(200, &[], ""), Outcome::Sent("enrollment/3".into()));
        let request = testing::with(|host| host.requests[0].clone());
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://crm.example/hook"));
        assert!(request.headers.contains(&("idempotency-key".into(), "enrollment/3".into())));
        assert!(!request.headers.iter().any(|(name, _)| name.starts_with("webhook-")), "there is no secret");
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!(
            body,
            json!({
                "type": "message.outbound",
                "idempotency_key": "enrollment/3",
                "recipient": "customer-7",
                "thread": null,
                "subject": "Hello",
                "text": "We miss you",
                "attributes": { "due": "1970-01-01T00:00:00.000Z", "n": 1 }
            })
        );
    }

    #[test]
    fn a_secret_signs_what_our_own_side_would_verify() {
        testing::set(|host| {
            host.now_ms = 1_700_000_000_000;
            host.secrets.insert(signature::SECRET.into(), SPEC_SECRET.into());
        });
        assert!(matches!(send(&channel("http://crm.example"), &message()), Outcome::Retry(_)), "no answer");
        let request = testing::with(|host| host.requests[0].clone());
        let webhook = Webhook {
            method: request.method,
            path: String::new(),
            query: String::new(),
            headers: request.headers,
            body: request.body,
        };
        assert_eq!(signature::verify(&webhook), Ok("enrollment/3".into()));
    }

    #[test]
    fn answers_decide_the_outcome() {
        assert_eq!(answer(202, &[], r#"{"id":"prov-1"}"#), Outcome::Sent("prov-1".into()));
        assert_eq!(answer(201, &[], r#"{"id":42}"#), Outcome::Sent("42".into()));
        assert_eq!(answer(409, &[], "taken"), Outcome::Sent("enrollment/3".into()));
        let throttled = Error::throttled("the receiver answered 429").retry_after_ms(7000);
        assert_eq!(answer(429, &[("Retry-After", "7")], ""), Outcome::Retry(throttled));
        let unavailable = Error::unavailable("the receiver answered 503: busy").retry_after_ms(20_000);
        let date = "Sun, 06 Nov 1994 08:49:57 GMT";
        assert_eq!(answer(503, &[("retry-after", date)], "busy"), Outcome::Retry(unavailable));
        assert!(
            matches!(answer(503, &[("retry-after", "soon")], ""), Outcome::Retry(e) if e.retry_after_ms.is_none())
        );
        assert!(matches!(answer(408, &[], ""), Outcome::Retry(_)));
        assert!(matches!(answer(502, &[], ""), Outcome::Retry(_)));
        assert!(matches!(answer(422, &[], "no such person"), Outcome::Rejected(e) if e.code == "invalid"));
        assert!(matches!(answer(401, &[], ""), Outcome::Rejected(e) if e.code == "denied"));
        assert!(matches!(answer(302, &[], ""), Outcome::Rejected(_)));
    }

    #[test]
    fn what_cannot_work_is_not_tried_again() {
        testing::set(|host| host.responses.push_back(Err(Error::denied("host crm.example is not granted"))));
        assert!(
            matches!(send(&channel("https://crm.example"), &message()), Outcome::Rejected(e) if e.code == "denied")
        );
        assert!(matches!(send(&channel("ftp://crm.example"), &message()), Outcome::Rejected(_)));
        let unset = Channel { settings: vec![], ..channel("") };
        assert!(matches!(send(&unset, &message()), Outcome::Rejected(e) if e.message.contains("`url`")));
    }
}
