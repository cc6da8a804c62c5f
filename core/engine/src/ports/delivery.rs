//! Messages on their way out, and the channels that they take.

use std::sync::Arc;

use async_trait::async_trait;
use regard_model::{Channel, Consent, Identifier, OutboxEntry, OutboxId, OutboxState, Timestamp};

use super::log::Incoming;
use crate::error::StoreError;

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
#[async_trait]
pub trait Channels: Send + Sync {
    /// The channel called `name`.
    fn by_name(&self, name: &str) -> Option<Arc<Channel>>;
    /// All channels, by name.
    fn all(&self) -> Vec<Arc<Channel>>;
    /// The channel `name`, made without a connector when it is not there yet.
    async fn make(&self, name: &str) -> Result<Arc<Channel>, StoreError>;
}
