//! The contract's types as JSON, there and back: names with underscores, bytes as base64, and attributes as an object.
//!
//! Fields that a later host adds are passed over.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use crate::connector::{Channel, Features, Outbound, Outcome, Page, Received, Webhook};
use crate::days::DAY_MS;
use crate::hook::{Event, Observed};
use crate::http::{Request, Response};
use crate::interactions::{self, Filter};
use crate::kpi::{Metric, Subject};
use crate::messages::Message;
use crate::records::{self, Entry};
use crate::{Attributes, Customer, Error, Identifier, Inbound, Interaction, Money, Observation, Value};

pub(super) mod base64 {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;

    pub(crate) fn encode(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    pub(super) fn decode(text: &str) -> Result<Vec<u8>, crate::Error> {
        STANDARD.decode(text).map_err(|why| crate::Error::invalid(format!("no base64: {why}")))
    }
}

fn read<T: DeserializeOwned>(value: Json) -> Result<T, Error> {
    serde_json::from_value(value).map_err(Error::from)
}

pub(super) fn text(value: Json) -> Result<String, Error> {
    read(value)
}

/// The bytes in the field `name`.
pub(super) fn bytes(value: &Json, name: &str) -> Result<Vec<u8>, Error> {
    let text = value[name].as_str().ok_or_else(|| Error::invalid(format!("there is no text `{name}`")))?;
    base64::decode(text)
}

/// The host's error.
pub(super) fn error(text: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Form {
        code: String,
        message: String,
        retry_after_ms: Option<u64>,
    }
    match serde_json::from_slice(text) {
        Ok(Form { code, message, retry_after_ms }) => Error { code, message, retry_after_ms },
        Err(why) => Error::failed(format!("the host's error cannot be read: {why}")),
    }
}

fn to_attributes(fields: Map<String, Json>) -> Attributes {
    let value = |value: Json| match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text),
        nested => Value::Json(nested.to_string()),
    };
    fields.into_iter().map(|(name, field)| (name, value(field))).collect()
}

/// Attributes as an object; a number that JSON cannot say or text that is no JSON is refused, as for a component.
pub(super) fn from_attributes(attributes: &[(String, Value)]) -> Result<Json, Error> {
    let mut fields = Map::new();
    for (name, value) in attributes {
        let invalid = |why: &str| Error::invalid(format!("attributes.{name}: {why}"));
        let field = match value {
            Value::Null => Json::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Integer(integer) => (*integer).into(),
            Value::Number(number) if number.is_finite() => (*number).into(),
            Value::Number(_) => return Err(invalid("is no finite number")),
            Value::Text(text) => text.as_str().into(),
            Value::TimestampMs(at) => rfc3339(*at).into(),
            Value::Json(text) => {
                serde_json::from_str(text).map_err(|why| invalid(&format!("is no JSON: {why}")))?
            }
        };
        fields.insert(name.clone(), field);
    }
    Ok(Json::Object(fields))
}

/// An instant as the host writes one. Days to dates by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn rfc3339(timestamp_ms: i64) -> String {
    let (days, in_day) = (timestamp_ms.div_euclid(DAY_MS), timestamp_ms.rem_euclid(DAY_MS));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let year = if (0..=9_999).contains(&year) { format!("{year:04}") } else { format!("{year:+05}") };
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1_000 % 60, in_day % 1_000);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[derive(Deserialize)]
struct IdentifierForm {
    scheme: String,
    value: String,
}

pub(super) fn customer(value: Json) -> Result<Customer, Error> {
    #[derive(Deserialize)]
    struct Form {
        id: String,
        kind: String,
        name: String,
        stage: String,
        tags: Vec<String>,
        identifiers: Vec<IdentifierForm>,
        attributes: Map<String, Json>,
        version: u64,
    }
    let form: Form = read(value)?;
    let identifier = |known: IdentifierForm| Identifier { scheme: known.scheme, value: known.value };
    Ok(Customer {
        id: form.id,
        kind: form.kind,
        name: form.name,
        stage: form.stage,
        tags: form.tags,
        identifiers: form.identifiers.into_iter().map(identifier).collect(),
        attributes: to_attributes(form.attributes),
        version: form.version,
    })
}

fn interaction(value: Json) -> Result<Interaction, Error> {
    #[derive(Deserialize)]
    struct Amount {
        minor: i64,
        currency: String,
    }
    #[derive(Deserialize)]
    struct Form {
        id: String,
        customer_id: Option<String>,
        channel: String,
        external_id: String,
        kind: String,
        occurred_at_ms: i64,
        thread: Option<String>,
        amount: Option<Amount>,
        attributes: Map<String, Json>,
        causation_id: Option<String>,
    }
    let form: Form = read(value)?;
    Ok(Interaction {
        id: form.id,
        customer_id: form.customer_id,
        channel: form.channel,
        external_id: form.external_id,
        kind: form.kind,
        occurred_at_ms: form.occurred_at_ms,
        thread: form.thread,
        amount: form.amount.map(|amount| Money { minor: amount.minor, currency: amount.currency }),
        attributes: to_attributes(form.attributes),
        causation_id: form.causation_id,
    })
}

