//! The log: interactions handed in, and what became of them.

use async_trait::async_trait;
use regard_model::interaction::Provenance;
use regard_model::{Attributes, CustomerId, Identifier, InteractionId, Kind, Money, Timestamp};

use crate::error::StoreError;
use crate::import::ImportMark;

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
    /// The name of a customer who has to be made; empty when nobody knows it.
    pub customer_name: String,
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
