//! Takes messages from a chat service by webhook, and sends messages there. The service and we know the secret `token`.

use regard_sdk::connector::{Channel, Features, Outbound, Outcome, Received, Reply, Webhook};
use regard_sdk::http::{self, Request};
use regard_sdk::{Connector, Error, Inbound, config, plugin};
use serde::Deserialize;
use serde_json::json;

struct Chat;

/// What the service sends.
#[derive(Deserialize)]
struct Event {
    id: String,
    email: Option<String>,
    #[serde(default)]
    text: String,
    at_ms: i64,
}

/// What the service answers.
#[derive(Deserialize)]
struct Taken {
    id: String,
}

plugin! { connector: Chat }

impl Connector for Chat {
    fn describe() -> Features {
        Features {
            receives: true,
            polls: false,
            sends: true,
            threads: false,
            receipts: false,
            // The service takes a repeated idempotency key once, so a message may be tried again.
            idempotent: true,
            address_scheme: "email".into(),
            text_limit: None,
        }
    }

    fn receive(_channel: Channel, request: Webhook) -> Result<Received, Error> {
        if request.header("authorization") != Some(authorization()?.as_str()) {
            return Err(Error::denied("the webhook does not carry the token"));
        }
        let event: Event = serde_json::from_slice(&request.body).map_err(|why| Error::invalid(why.to_string()))?;
        let mut item = Inbound::new(event.id, "message.received", event.at_ms).with("text", event.text);
        if let Some(email) = event.email {
            item = item.sent_by("email", email);
        }
        Ok(Received { items: vec![item], reply: Reply { status: 204, headers: vec![], body: vec![] } })
    }

    fn send(channel: Channel, message: Outbound) -> Outcome {
        let response = match request(&channel, &message).map(|request| http::send(&request)) {
            Err(why) => return Outcome::Rejected(why),
            // No answer: since a repeated key is taken once, trying again is safe.
            Ok(Err(why)) => return Outcome::Retry(why),
            Ok(Ok(response)) => response,
        };
        let answered = || Error::failed(format!("the service answers {}", response.status));
        match response.status {
            200..300 => match serde_json::from_slice::<Taken>(&response.body) {
                Ok(taken) => Outcome::Sent(taken.id),
                Err(_) => Outcome::Sent(message.idempotency_key),
            },
            429 | 500.. => Outcome::Retry(answered()),
            _ => Outcome::Rejected(answered()),
        }
    }
}

fn authorization() -> Result<String, Error> {
    Ok(format!("Bearer {}", config::secret("token")?))
}

fn request(channel: &Channel, message: &Outbound) -> Result<Request, Error> {
    Ok(Request {
        method: "POST".into(),
        url: channel.required_text("url")?.into(),
        headers: vec![
            ("authorization".into(), authorization()?),
            ("content-type".into(), "application/json".into()),
            ("idempotency-key".into(), message.idempotency_key.clone()),
        ],
        body: json!({ "to": message.recipient, "text": message.text }).to_string().into_bytes(),
        timeout_ms: None,
    })
}