/// An undefined value is NaN, as for components.
pub(super) fn observation(value: Json) -> Result<Observation, Error> {
    #[derive(Deserialize)]
    struct Form {
        id: String,
        metric: String,
        subject: String,
        window_start_ms: Option<i64>,
        window_end_ms: i64,
        value: Option<f64>,
        unit: String,
    }
    let form: Form = read(value)?;
    Ok(Observation {
        id: form.id,
        metric: form.metric,
        subject: form.subject,
        window_start_ms: form.window_start_ms,
        window_end_ms: form.window_end_ms,
        value: form.value.unwrap_or(f64::NAN),
        unit: form.unit,
    })
}

pub(super) fn events(mut given: Json) -> Result<Vec<Event>, Error> {
    let events: Vec<Json> = read(given["events"].take())?;
    let event = |mut event: Json| match event["type"].as_str().unwrap_or_default() {
        "interaction-appended" => interaction(event["interaction"].take()).map(Event::InteractionAppended),
        "customer-changed" => customer(event["customer"].take()).map(Event::CustomerChanged),
        "metric-observed" => {
            let observation = observation(event["observation"].take())?;
            Ok(Event::MetricObserved(Observed { observation, previous: event["previous"].as_f64() }))
        }
        unknown => Err(Error::unsupported(format!("there is no event `{unknown}`"))),
    };
    events.into_iter().map(event).collect()
}

/// The channel among the arguments.
pub(super) fn channel(given: &mut Json) -> Result<Channel, Error> {
    #[derive(Deserialize)]
    struct Form {
        id: String,
        name: String,
        settings: Map<String, Json>,
    }
    let form: Form = read(given["channel"].take())?;
    Ok(Channel { id: form.id, name: form.name, settings: to_attributes(form.settings) })
}

#[derive(Deserialize)]
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
    body_base64: String,
}

pub(super) fn webhook(value: Json) -> Result<Webhook, Error> {
    #[derive(Deserialize)]
    struct Form {
        method: String,
        path: String,
        query: String,
        headers: Vec<(String, String)>,
        body_base64: String,
    }
    let Form { method, path, query, headers, body_base64 } = read(value)?;
    Ok(Webhook { method, path, query, headers, body: base64::decode(&body_base64)? })
}

pub(super) fn cursor_and_limit(given: &Json) -> Result<(Option<Vec<u8>>, u32), Error> {
    let cursor = given["cursor_base64"].as_str().map(base64::decode).transpose()?;
    Ok((cursor, read(given["limit"].clone())?))
}

pub(super) fn outbound(value: Json) -> Result<Outbound, Error> {
    #[derive(Deserialize)]
    struct Form {
        idempotency_key: String,
        recipient: String,
        thread: Option<String>,
        subject: Option<String>,
        text: String,
        attributes: Map<String, Json>,
    }
    let form: Form = read(value)?;
    Ok(Outbound {
        idempotency_key: form.idempotency_key,
        recipient: form.recipient,
        thread: form.thread,
        subject: form.subject,
        text: form.text,
        attributes: to_attributes(form.attributes),
    })
}

pub(super) fn features(features: &Features) -> Json {
    json!({
        "receives": features.receives,
        "polls": features.polls,
        "sends": features.sends,
        "threads": features.threads,
        "receipts": features.receipts,
        "idempotent": features.idempotent,
        "address_scheme": features.address_scheme,
        "text_limit": features.text_limit,
    })
}

fn items(items: &[Inbound]) -> Result<Json, Error> {
    let by = |by: &Identifier| json!({ "scheme": by.scheme, "value": by.value });
    let item = |item: &Inbound| {
        Ok(json!({
            "external_id": item.external_id,
            "sender": item.sender.as_ref().map(by),
            "aliases": item.aliases.iter().map(by).collect::<Vec<_>>(),
            "sender_name": item.sender_name,
            "kind": item.kind,
            "occurred_at_ms": item.occurred_at_ms,
            "thread": item.thread,
            "amount": item.amount.as_ref().map(|one| json!({ "minor": one.minor, "currency": one.currency })),
            "attributes": from_attributes(&item.attributes)?,
        }))
    };
    items.iter().map(item).collect::<Result<Vec<_>, Error>>().map(Json::Array)
}

pub(super) fn received(received: Received) -> Result<Json, Error> {
    let reply = received.reply;
    Ok(json!({
        "items": items(&received.items)?,
        "reply": {
            "status": reply.status,
            "headers": reply.headers,
            "body_base64": base64::encode(&reply.body),
        },
    }))
}

pub(super) fn page(page: Page) -> Result<Json, Error> {
    Ok(json!({
        "items": items(&page.items)?,
        "cursor_base64": page.cursor.as_deref().map(base64::encode),
        "more": page.more,
    }))
}

