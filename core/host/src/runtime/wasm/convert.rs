//! Between the contract's types and ours.

use std::time::Duration;

use regard_engine::Fault;
use regard_engine::columns::{self, ColumnValues, TextValues};
use regard_engine::ports::{Event, Features, Handed, Outbound, Outcome, Webhook, WebhookReply};
use regard_model::metric::MetricInput;
use regard_model::{Attributes, Channel, Customer, Interaction, Metric, Observation, SubjectKind, Timestamp};
use serde_json::Value;

use super::bindings::connector::exports::regard::connector::connector as wit_connector;
use super::bindings::hook::exports::regard::hook::hook as wit_hook;
use super::bindings::host::regard::core::{http as wit_http, types as wit};
use super::bindings::kpi::exports::regard::kpi::evaluator as wit_kpi;
use crate::hostcalls::CallError;
use crate::http;
use crate::runtime::{Failure, json};

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn error(error: CallError) -> wit::Error {
    wit::Error {
        code: error.fault.as_str().to_owned(),
        message: error.message,
        retry_after_ms: error.retry_after.map(millis),
    }
}

pub(super) fn failure(error: wit::Error) -> Failure {
    Failure {
        fault: Fault::from_code(&error.code),
        message: error.message,
        retry_after: error.retry_after_ms.map(Duration::from_millis),
    }
}

fn wit_attributes(attributes: &Attributes) -> Vec<(String, wit::Value)> {
    let value = |value: &Value| match value {
        Value::Null => wit::Value::Null,
        Value::Bool(value) => wit::Value::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => wit::Value::Integer(integer),
            None => wit::Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => wit::Value::Text(text.clone()),
        nested => wit::Value::Json(nested.to_string()),
    };
    attributes.0.iter().map(|(name, given)| (name.clone(), value(given))).collect()
}

/// Attributes from a guest; a number that JSON cannot say or text that is no JSON is refused.
pub(super) fn attributes(given: Vec<(String, wit::Value)>) -> Result<Attributes, CallError> {
    attributes_within(given, &mut { json::VALUES_MAX })
}

/// The same, with at most `left` values, which are taken from it.
fn attributes_within(given: Vec<(String, wit::Value)>, left: &mut usize) -> Result<Attributes, CallError> {
    let mut attributes = Attributes::new();
    for (name, value) in given {
        let invalid = |why: &str| CallError::new(Fault::Invalid, format!("attributes.{name}: {why}"));
        *left = left.checked_sub(1).ok_or_else(|| invalid(&json::too_many()))?;
        let value = match value {
            wit::Value::Null => Value::Null,
            wit::Value::Boolean(value) => value.into(),
            wit::Value::Integer(integer) => integer.into(),
            wit::Value::Number(number) if number.is_finite() => number.into(),
            wit::Value::Number(_) => return Err(invalid("is no finite number")),
            wit::Value::Text(text) => text.into(),
            wit::Value::TimestampMs(at) => Timestamp::from_millis(at).to_string().into(),
            wit::Value::Json(text) => {
                json::read(&text, left).map_err(|why| invalid(&format!("is no JSON: {why}")))?
            }
        };
        attributes.set(name, value);
    }
    Ok(attributes)
}

pub(super) fn customer(customer: &Customer) -> wit::Customer {
    wit::Customer {
        id: customer.id.to_string(),
        kind: customer.kind.to_string(),
        name: customer.name.clone(),
        stage: customer.stage.to_string(),
        tags: customer.tags.iter().cloned().collect(),
        identifiers: customer
            .identifiers
            .iter()
            .map(|known| wit::Identifier { scheme: known.scheme.clone(), value: known.value.clone() })
            .collect(),
        attributes: wit_attributes(&customer.attributes),
        version: u64::try_from(customer.version).unwrap_or_default(),
    }
}

pub(super) fn interaction(interaction: &Interaction) -> wit::Interaction {
    wit::Interaction {
        id: interaction.id.to_string(),
        customer_id: interaction.customer.map(|id| id.to_string()),
        channel: interaction.channel.clone(),
        external_id: interaction.external_id.clone(),
        kind: interaction.kind.as_str().to_owned(),
        occurred_at_ms: interaction.occurred_at.as_millis(),
        thread: interaction.thread.clone(),
        amount: interaction
            .amount
            .map(|amount| wit::Money { minor: amount.minor, currency: amount.currency.code().to_owned() }),
        attributes: wit_attributes(&interaction.attributes),
        causation_id: interaction.causation_id.map(|id| id.to_string()),
    }
}

/// An undefined value is NaN: every comparison with a threshold is then false.
pub(super) fn observation(observation: &Observation) -> wit::Observation {
    wit::Observation {
        id: observation.id.to_string(),
        metric: observation.metric.clone(),
        subject: observation.subject.to_string(),
        window_start_ms: observation.window.start.map(Timestamp::as_millis),
        window_end_ms: observation.window.end.as_millis(),
        value: observation.value.unwrap_or(f64::NAN),
        unit: observation.unit.clone(),
    }
}

pub(super) fn event(event: &Event) -> wit_hook::Event {
    match event {
        Event::InteractionAppended(appended) => wit_hook::Event::InteractionAppended(interaction(appended)),
        Event::CustomerChanged(changed) => wit_hook::Event::CustomerChanged(customer(changed)),
        Event::MetricObserved(observed) => wit_hook::Event::MetricObserved(wit_hook::Observed {
            observation: observation(observed),
            previous: observed.previous,
        }),
    }
}

