//! What a customer allowed, as an append-only ledger.

use serde::{Deserialize, Serialize};

use crate::customer::words;
use crate::invalid::{check_slug, check_text};
use crate::{ConsentId, CustomerId, Invalid, Timestamp};

/// Matches every kind of channel in a consent entry.
pub const ANY_CHANNEL: &str = "any";
/// Messages that an order or a question by the customer calls for: receipts, answers, recalls.
pub const SERVICE: &str = "service";
/// Longest purpose, channel kind, basis or source, in bytes.
pub const WORD_BYTES_MAX: usize = 128;

/// Whether a purpose is allowed from this entry on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConsentState {
    /// Allowed.
    Granted,
    /// No longer allowed.
    Withdrawn,
}
words!(ConsentState, "state": Granted = "granted", Withdrawn = "withdrawn");

/// One line of the ledger; the newest line of a (purpose, channel kind) counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Consent {
    /// Names the line.
    pub id: ConsentId,
    /// Whose.
    pub customer: CustomerId,
    /// What for: `marketing`, `service`, `research`, ...
    pub purpose: String,
    /// Kind of channel it speaks of, such as `email`; `any` for all.
    pub channel_kind: String,
    /// Granted or withdrawn.
    pub state: ConsentState,
    /// Legal basis or form, such as `opt-in form` or `contract`.
    pub basis: String,
    /// Where it was given, such as a page or a letter.
    pub source: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A line to add to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConsent {
    /// What for: `marketing`, `service`, `research`, ...
    pub purpose: String,
    /// Kind of channel it speaks of, such as `email`; `any` for all.
    pub channel_kind: String,
    /// Granted or withdrawn.
    pub state: ConsentState,
    /// Legal basis or form, such as `opt-in form` or `contract`.
    pub basis: String,
    /// Where it was given, such as a page or a letter.
    pub source: String,
}

impl NewConsent {
    /// Refuses empty and overlong words.
    pub fn checked(self) -> Result<Self, Invalid> {
        check_slug("purpose", &self.purpose, WORD_BYTES_MAX)?;
        check_slug("channel_kind", &self.channel_kind, WORD_BYTES_MAX)?;
        check_text("basis", &self.basis, WORD_BYTES_MAX)?;
        check_text("source", &self.source, WORD_BYTES_MAX)?;
        Ok(self)
    }
}

/// Decides whether a message may go out, from a customer's ledger in any order.
///
/// The newest line that speaks of the purpose and of the channel's kind (or of any channel) counts, and of two of the
/// same age the withdrawal. Without such a line only the purpose `service` may be served: the customer asked for it.
pub fn allows(ledger: &[Consent], purpose: &str, channel_kind: &str) -> bool {
    ledger
        .iter()
        .filter(|line| line.purpose == purpose)
        .filter(|line| line.channel_kind == channel_kind || line.channel_kind == ANY_CHANNEL)
        .max_by_key(|line| (line.recorded_at, line.state == ConsentState::Withdrawn, line.id))
        .map_or(purpose == SERVICE, |newest| newest.state == ConsentState::Granted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: i64, purpose: &str, channel_kind: &str, state: ConsentState) -> Consent {
        Consent {
            id: ConsentId::from_i64(at),
            customer: CustomerId::from_i64(1),
            purpose: purpose.into(),
            channel_kind: channel_kind.into(),
            state,
            basis: "form".into(),
            source: "web".into(),
            recorded_at: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn the_newest_line_counts() {
        use ConsentState::{Granted, Withdrawn};
        assert!(!allows(&[], "marketing", "email"));
        assert!(allows(&[], SERVICE, "email"));
        let ledger = [line(2, "marketing", "any", Withdrawn), line(1, "marketing", "email", Granted)];
        assert!(!allows(&ledger, "marketing", "email"));
        let ledger = [line(2, "marketing", "email", Granted), line(1, "marketing", "any", Withdrawn)];
        assert!(allows(&ledger, "marketing", "email"));
        assert!(!allows(&ledger, "marketing", "phone"));
        assert!(!allows(&[line(1, SERVICE, "any", Withdrawn)], SERVICE, "email"));
    }
}
