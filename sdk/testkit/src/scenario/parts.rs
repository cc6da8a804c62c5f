//! The shapes of a scenario file.

use std::collections::BTreeMap;

use regard_engine::ports::Webhook;
use regard_model::{Attributes, Identifier, Kind, LifecycleStage, Money, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The channel of a connector whose scenario names none.
pub(crate) const TEST_CHANNEL: &str = "test";

/// Somebody who is there when the scenario begins.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerPart {
    /// How the file refers to the customer.
    pub key: String,
    /// The name that people read.
    #[serde(default)]
    pub name: String,
    /// `scheme:value`.
    #[serde(default, deserialize_with = "identifiers")]
    pub identifiers: Vec<Identifier>,
    /// Where in the life cycle.
    pub stage: Option<LifecycleStage>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Everything else.
    #[serde(default)]
    pub attributes: Attributes,
    /// What is allowed.
    #[serde(default)]
    pub consents: Vec<ConsentPart>,
}

/// Kind of channel, or `*` for all, and purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentPart {
    /// Kind of channel; `any` for all.
    pub channel_kind: String,
    /// What for.
    pub purpose: String,
}

/// A channel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelPart {
    /// Its name.
    pub name: String,
    /// Its kind, which consents speak of; the name when left out.
    pub kind: Option<String>,
    /// Settings of its connector.
    #[serde(default)]
    pub settings: Attributes,
}

/// A recorded exchange as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpPart {
    pub(super) method: Option<String>,
    pub(super) url: String,
    pub(super) body_contains: Option<String>,
    #[serde(default)]
    pub(super) request_headers: BTreeMap<String, String>,
    pub(super) times: Option<u32>,
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) json: Option<Value>,
    pub(super) body: Option<String>,
    pub(super) file: Option<String>,
    pub(super) fails: Option<Failing>,
}

/// A recorded exchange.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Where it stands in the file.
    pub line: usize,
    /// `GET`, ...
    pub method: String,
    /// The whole address.
    pub url: String,
    /// What the body must contain.
    pub body_contains: Option<String>,
    /// Headers that must be sent, names in lower case.
    pub request_headers: Vec<(String, String)>,
    /// How often it may be used.
    pub times: u32,
    /// What comes back.
    pub answer: Answer,
}

/// What comes back.
#[derive(Debug, Clone)]
pub enum Answer {
    /// An answer: status, headers, body.
    Response(u16, Vec<(String, String)>, Vec<u8>),
    /// Nothing.
    Fails(Failing),
}

/// How an exchange fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failing {
    /// Nothing comes back in time.
    Timeout,
    /// Nobody listens there.
    Refused,
}

/// A step as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepPart {
    pub(super) interaction: Option<InteractionPart>,
    pub(super) observation: Option<ObservationPart>,
    pub(super) customer: Option<ChangePart>,
    pub(super) wait: Option<Wait>,
    pub(super) webhook: Option<WebhookPart>,
    pub(super) poll: Option<PollPart>,
    pub(super) send: Option<SendPart>,
    pub(super) evaluate: Option<EvaluatePart>,
    #[serde(default)]
    pub(super) expect: StepExpect,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where it stands in the file.
    pub line: usize,
    /// What happens.
    pub action: Action,
    /// What must come of it.
    pub expect: StepExpect,
}

/// What happens in a step.
#[derive(Debug, Clone)]
pub enum Action {
    /// Something is handed in as a caller of the API does.
    Interaction(InteractionPart),
    /// A metric has a value.
    Observation(ObservationPart),
    /// A customer changes.
    Customer(ChangePart),
    /// Time passes.
    Wait(Wait),
    /// A provider calls.
    Webhook(WebhookCall),
    /// The connector is asked for what is new.
    Poll(PollPart),
    /// The connector sends.
    Send(SendPart),
    /// A metric is evaluated.
    Evaluate(EvaluatePart),
}

impl Action {
    /// The key of the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Interaction(_) => "interaction",
            Self::Observation(_) => "observation",
            Self::Customer(_) => "customer",
            Self::Wait(_) => "wait",
            Self::Webhook(_) => "webhook",
            Self::Poll(_) => "poll",
            Self::Send(_) => "send",
            Self::Evaluate(_) => "evaluate",
        }
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub i64);

/// An interaction that is handed in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InteractionPart {
    /// Name of the channel.
    pub channel: String,
    /// What happened.
    pub kind: Kind,
    /// Key of the customer.
    pub customer: Option<String>,
    /// The source's own name for it; told from the step when left out.
    pub external_id: Option<String>,
    /// When; now when left out.
    pub occurred_at: Option<Timestamp>,
    /// Conversation.
    pub thread: Option<String>,
    /// Value and currency, such as `14.99 USD`.
    pub amount: Option<Amount>,
    /// Everything else.
    #[serde(default)]
    pub attributes: Attributes,
}

/// An amount written as a number and a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub Money);

/// A value of a metric.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservationPart {
    /// The metric.
    pub metric: String,
    /// Key of the customer; left out for the business.
    pub customer: Option<String>,
    /// The value; left out where the metric is undefined.
    pub value: Option<f64>,
}

/// A change of a customer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePart {
    /// Key of the customer.
    pub customer: String,
    /// Attributes to set.
    #[serde(default)]
    pub set: Attributes,
    /// Tags to add.
    #[serde(default)]
    pub add_tags: Vec<String>,
}

