//! What happens, step by step, and what must come of each.

use std::collections::BTreeMap;

use regard_engine::ports::Webhook;
use regard_model::{Attributes, Kind, Money, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::TEST_CHANNEL;

/// A step as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct StepPart {
    pub(in crate::scenario) interaction: Option<InteractionPart>,
    pub(in crate::scenario) observation: Option<ObservationPart>,
    pub(in crate::scenario) customer: Option<ChangePart>,
    pub(in crate::scenario) wait: Option<Wait>,
    pub(in crate::scenario) webhook: Option<WebhookPart>,
    pub(in crate::scenario) poll: Option<PollPart>,
    pub(in crate::scenario) send: Option<SendPart>,
    pub(in crate::scenario) evaluate: Option<EvaluatePart>,
    #[serde(default)]
    pub(in crate::scenario) expect: StepExpect,
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
pub(in crate::scenario) struct WebhookPart {
    #[serde(default = "test_channel")]
    pub(in crate::scenario) channel: String,
    pub(in crate::scenario) method: Option<String>,
    #[serde(default)]
    pub(in crate::scenario) path: String,
    #[serde(default)]
    pub(in crate::scenario) query: String,
    #[serde(default)]
    pub(in crate::scenario) headers: BTreeMap<String, String>,
    pub(in crate::scenario) json: Option<Value>,
    pub(in crate::scenario) body: Option<String>,
    pub(in crate::scenario) file: Option<String>,
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

fn test_channel() -> String {
    TEST_CHANNEL.to_owned()
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
