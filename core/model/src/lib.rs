//! The nouns of Regard: what a customer, a channel, an interaction or a metric is.
//!
//! Nothing here does I/O or waits. A value of one of these types is valid by construction: text from outside is
//! parsed once, here, and everything behind works with the parsed type.
//!
//! In the order a reader should meet them:
//!
//! - [`id`]: typed identifiers that sort by time
//! - [`time`]: instants in milliseconds, windows and horizons
//! - [`money`]: amounts in minor units with an ISO 4217 currency
//! - [`attributes`]: named values on customers and interactions
//! - [`identifier`]: how a source names a customer, and how the name is normalised
//! - [`customer`]: customers, relationships, merges
//! - [`consent`]: what a customer allowed
//! - [`channel`]: connected endpoints
//! - [`interaction`]: what happened
//! - [`metric`]: questions and their observed answers
//! - [`record`]: objects of the types that plugins declare
//! - [`outbox`]: messages on their way out
//! - [`schedule`]: when plugins are called for no other reason than the time
//! - [`plugin`]: installed extensions and scripts
//! - [`access`]: roles, tokens and the audit log

pub mod access;
pub mod attributes;
pub mod channel;
pub mod consent;
pub mod customer;
pub mod id;
pub mod identifier;
pub mod interaction;
pub mod invalid;
pub mod metric;
pub mod money;
pub mod outbox;
pub mod plugin;
pub mod record;
pub mod schedule;
pub mod time;

pub use access::{AuditEntry, Role};
pub use attributes::Attributes;
pub use channel::Channel;
pub use consent::{Consent, ConsentState};
pub use customer::{Customer, CustomerKind, LifecycleStage, Merge, Relationship};
pub use id::{
    AuditId, ChannelId, ConsentId, CustomerId, EvaluationId, InteractionId, MergeId, ObservationId, OutboxId,
    RecordId, TokenId,
};
pub use identifier::Identifier;
pub use interaction::{Interaction, Kind, Provenance};
pub use invalid::Invalid;
pub use metric::{Evaluation, Metric, Observation, Subject, SubjectKind, Window};
pub use money::{Currency, Money};
pub use outbox::{DeliveryAttempt, OutboxEntry, OutboxState};
pub use plugin::{PluginRecord, PluginVersion, ScriptRecord, SignedBy};
pub use record::{Record, RecordType};
pub use schedule::{Schedule, ScheduleDeclaration};
pub use time::{Horizon, Timestamp};
