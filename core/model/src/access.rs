//! Who may do what, and the log of what was done.

use serde::{Deserialize, Serialize};

use crate::customer::words;
use crate::{Attributes, AuditId, Timestamp, TokenId};

/// What the bearer of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything: plugins, channels, tokens, erasure.
    Admin,
    /// Works with customers: reads and changes them, writes to them.
    Agent,
    /// Reads everything that is not a secret, evaluates metrics.
    Analyst,
    /// Hands in interactions, nothing else.
    Ingest,
}
words!(Role, "role": Admin = "admin", Agent = "agent", Analyst = "analyst", Ingest = "ingest");

/// An access token; the secret itself is known only to its bearer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Token {
    /// Names the token.
    pub id: TokenId,
    /// What its bearer may do.
    pub role: Role,
    /// A word to tell tokens apart.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// A line of the audit log. Each line carries the hash of the line before, so that a line taken out or changed
/// later shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Ascending.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who: `token:<id>`, `plugin:<id>`, `cli`.
    pub actor: String,
    /// What, as `noun.verbed`: `customer.merged`, `plugin.installed`, `call.denied`.
    pub action: String,
    /// To what: `customer:<id>`, `plugin:<id>`.
    pub subject: String,
    /// Details, without secrets.
    pub details: Attributes,
    /// SHA-256 over the previous line's hash and this line, in hex.
    pub hash: String,
}
