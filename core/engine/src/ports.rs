//! What the engine needs from others: a store, plugins, a clock. The traits stand here, where they are used; `store`
//! and `host` implement them and the server puts the parts together.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regard_model::customer::CustomerChange;
use regard_model::interaction::Provenance;
use regard_model::outbox::NewMessage;
use regard_model::{
    Attributes, Channel, Consent, Customer, CustomerId, Identifier, Interaction, InteractionId, Kind, Metric,
    Money, Observation, OutboxEntry, OutboxId, OutboxState, Subject, Timestamp,
};

use crate::columns::Batch;
use crate::error::{PluginError, StoreError};
use crate::import::ImportMark;

/// Tells the time. Virtual in simulations and tests.
pub trait Clock: Send + Sync {
    /// This instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

// ---- the log ------------------------------------------------------------------------------------------------------

/// An interaction on its way into the log: valid, its channel known, its customer not resolved yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The channel.
    pub channel: regard_model::ChannelId,
    /// The source's own name for it; a repeat on the same channel is a duplicate.
    pub external_id: String,
    /// The customer, when the caller knows it.
    pub customer: Option<CustomerId>,
    /// By what the source knows the customer; the first known one decides, unknown ones are linked.
    pub identifiers: Vec<Identifier>,
    /// What happened.
    pub kind: Kind,
    /// When.
    pub occurred_at: Timestamp,
    /// Conversation.
    pub thread: Option<String>,
    /// Value that changed hands.
    pub amount: Option<Money>,
    /// Everything else.
    pub attributes: Attributes,
    /// Whose information it is.
    pub provenance: Provenance,
    /// What brought it about.
    pub causation_id: Option<InteractionId>,
    /// The system it came from, recorded on a customer that has to be made.
    pub source: String,
}

/// What became of one [`Incoming`].
#[derive(Debug, Clone, PartialEq)]
pub enum Appended {
    /// Stored.
    Accepted {
        /// Its id.
        id: InteractionId,
        /// Its customer, after merges.
        customer: Option<CustomerId>,
    },
    /// (channel, external id) was there already; nothing changed.
    Duplicate {
        /// The id of the one that was there.
        id: InteractionId,
    },
    /// Only the store could see that it is wrong, such as an unknown customer.
    Rejected(regard_model::Invalid),
}

/// The append-only log of interactions.
#[async_trait]
pub trait Log: Send + Sync {
    /// Resolves and appends all of `batch` in one transaction that is durable when this returns; one outcome per
    /// item, in order. `mark` is stored in the same transaction, so that an import resumes where it was.
    async fn append(
        &self,
        batch: Vec<Incoming>,
        mark: Option<ImportMark>,
    ) -> Result<Vec<Appended>, StoreError>;
}

// ---- dispatch -----------------------------------------------------------------------------------------------------

/// The streams that a subscriber follows, each in the order of becoming durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Appended interactions.
    Interactions,
    /// Changed customers.
    Customers,
    /// Observations of metrics.
    Observations,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Interactions, Self::Customers, Self::Observations];

    /// The word kept in a database row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactions => "interactions",
            Self::Customers => "customers",
            Self::Observations => "observations",
        }
    }
}

/// Something that a hook may want to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An interaction was appended.
    InteractionAppended(Interaction),
    /// A customer was made, changed, merged or unmerged; as it is now.
    CustomerChanged(Customer),
    /// A metric was observed.
    MetricObserved(Observation),
}

/// Which events of a stream are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The stream.
    pub stream: Stream,
    /// For interactions the kind, for observations the metric; none for all.
    pub name: Option<String>,
}

impl Subscription {
    /// Whether `event` is wanted.
    pub fn wants(&self, event: &Event) -> bool {
        let (stream, name) = match event {
            Event::InteractionAppended(interaction) => (Stream::Interactions, interaction.kind.as_str()),
            Event::CustomerChanged(_) => (Stream::Customers, ""),
            Event::MetricObserved(observation) => (Stream::Observations, observation.metric.as_str()),
        };
        self.stream == stream && self.name.as_deref().is_none_or(|wanted| wanted == name)
    }
}

/// What a plugin's call changes, collected while it runs and made durable in one transaction, or dropped.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Plugin that caused them.
    pub origin: String,
    /// Changes of customers, in order; each names the version it was made against.
    pub customers: Vec<(CustomerId, CustomerChange)>,
    /// Messages for the outbox, each under an id given out beforehand.
    pub messages: Vec<(OutboxId, NewMessage)>,
    /// Bytes that the plugin keeps; `None` deletes the key.
    pub kept: Vec<(String, Option<Vec<u8>>)>,
}

impl Effects {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.customers.is_empty() && self.messages.is_empty() && self.kept.is_empty()
    }
}

/// How far a subscriber has come in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The plugin.
    pub subscriber: String,
    /// The stream.
    pub stream: Stream,
    /// Last position that is handled.
    pub position: i64,
}

/// The streams of what happened, and the marks of who has handled what.
#[async_trait]
pub trait Feed: Send + Sync {
    /// Where `subscriber` stands. A subscriber that is not known starts after what is there now, so a plugin installed
    /// today does not write to customers about last year.
    async fn position(&self, subscriber: &str, stream: Stream) -> Result<i64, StoreError>;

