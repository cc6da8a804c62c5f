//! What plugins and evaluators may read.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use regard_model::{
    Attributes, Customer, CustomerId, Identifier, Interaction, InteractionId, Observation, Record, RecordId,
    RecordType, Subject, Timestamp,
};

use crate::error::StoreError;

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

/// Which records a caller asks for, and in which order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordQuery {
    /// Name of their type.
    pub kind: String,
    /// Of this customer, merges resolved.
    pub customer: Option<CustomerId>,
    /// Values that indexed fields must have; `null` is for those that have none.
    pub equal: BTreeMap<String, serde_json::Value>,
    /// By an indexed field; newest first without one.
    pub sort: Option<RecordSort>,
}

/// Sorts records by an indexed field: those without a value first, then false before true, numbers by size, texts by
/// their characters' numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSort {
    /// The field.
    pub field: String,
    /// Whether the other way round.
    pub descending: bool,
}

/// Where a page of records ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordPlace {
    /// The last record.
    pub id: RecordId,
    /// Its value of the field that is sorted by; `null` without one.
    pub value: serde_json::Value,
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
    /// The type of records called `kind`.
    async fn record_type(&self, kind: &str) -> Result<Option<Arc<RecordType>>, StoreError>;
    /// A record of that type.
    async fn record(&self, kind: &str, id: RecordId) -> Result<Option<Record>, StoreError>;
    /// Records in the order of the query; `after` is where the page before ended.
    async fn records(
        &self,
        query: &RecordQuery,
        after: Option<&RecordPlace>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;
    /// Bytes that `plugin` keeps under `key`.
    async fn kept(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keys under which `plugin` keeps bytes: those that begin with `prefix`, ascending, from the one after `after` on.
    async fn kept_keys(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;
    /// How many bytes `plugin` keeps altogether, keys included.
    async fn kept_bytes(&self, plugin: &str) -> Result<u64, StoreError>;
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
