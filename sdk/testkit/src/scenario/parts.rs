//! The shapes of a scenario file: who and what is there when it begins, and what the network answers.
//!
//! - [`steps`]: what happens
//! - [`ending`]: what must be so at the end

mod ending;
mod steps;

use std::collections::BTreeMap;

use regard_model::{Attributes, Identifier, LifecycleStage};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use ending::{CustomerEnding, Ending, MessageEnding, RecordEnding};
pub use steps::{
    Action, ChangePart, EvaluatePart, InteractionPart, ObservationPart, OutcomeWord, PollPart, SendPart,
    Step, StepExpect, ValuePart, Wait, WebhookCall,
};
pub(super) use steps::{StepPart, WebhookPart};

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