    /// At most `limit` events after `position`, with their positions. `names` narrows to kinds or metrics; empty is all.
    /// The returned position is the last one looked at, so that a subscriber skips what it did not want.
    async fn after(
        &self,
        stream: Stream,
        position: i64,
        names: &[String],
        limit: usize,
    ) -> Result<(Vec<Event>, i64), StoreError>;

    /// Makes `effects` and `progress` durable together. `Conflict` when a customer changed since the plugin read it:
    /// nothing is stored then, and the plugin has to be called again.
    async fn commit(&self, progress: Option<&Progress>, effects: Effects) -> Result<(), StoreError>;
}

// ---- outbox and delivery ------------------------------------------------------------------------------------------

/// An entry that this node may deliver until its lease ends, with what the decision needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The entry.
    pub entry: OutboxEntry,
    /// Whether an earlier lease ended without a word: its node may have sent the message.
    pub abandoned: bool,
    /// By what the customer is addressed; empty when the customer is gone.
    pub identifiers: Vec<Identifier>,
    /// The customer's consent ledger.
    pub consents: Vec<Consent>,
}

/// What became of a claimed entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The entry.
    pub entry: OutboxId,
    /// Its new state; `Pending` for another try.
    pub state: OutboxState,
    /// Why.
    pub reason: Option<String>,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// When to try again, for `Pending`.
    pub due_at: Option<Timestamp>,
    /// The try, when the connector was called.
    pub attempt: Option<regard_model::DeliveryAttempt>,
    /// The receipt, an interaction again, appended in the same transaction.
    pub receipt: Option<Incoming>,
}

/// Messages on their way out.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Leases at most `limit` due entries to this node until `lease_until`; entries whose lease has ended count as due.
    async fn claim(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Writes down what became of them, all in one transaction.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError>;

    /// When the next entry is due; none when nothing waits.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// The channels, kept in memory by the store.
pub trait Channels: Send + Sync {
    /// The channel called `name`.
    fn by_name(&self, name: &str) -> Option<Arc<Channel>>;
    /// All channels, by name.
    fn all(&self) -> Vec<Arc<Channel>>;
}

// ---- what plugins may read ----------------------------------------------------------------------------------------

/// Which interactions a plugin asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InteractionFilter {
    /// Of this customer, merges resolved.
    pub customer: Option<CustomerId>,
    /// On the channel of this name.
    pub channel: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Occurred at or after.
    pub since: Option<Timestamp>,
    /// Occurred before.
    pub until: Option<Timestamp>,
}

/// What a plugin's host functions read; the host checks grants before it asks.
#[async_trait]
pub trait Reads: Send + Sync {
    /// The customer that `id` resolves to.
    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, StoreError>;
    /// The customer known by `identifier`.
    async fn customer_by(&self, identifier: &Identifier) -> Result<Option<Customer>, StoreError>;
    /// Newest first; `before` is the last one of the page before, by (occurred-at, id).
    async fn interactions(
        &self,
        filter: &InteractionFilter,
        before: Option<(Timestamp, InteractionId)>,
        limit: usize,
    ) -> Result<Vec<Interaction>, StoreError>;
    /// The newest observation of `metric` for `subject`.
    async fn latest(&self, metric: &str, subject: Subject) -> Result<Option<Observation>, StoreError>;
    /// Bytes that `plugin` keeps under `key`.
    async fn kept(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// A secret, unsealed: of the channel when one is given and has it, else of the plugin.
    async fn secret(
        &self,
        plugin: &str,
        channel: Option<regard_model::ChannelId>,
        name: &str,
    ) -> Result<Option<String>, StoreError>;
    /// Writes a line to the audit log, for calls that were denied.
    async fn audit(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        details: Attributes,
    ) -> Result<(), StoreError>;
}

// ---- what evaluators read -----------------------------------------------------------------------------------------

/// Which interactions an evaluation reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactQuery {
    /// Kinds that count; empty for all.
    pub kinds: Vec<String>,
    /// Occurred within.
    pub window: regard_model::Window,
}

/// Interactions as columns, in the order of becoming durable; one entry per row in each list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The customer after merges; rows without a customer are left out.
    pub customers: Vec<CustomerId>,
    /// When, in milliseconds since 1970.
    pub occurred_at_ms: Vec<i64>,
    /// Minor units; 0 where there is no amount.
    pub amount_minor: Vec<i64>,
    /// Place in `currency_names`; 0 where there is no amount, because entry 0 is the empty text.
    pub currency: Vec<u8>,
    /// Codes of the currencies; entry 0 is empty.
    pub currency_names: Vec<String>,
    /// Place in `kind_names`.
    pub kind: Vec<u32>,
    /// The kinds.
    pub kind_names: Vec<String>,
    /// Place in `channel_names`.
    pub channel: Vec<u32>,
    /// The channels.
    pub channel_names: Vec<String>,
    /// Last interaction stored when the read began.
    pub watermark: Option<InteractionId>,
}

/// Columns over the log.
#[async_trait]
pub trait FactSource: Send + Sync {
    /// Reads the interactions that `query` asks for.
    async fn facts(&self, query: &FactQuery) -> Result<Facts, StoreError>;
}

// ---- plugins ------------------------------------------------------------------------------------------------------

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
    /// HTTP status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a connector hands in: not checked yet, and the sender not normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Handed {
    /// The source's own name for it.
    pub external_id: String,
    /// Scheme and value, as the source gave them.
    pub sender: Option<(String, String)>,
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
