//! What happens, in order, for those who follow it, and the changes that they answer with.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use regard_model::customer::CustomerChange;
use regard_model::outbox::NewMessage;
use regard_model::record::RecordChange;
use regard_model::{Customer, CustomerId, Interaction, Observation, OutboxId};

use crate::error::StoreError;

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
    /// Records made, changed and deleted, in order; each change names the version it was made against.
    pub records: Vec<RecordChange>,
    /// Bytes that the plugin keeps; `None` deletes the key.
    pub kept: Vec<(String, Option<Vec<u8>>)>,
    /// Digest of the version that made them. What a version kept is refused once another one serves, because that one
    /// may keep things in another shape.
    pub digest: Option<String>,
    /// Keeps the version in service until the effects are stored.
    pub lease: Lease,
}

/// Holds a plugin's version in service for as long as it lives: no other one takes its place meanwhile.
#[derive(Clone, Default)]
pub struct Lease(Option<Arc<dyn Any + Send + Sync>>);

impl Lease {
    /// A lease that ends when `held` is dropped.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(held)))
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Lease(held)" } else { "Lease(none)" })
    }
}

/// A lease says nothing about what is stored.
impl PartialEq for Lease {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Effects {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.customers.is_empty()
            && self.messages.is_empty()
            && self.records.is_empty()
            && self.kept.is_empty()
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

    /// Makes `effects` and `progress` durable together. `Conflict` when a customer or a record changed since the plugin
    /// read it, or another version of the plugin serves by now: nothing is stored then, and the plugin has to be called
    /// again.
    async fn commit(&self, progress: Option<&Progress>, effects: Effects) -> Result<(), StoreError>;
}
