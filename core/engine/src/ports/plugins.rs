//! Plugins, as the engine calls them: hooks, connectors, evaluators.

use std::time::Duration;

use async_trait::async_trait;
use regard_model::{Attributes, Channel, Metric, Schedule, Timestamp};

use super::dispatch::{Effects, Event, Subscription};
use crate::columns::Batch;
use crate::error::PluginError;

/// A webhook call, as it came over HTTP; header names are lower-case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `POST`, ...
    pub method: String,
    /// Path below the channel's address.
    pub path: String,
    /// Query string without the question mark.
    pub query: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a connector answers to a webhook call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookReply {
    /// HTTP status; 0 says nothing.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl WebhookReply {
    /// The status that the caller sees: a connector that says nothing is content.
    pub const fn http_status(&self) -> u16 {
        if self.status == 0 { 200 } else { self.status }
    }
}

/// What a connector hands in: not checked yet, and the sender not normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Handed {
    /// The source's own name for it.
    pub external_id: String,
    /// Scheme and value, as the source gave them.
    pub sender: Option<(String, String)>,
    /// Further names of the sender.
    pub aliases: Vec<(String, String)>,
    /// How the sender is called, for a customer who has to be made.
    pub sender_name: Option<String>,
    /// What happened.
    pub kind: String,
    /// When, in milliseconds since 1970.
    pub occurred_at_ms: i64,
    /// Conversation.
    pub thread: Option<String>,
    /// Minor units and currency code.
    pub amount: Option<(i64, String)>,
    /// Everything else.
    pub attributes: Attributes,
}

/// A page of what a connector found at its provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Polled {
    /// What it found.
    pub items: Vec<Handed>,
    /// Where to go on.
    pub cursor: Option<Vec<u8>>,
    /// Whether there is more at once.
    pub more: bool,
}

/// What a connector can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Takes webhooks.
    pub receives: bool,
    /// Can be polled.
    pub polls: bool,
    /// Sends.
    pub sends: bool,
    /// Knows conversations.
    pub threads: bool,
    /// Tells what became of a message.
    pub receipts: bool,
    /// Its provider takes a repeated idempotency key once.
    pub idempotent: bool,
    /// The identifier scheme by which it addresses customers.
    pub address_scheme: String,
    /// Longest text, in characters.
    pub text_limit: Option<u32>,
}

/// A message for a connector to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Outbound {
    /// The same message has the same key.
    pub idempotency_key: String,
    /// Value of the identifier by which the channel addresses the customer.
    pub recipient: String,
    /// Conversation.
    pub thread: Option<String>,
    /// Subject line.
    pub subject: Option<String>,
    /// The text.
    pub text: String,
    /// Whatever the channel documents.
    pub attributes: Attributes,
}

/// What a connector says about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it, under this id.
    Sent(String),
    /// It will never be taken.
    Rejected(String),
    /// Not this time.
    Retry {
        /// What the provider said.
        reason: String,
        /// When the provider wants to be asked again.
        after: Option<Duration>,
    },
    /// Nobody knows.
    Uncertain(String),
}

/// Hooks: plugins that react to events.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Ids of the hooks in service, with what they want.
    fn subscribers(&self) -> Vec<(String, Vec<Subscription>)>;
    /// When hooks in service want to be called for no other reason than the time, by plugin.
    fn schedules(&self) -> Vec<(String, Vec<Schedule>)>;
    /// Hands `events` to the hook and returns what it changes; nothing is stored yet.
    async fn handle(&self, plugin: &str, events: &[Event]) -> Result<Effects, PluginError>;
}

/// Connectors: plugins that serve channels.
#[async_trait]
pub trait Connectors: Send + Sync {
    /// What the connector `plugin` can do; none when it is not in service.
    fn features(&self, plugin: &str) -> Option<Features>;
    /// Hands a webhook call to the channel's connector. The effects (kept bytes) go into the store after the items.
    async fn receive(
        &self,
        channel: &Channel,
        webhook: Webhook,
    ) -> Result<(Vec<Handed>, WebhookReply, Effects), PluginError>;
    /// Asks the channel's connector for what is new.
    async fn poll(
        &self,
        channel: &Channel,
        cursor: Option<Vec<u8>>,
        limit: u32,
    ) -> Result<(Polled, Effects), PluginError>;
    /// Has the channel's connector send a message.
    async fn send(&self, channel: &Channel, message: Outbound) -> Result<(Outcome, Effects), PluginError>;
}

/// Evaluators: plugins that compute metrics.
#[async_trait]
pub trait Evaluators: Send + Sync {
    /// The metrics of all evaluators in service, by name.
    fn metrics(&self) -> Vec<Metric>;
    /// SHA-256 of the code behind `metric`, in hex, and the plugin's id and version as `id@version`.
    fn lineage(&self, metric: &str) -> Option<(String, String)>;
    /// A new accumulator. `parameters` are checked against the metric's schema; the checked ones, defaults filled in, come back.
    async fn open(
        &self,
        metric: &str,
        parameters: serde_json::Value,
    ) -> Result<(Box<dyn Accumulator>, serde_json::Value), PluginError>;
}

/// A run of an evaluator. Calls follow the contract's `regard:kpi/evaluator`.
#[async_trait]
pub trait Accumulator: Send {
    /// Adds rows; `groups[i]` is the subject of row i, below `group_count`.
    async fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), PluginError>;
    /// Adds another accumulator's state; its group i is `remap[i]` here.
    async fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), PluginError>;
    /// Everything added so far, for [`Accumulator::merge`].
    async fn state(&mut self) -> Result<Vec<u8>, PluginError>;
    /// One row per group: column `value` and further ones.
    async fn finish(&mut self, as_of: Timestamp) -> Result<Batch, PluginError>;
    /// Fitted parameters, after `finish`.
    async fn model(&mut self) -> Result<Option<serde_json::Value>, PluginError>;
}