pub(super) fn request(request: wit_http::Request) -> http::Request {
    http::Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body.into(),
        timeout: request.timeout_ms.map(|timeout| Duration::from_millis(u64::from(timeout))),
    }
}

pub(super) fn response(response: http::Response) -> wit_http::Response {
    wit_http::Response { status: response.status, headers: response.headers, body: response.body }
}

pub(super) fn channel(channel: &Channel) -> wit_connector::Channel {
    wit_connector::Channel {
        id: channel.id.to_string(),
        name: channel.name.clone(),
        settings: wit_attributes(&channel.settings),
    }
}

pub(super) fn webhook(webhook: Webhook) -> wit_connector::Webhook {
    let Webhook { method, path, query, headers, body } = webhook;
    wit_connector::Webhook { method, path, query, headers, body }
}

pub(super) fn reply(reply: wit_connector::Reply) -> WebhookReply {
    WebhookReply { status: reply.status, headers: reply.headers, body: reply.body }
}

/// What a connector hands in, with a bound on the values in all of it.
pub(super) fn items(items: Vec<wit::Inbound>) -> Result<Vec<Handed>, Failure> {
    let mut left = json::VALUES_MAX;
    let one = |(at, inbound)| {
        handed(inbound, &mut left).map_err(|error| {
            let mut failure = Failure::from(error);
            failure.message = format!("items[{}]: {}", at + 1, failure.message);
            failure
        })
    };
    items.into_iter().enumerate().map(one).collect()
}

fn identifier(wit::Identifier { scheme, value }: wit::Identifier) -> (String, String) {
    (scheme, value)
}

fn handed(inbound: wit::Inbound, left: &mut usize) -> Result<Handed, CallError> {
    Ok(Handed {
        external_id: inbound.external_id,
        sender: inbound.sender.map(identifier),
        aliases: inbound.aliases.into_iter().map(identifier).collect(),
        sender_name: inbound.sender_name,
        kind: inbound.kind,
        occurred_at_ms: inbound.occurred_at_ms,
        thread: inbound.thread,
        amount: inbound.amount.map(|amount| (amount.minor, amount.currency)),
        attributes: attributes_within(inbound.attributes, left)?,
    })
}

pub(super) fn outbound(message: Outbound) -> wit_connector::Outbound {
    wit_connector::Outbound {
        idempotency_key: message.idempotency_key,
        recipient: message.recipient,
        thread: message.thread,
        subject: message.subject,
        text: message.text,
        attributes: wit_attributes(&message.attributes),
    }
}

pub(super) fn outcome(outcome: wit_connector::Outcome) -> Outcome {
    let words = |error: wit::Error| format!("{}: {}", error.code, error.message);
    match outcome {
        wit_connector::Outcome::Sent(id) => Outcome::Sent(id),
        wit_connector::Outcome::Rejected(error) => Outcome::Rejected(words(error)),
        wit_connector::Outcome::Retry(error) => {
            let after = error.retry_after_ms.map(Duration::from_millis);
            Outcome::Retry { reason: words(error), after }
        }
        wit_connector::Outcome::Uncertain(error) => Outcome::Uncertain(words(error)),
    }
}

pub(super) fn features(features: wit_connector::Features) -> Features {
    Features {
        receives: features.receives,
        polls: features.polls,
        sends: features.sends,
        threads: features.threads,
        receipts: features.receipts,
        idempotent: features.idempotent,
        address_scheme: features.address_scheme,
        text_limit: features.text_limit,
    }
}

/// A metric as the evaluator describes it; the evaluator's name is filled in by the registry.
pub(super) fn metric(metric: wit_kpi::Metric) -> Result<Metric, Failure> {
    let parameters = json::read(&metric.parameters_schema, &mut { json::VALUES_MAX }).map_err(|why| {
        let message = format!("metric `{}`: the schema of its parameters is no JSON: {why}", metric.name);
        Failure::new(Fault::Invalid, message)
    })?;
    Ok(Metric {
        name: metric.name,
        version: metric.version,
        description: metric.description,
        unit: metric.unit,
        subject: match metric.subject {
            wit_kpi::Subject::Customer => SubjectKind::Customer,
            wit_kpi::Subject::Business => SubjectKind::Business,
        },
        kinds: metric.kinds,
        inputs: metric
            .inputs
            .into_iter()
            .map(|input| MetricInput { column: input.column, required: input.required })
            .collect(),
        parameters,
        evaluator: String::new(),
    })
}

/// A guest's batch; its lists are taken over as they are. It is checked by the registry.
pub(super) fn batch(batch: wit::Batch) -> columns::Batch {
    let values = |data: wit::ColumnData| match data {
        wit::ColumnData::Boolean(values) => ColumnValues::Boolean(values),
        wit::ColumnData::Int64(values) => ColumnValues::Int64(values),
        wit::ColumnData::Float64(values) => ColumnValues::Float64(values),
        wit::ColumnData::TimestampMs(values) => ColumnValues::TimestampMs(values),
        wit::ColumnData::Utf8(texts) => {
            ColumnValues::Utf8(TextValues { offsets: texts.offsets, bytes: texts.data })
        }
        wit::ColumnData::Dictionary(dictionary) => ColumnValues::Dictionary {
            codes: dictionary.codes,
            entries: TextValues { offsets: dictionary.offsets, bytes: dictionary.data },
        },
    };
    let column = |column: wit::Column| columns::Column {
        name: column.name,
        validity: column.validity,
        values: values(column.data),
    };
    columns::Batch { rows: batch.rows, columns: batch.columns.into_iter().map(column).collect() }
}