/// A webhook call as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookPart {
    #[serde(default = "test_channel")]
    pub(super) channel: String,
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    pub(super) query: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) json: Option<Value>,
    pub(super) body: Option<String>,
    pub(super) file: Option<String>,
}

/// A webhook call.
#[derive(Debug, Clone)]
pub struct WebhookCall {
    /// Name of the channel.
    pub channel: String,
    /// The call.
    pub webhook: Webhook,
}

/// Asks a connector for what is new.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollPart {
    /// Name of the channel.
    #[serde(default = "test_channel")]
    pub channel: String,
}

/// Has a connector send.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendPart {
    /// Name of the channel.
    #[serde(default = "test_channel")]
    pub channel: String,
    /// The address.
    pub recipient: String,
    /// The text.
    pub text: String,
    /// Subject line.
    pub subject: Option<String>,
    /// Conversation.
    pub thread: Option<String>,
    /// The same message has the same key; told from the step when left out.
    pub idempotency_key: Option<String>,
    /// Whatever the channel documents.
    #[serde(default)]
    pub attributes: Attributes,
}

/// Evaluates a metric.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatePart {
    /// The metric.
    pub metric: String,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// First instant that counts.
    pub since: Option<Timestamp>,
    /// First instant that no longer counts; left out, everything up to now counts.
    pub until: Option<Timestamp>,
    /// Currency of the amounts that count; the most frequent one when left out.
    pub currency: Option<String>,
}

/// What must come of a step.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepExpect {
    /// Words of the error that the step must end with.
    pub fails: Option<String>,
    /// Of a webhook: the HTTP status.
    pub status: Option<u16>,
    /// Of a poll: how many interactions were stored.
    pub received: Option<usize>,
    /// Of a send: what became of it.
    pub outcome: Option<OutcomeWord>,
    /// Of an evaluation: the value of each customer that is named.
    pub values: Option<BTreeMap<String, ValuePart>>,
    /// Of an evaluation of a metric of the business: its value.
    pub value: Option<ValuePart>,
    /// Of an evaluation: further columns of each customer that is named.
    pub details: Option<BTreeMap<String, Map<String, Value>>>,
    /// How far a number may be off.
    pub tolerance: Option<f64>,
}

/// A value of a metric; none for `"undefined"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValuePart(pub Option<f64>);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeWord {
    /// The provider took it.
    Sent,
    /// It will never be taken.
    Rejected,
    /// Not this time.
    Retry,
    /// Nobody knows.
    Uncertain,
}

impl OutcomeWord {
    /// The word of the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Retry => "retry",
            Self::Uncertain => "uncertain",
        }
    }
}

/// What must be so at the end; what is not named is not compared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// How many interactions are stored.
    pub interactions: Option<u64>,
    /// Customers by key.
    #[serde(default)]
    pub customers: BTreeMap<String, CustomerEnding>,
    /// All messages that were enqueued, in order.
    pub messages: Option<Vec<MessageEnding>>,
    /// All records of the types that are named, in the order in which they were made.
    #[serde(default)]
    pub records: BTreeMap<String, Vec<RecordEnding>>,
}

/// A customer at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerEnding {
    /// The name.
    pub name: Option<String>,
    /// Where in the life cycle.
    pub stage: Option<LifecycleStage>,
    /// All tags, in any order.
    pub tags: Option<Vec<String>>,
    /// The attributes that are named.
    #[serde(default)]
    pub attributes: Attributes,
}

/// A message at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageEnding {
    /// Key of the customer.
    pub customer: Option<String>,
    /// What for.
    pub purpose: Option<String>,
    /// The channel that was asked for.
    pub channel: Option<String>,
    /// The text.
    pub body: Option<String>,
    /// `pending`, `delivered`, ...
    pub state: Option<String>,
    /// The parameters that are named.
    #[serde(default)]
    pub parameters: Attributes,
}

/// A record at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordEnding {
    /// Key of the customer.
    pub customer: Option<String>,
    /// The fields that are named.
    #[serde(default)]
    pub data: Map<String, Value>,
}

fn test_channel() -> String {
    TEST_CHANNEL.to_owned()
}

fn identifiers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Identifier>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| Identifier::parse(text).map_err(D::Error::custom)).collect()
}

impl<'de> Deserialize<'de> for ConsentPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (kind, purpose) = text.split_once(':').ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no consent: write CHANNEL-KIND:PURPOSE or *:PURPOSE"))
        })?;
        let channel_kind = if kind == "*" { regard_model::consent::ANY_CHANNEL } else { kind };
        Ok(Self { channel_kind: channel_kind.to_owned(), purpose: purpose.to_owned() })
    }
}

impl<'de> Deserialize<'de> for ValuePart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value == "undefined" {
            return Ok(Self(None));
        }
        let told = || D::Error::custom(format!("{value} is neither a number nor \"undefined\""));
        value.as_f64().map(|number| Self(Some(number))).ok_or_else(told)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (number, code) = text.rsplit_once(' ').ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no amount: write a number and a currency, such as 14.99 USD"
            ))
        })?;
        let currency = code.parse().map_err(D::Error::custom)?;
        Money::parse_major(number, currency).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || {
            D::Error::custom(format!(
                "`{text}` is no length of time: write a number and s, m, h or d, such as 2h"
            ))
        };
        let unit = text.chars().last().ok_or_else(wrong)?;
        let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
        let unit_ms = match unit {
            's' => 1000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => regard_model::time::DAY_MS,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit_ms).filter(|&millis| millis >= 0).map(Self).ok_or_else(wrong)
    }
}
