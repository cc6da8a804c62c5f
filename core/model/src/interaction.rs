//! What happened between a customer and the business. Never changed once stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::customer::words;
use crate::invalid::check_text;
use crate::{Attributes, CustomerId, InteractionId, Invalid, Money, Timestamp};

/// Longest kind, in bytes.
pub const KIND_BYTES_MAX: usize = 64;
/// Longest external id, in bytes.
pub const EXTERNAL_ID_BYTES_MAX: usize = 256;
/// How far ahead of our clock a source's clock may be, in milliseconds: one day covers a missing time zone.
pub const AHEAD_MS_MAX: i64 = crate::time::DAY_MS;

/// What happened, as `noun.verbed`: `order.placed`, `message.received`, `page.viewed`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "order.placed")]
pub struct Kind(String);

impl Kind {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Kind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
                })
        };
        if text.len() <= KIND_BYTES_MAX && text.contains('.') && text.split('.').all(part) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(
            "kind",
            format!(
                "`{}` is no kind: write a noun and what happened to it, such as order.placed (lower case, at most {KIND_BYTES_MAX} bytes)",
                text.chars().take(KIND_BYTES_MAX).collect::<String>().escape_debug()
            ),
        ))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|invalid: Invalid| serde::de::Error::custom(invalid.reason))
    }
}

/// Whose information it is: about the customer, meant for the customer, or from the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// Observed about the customer: an order, a visit.
    #[default]
    Of,
    /// Made for the customer: a message we sent, an offer.
    For,
    /// Told by the customer: a message, a rating, a complaint.
    By,
}
words!(Provenance, "provenance": Of = "of", For = "for", By = "by");

/// Something that happened on a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Interaction {
    /// Names the interaction; ascending in the order of becoming durable.
    pub id: InteractionId,
    /// The customer after merges; none when nobody is known behind it.
    pub customer: Option<CustomerId>,
    /// Name of the channel.
    pub channel: String,
    /// The source's own name for it, unique on the channel.
    pub external_id: String,
    /// What happened.
    pub kind: Kind,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was stored here.
    pub received_at: Timestamp,
    /// Conversation it belongs to, as the source names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Value that changed hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// Everything else.
    pub attributes: Attributes,
    /// Whose information it is.
    pub provenance: Provenance,
    /// The interaction that brought this one about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<InteractionId>,
}

/// Refuses a source's own id that is empty, overlong or has control characters.
pub fn check_external_id(text: &str) -> Result<(), Invalid> {
    check_text("external_id", text, EXTERNAL_ID_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_noun_and_verb() {
        for good in ["order.placed", "message.received", "call-log.entry_added", "a.b.c"] {
            assert!(good.parse::<Kind>().is_ok(), "{good}");
        }
        for bad in
            ["", "order", "Order.placed", "order.", ".placed", "order placed", "order.1", &"a.b".repeat(40)]
        {
            assert!(bad.parse::<Kind>().is_err(), "{bad}");
        }
    }
}
