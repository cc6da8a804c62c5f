//! What plugins hand over as JSON, as ours: the same forms for Luau tables and for native libraries. Unknown fields are
//! errors, so that a misspelt one cannot be overlooked; every error names the field.

use std::time::Duration;

use regard_engine::ports::{Features, Handed, Outcome};
use regard_model::metric::MetricInput;
use regard_model::{Attributes, Metric, SubjectKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::hostcalls::{Message, PageRequest, RecordRequest};

/// What `customers.update` changes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Change {
    pub(crate) set: Attributes,
    pub(crate) add_tags: Vec<String>,
    pub(crate) remove_tags: Vec<String>,
}

/// What `interactions.query` is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Query {
    customer_id: Option<String>,
    channel: Option<String>,
    kind: Option<String>,
    since_ms: Option<i64>,
    until_ms: Option<i64>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Interactions in a page when the program does not say.
pub(crate) const PAGE_DEFAULT: u32 = 100;

impl From<Query> for PageRequest {
    fn from(query: Query) -> Self {
        Self {
            customer: query.customer_id,
            channel: query.channel,
            kind: query.kind,
            since_ms: query.since_ms,
            until_ms: query.until_ms,
            cursor: query.cursor,
            limit: query.limit.unwrap_or(PAGE_DEFAULT),
        }
    }
}

/// What `records.query` is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecordQuery {
    customer_id: Option<String>,
    equal: Attributes,
    cursor: Option<String>,
    limit: Option<u32>,
}

impl From<RecordQuery> for RecordRequest {
    fn from(query: RecordQuery) -> Self {
        Self {
            customer: query.customer_id,
            equal: query.equal,
            cursor: query.cursor,
            limit: query.limit.unwrap_or(PAGE_DEFAULT),
        }
    }
}

/// What `messages.enqueue` is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    customer_id: String,
    purpose: String,
    #[serde(default)]
    channel: Option<String>,
    body: String,
    #[serde(default)]
    parameters: Attributes,
    idempotency_key: String,
    #[serde(default)]
    not_before_ms: Option<i64>,
}

impl From<NewMessage> for Message {
    fn from(message: NewMessage) -> Self {
        Self {
            customer: message.customer_id,
            purpose: message.purpose,
            channel: message.channel,
            body: message.body,
            parameters: message.parameters,
            idempotency_key: message.idempotency_key,
            not_before_ms: message.not_before_ms,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inbound {
    external_id: String,
    #[serde(default)]
    sender: Option<Sender>,
    #[serde(default)]
    aliases: Vec<Sender>,
    #[serde(default)]
    sender_name: Option<String>,
    kind: String,
    occurred_at_ms: i64,
    #[serde(default)]
    thread: Option<String>,
    #[serde(default)]
    amount: Option<Amount>,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sender {
    scheme: String,
    value: String,
}

impl Sender {
    fn pair(self) -> (String, String) {
        (self.scheme, self.value)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    minor: i64,
    currency: String,
}

impl From<Inbound> for Handed {
    fn from(inbound: Inbound) -> Self {
        Self {
            external_id: inbound.external_id,
            sender: inbound.sender.map(Sender::pair),
            aliases: inbound.aliases.into_iter().map(Sender::pair).collect(),
            sender_name: inbound.sender_name,
            kind: inbound.kind,
            occurred_at_ms: inbound.occurred_at_ms,
            thread: inbound.thread,
            amount: inbound.amount.map(|amount| (amount.minor, amount.currency)),
            attributes: inbound.attributes,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct ConnectorFeatures {
    receives: bool,
    polls: bool,
    sends: bool,
    threads: bool,
    receipts: bool,
    idempotent: bool,
    address_scheme: String,
    text_limit: Option<u32>,
}

/// `{ sent }`, `{ rejected }`, `{ retry, after_ms }` or `{ uncertain }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Sending {
    sent: Option<String>,
    rejected: Option<String>,
    retry: Option<String>,
    after_ms: Option<u64>,
    uncertain: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    name: String,
    version: u32,
    description: String,
    unit: String,
    subject: SubjectKind,
    #[serde(default = "empty_list")]
    kinds: Value,
    inputs: Vec<Input>,
    #[serde(default = "any_object")]
    parameters: Value,
}

/// A column that is needed, or one with more to say.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Required(String),
    Stated { column: String, required: bool },
}

fn empty_list() -> Value {
    json!([])
}

fn any_object() -> Value {
    json!({ "type": "object" })
}

/// A list; an empty one may look like an object, since Luau has one kind of table.
fn list(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Object(fields) if fields.is_empty() => Ok(Vec::new()),
        Value::Null => Ok(Vec::new()),
        _ => Err("is not a list".to_owned()),
    }
}

/// What a connector hands in.
pub(crate) fn items(value: Value) -> Result<Vec<Handed>, String> {
    let items = list(value).map_err(|why| format!("items: {why}"))?;
    let one = |(at, item): (usize, Value)| {
        let inbound: Inbound =
            serde_json::from_value(item).map_err(|why| format!("items[{}]: {why}", at + 1))?;
        Ok(inbound.into())
    };
    items.into_iter().enumerate().map(one).collect()
}

/// What a connector can do.
pub(crate) fn features(value: Value) -> Result<Features, String> {
    let features: ConnectorFeatures = serde_json::from_value(value).map_err(|why| why.to_string())?;
    Ok(Features {
        receives: features.receives,
        polls: features.polls,
        sends: features.sends,
        threads: features.threads,
        receipts: features.receipts,
        idempotent: features.idempotent,
        address_scheme: features.address_scheme,
        text_limit: features.text_limit,
    })
}

/// Metrics as the evaluator describes them; its name is filled in by the registry.
pub(crate) fn metrics(value: Value) -> Result<Vec<Metric>, String> {
    let one = |(at, described): (usize, Value)| {
        let wrong = |why: &dyn std::fmt::Display| format!("metrics[{}]: {why}", at + 1);
        let described: Described = serde_json::from_value(described).map_err(|why| wrong(&why))?;
        let kinds = match described.kinds {
            Value::Object(fields) if fields.is_empty() => Vec::new(),
            kinds => serde_json::from_value(kinds).map_err(|why| wrong(&format!("kinds: {why}")))?,
        };
        let input = |input: Input| match input {
            Input::Required(column) => MetricInput { column, required: true },
            Input::Stated { column, required } => MetricInput { column, required },
        };
        Ok(Metric {
            name: described.name,
            version: described.version,
            description: described.description,
            unit: described.unit,
            subject: described.subject,
            kinds,
            inputs: described.inputs.into_iter().map(input).collect(),
            parameters: described.parameters,
            evaluator: String::new(),
        })
    };
    list(value)?.into_iter().enumerate().map(one).collect()
}

/// How sending ended.
pub(crate) fn outcome(value: Value) -> Result<Outcome, String> {
    let sending: Sending = serde_json::from_value(value).map_err(|why| why.to_string())?;
    match (sending.sent, sending.rejected, sending.retry, sending.uncertain) {
        (Some(id), None, None, None) => Ok(Outcome::Sent(id)),
        (None, Some(why), None, None) => Ok(Outcome::Rejected(why)),
        (None, None, Some(reason), None) => {
            Ok(Outcome::Retry { reason, after: sending.after_ms.map(Duration::from_millis) })
        }
        (None, None, None, Some(why)) => Ok(Outcome::Uncertain(why)),
        _ => Err("send returns exactly one of sent, rejected, retry and uncertain".to_owned()),
    }
}