pub(super) fn outcome(outcome: &Outcome) -> Json {
    let words = |error: &Error| format!("{}: {}", error.code, error.message);
    match outcome {
        Outcome::Sent(id) => json!({ "sent": id }),
        Outcome::Rejected(error) => json!({ "rejected": words(error) }),
        Outcome::Retry(error) => json!({ "retry": words(error), "after_ms": error.retry_after_ms }),
        Outcome::Uncertain(error) => json!({ "uncertain": words(error) }),
    }
}

pub(super) fn metrics(metrics: Vec<Metric>) -> Result<Json, Error> {
    let metric = |metric: Metric| {
        let name = &metric.name;
        let parameters: Json = serde_json::from_str(&metric.parameters_schema).map_err(|why| {
            Error::invalid(format!("metric `{name}`: the schema of its parameters is no JSON: {why}"))
        })?;
        let inputs = metric.inputs.iter();
        Ok(json!({
            "name": name,
            "version": metric.version,
            "description": metric.description,
            "unit": metric.unit,
            "subject": match metric.subject { Subject::Customer => "customer", Subject::Business => "business" },
            "kinds": metric.kinds,
            "inputs": inputs
                .map(|input| json!({ "column": input.column, "required": input.required }))
                .collect::<Vec<_>>(),
            "parameters": parameters,
        }))
    };
    metrics.into_iter().map(metric).collect::<Result<Vec<_>, Error>>().map(Json::Array)
}

pub(super) fn request(request: &Request) -> Json {
    json!({
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
        "body_base64": base64::encode(&request.body),
        "timeout_ms": request.timeout_ms,
    })
}

pub(super) fn response(value: Json) -> Result<Response, Error> {
    let Answered { status, headers, body_base64 } = read(value)?;
    Ok(Response { status, headers, body: base64::decode(&body_base64)? })
}

pub(super) fn query(filter: &Filter, cursor: Option<&str>, limit: u32) -> Json {
    json!({
        "customer_id": filter.customer_id,
        "channel": filter.channel,
        "kind": filter.kind,
        "since_ms": filter.since_ms,
        "until_ms": filter.until_ms,
        "cursor": cursor,
        "limit": limit,
    })
}

pub(super) fn interactions(mut value: Json) -> Result<interactions::Page, Error> {
    let items: Vec<Json> = read(value["items"].take())?;
    let next_cursor = read(value["next_cursor"].take())?;
    Ok(interactions::Page {
        items: items.into_iter().map(interaction).collect::<Result<_, _>>()?,
        next_cursor,
    })
}

pub(super) fn entry(value: Json) -> Result<Entry, Error> {
    #[derive(Deserialize)]
    struct Form {
        id: String,
        customer_id: Option<String>,
        data: Json,
        version: u64,
        created_at_ms: i64,
        updated_at_ms: i64,
    }
    let Form { id, customer_id, data, version, created_at_ms, updated_at_ms } = read(value)?;
    Ok(Entry { id, customer_id, data: data.to_string(), version, created_at_ms, updated_at_ms })
}

pub(super) fn record_query(
    kind: &str,
    filter: &records::Filter,
    equal: Json,
    cursor: Option<&str>,
    limit: u32,
) -> Json {
    json!({
        "kind": kind,
        "filter": { "customer_id": filter.customer_id, "equal": equal, "cursor": cursor, "limit": limit },
    })
}

pub(super) fn entries(mut value: Json) -> Result<records::Page, Error> {
    let items: Vec<Json> = read(value["items"].take())?;
    let next_cursor = read(value["next_cursor"].take())?;
    Ok(records::Page { items: items.into_iter().map(entry).collect::<Result<_, _>>()?, next_cursor })
}

pub(super) fn message(message: &Message, parameters: Json) -> Json {
    json!({
        "customer_id": message.customer_id,
        "purpose": message.purpose,
        "channel": message.channel,
        "body": message.body,
        "parameters": parameters,
        "idempotency_key": message.idempotency_key,
        "not_before_ms": message.not_before_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_the_host_does() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(1_764_000_000_000), "2025-11-24T16:00:00.000Z");
        assert_eq!(rfc3339(253_402_300_800_000), "+10000-01-01T00:00:00.000Z");
    }

    #[test]
    fn attributes_survive_the_round_trip() {
        let attributes = vec![
            ("a".to_owned(), Value::Integer(i64::MIN)),
            ("b".to_owned(), Value::Number(0.5)),
            ("c".to_owned(), Value::Json("[1,{}]".to_owned())),
            ("d".to_owned(), Value::Null),
        ];
        let Ok(Json::Object(fields)) = from_attributes(&attributes) else { panic!("no object") };
        assert_eq!(to_attributes(fields), attributes);
        let nan = from_attributes(&[("x".to_owned(), Value::Number(f64::NAN))]).expect_err("refused");
        assert_eq!(nan.message, "attributes.x: is no finite number");
    }
}
