//! Messages on their way out.

use serde::{Deserialize, Serialize};

use crate::customer::words;
use crate::invalid::{check_slug, check_text};
use crate::{Attributes, CustomerId, InteractionId, Invalid, OutboxId, Timestamp};

/// Longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// Longest body, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutboxState {
    /// Waits for its time or for another try.
    Pending,
    /// A node is handing it to the connector; a lease runs.
    Delivering,
    /// The provider took it.
    Delivered,
    /// A rule forbade it: no consent, no address.
    Suppressed,
    /// Given up: refused for good or tried too often. A person can requeue it.
    Dead,
    /// The provider may have taken it and cannot be asked. A person decides.
    Uncertain,
}
words!(OutboxState, "state": Pending = "pending", Delivering = "delivering", Delivered = "delivered",
    Suppressed = "suppressed", Dead = "dead", Uncertain = "uncertain");

impl OutboxState {
    /// Every state, in the order of a message's life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Delivering, Self::Delivered, Self::Suppressed, Self::Dead, Self::Uncertain];
}

/// A message for one customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutboxEntry {
    /// Names the entry.
    pub id: OutboxId,
    /// To whom.
    pub customer: CustomerId,
    /// What for; consent is asked by purpose.
    pub purpose: String,
    /// Name of the channel; none lets delivery choose one on which the customer has an address.
    pub channel: Option<String>,
    /// The text.
    pub body: String,
    /// What the connector may need besides: `subject`, `thread`, and whatever the channel documents.
    pub parameters: Attributes,
    /// Enqueues and sends once per key.
    pub idempotency_key: String,
    /// Who enqueued it: `hook-welcome`, a campaign, a person.
    pub origin: String,
    /// The interaction that brought it about.
    pub causation_id: Option<InteractionId>,
    /// Where it stands.
    pub state: OutboxState,
    /// Why it is suppressed, dead or uncertain, or what the last try said.
    pub reason: Option<String>,
    /// The provider's id for it, once delivered.
    pub provider_id: Option<String>,
    /// Tries so far.
    pub attempts: u32,
    /// Not before this instant.
    pub due_at: Timestamp,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

/// A message to enqueue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// To whom.
    pub customer: CustomerId,
    /// What for.
    pub purpose: String,
    /// Name of the channel, if one is wanted.
    pub channel: Option<String>,
    /// The text.
    pub body: String,
    /// What the connector may need besides.
    pub parameters: Attributes,
    /// Enqueues once per key.
    pub idempotency_key: String,
    /// Not before this instant; none for at once.
    pub not_before: Option<Timestamp>,
}

impl NewMessage {
    /// Refuses a message without purpose, key or text.
    pub fn checked(mut self) -> Result<Self, Invalid> {
        check_slug("purpose", &self.purpose, crate::consent::WORD_BYTES_MAX)?;
        check_text("idempotency_key", &self.idempotency_key, KEY_BYTES_MAX)?;
        if self.body.trim().is_empty() || self.body.len() > BODY_BYTES_MAX {
            return Err(Invalid::new("body", format!("has 1 to {BODY_BYTES_MAX} bytes")));
        }
        self.parameters = self.parameters.checked().map_err(|invalid| Invalid {
            field: invalid.field.replacen("attributes", "parameters", 1),
            ..invalid
        })?;
        Ok(self)
    }
}

/// One try to hand a message to a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveryAttempt {
    /// Which entry.
    pub entry: OutboxId,
    /// Counts from 1.
    pub number: u32,
    /// Name of the channel.
    pub channel: String,
    /// When the try began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// `sent`, `rejected`, `retry` or `uncertain`.
    pub outcome: String,
    /// What the connector or the provider said.
    pub detail: String,
}
