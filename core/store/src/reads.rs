//! What plugins may read, as the engine's port asks for it.

use std::sync::Arc;

use async_trait::async_trait;
use regard_engine::StoreError;
use regard_engine::ports::{InteractionFilter, Reads, RecordPlace, RecordQuery};
use regard_model::{
    Attributes, ChannelId, Customer, CustomerId, Identifier, Interaction, InteractionId, Observation, Record,
    RecordId, RecordType, Subject, Timestamp,
};

use crate::open::Store;
use crate::secrets::SecretOwner;

#[async_trait]
impl Reads for Store {
    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        self.find_customer(id).await
    }

    async fn customer_by(&self, identifier: &Identifier) -> Result<Option<Customer>, StoreError> {
        self.find_customer_by(identifier).await
    }

    async fn interactions(
        &self,
        filter: &InteractionFilter,
        before: Option<(Timestamp, InteractionId)>,
        limit: usize,
    ) -> Result<Vec<Interaction>, StoreError> {
        self.list_interactions(filter, before, u64::try_from(limit).unwrap_or(u64::MAX)).await
    }

    async fn latest(&self, metric: &str, subject: Subject) -> Result<Option<Observation>, StoreError> {
        self.latest_observation(metric, subject, None).await
    }

    async fn record_type(&self, kind: &str) -> Result<Option<Arc<RecordType>>, StoreError> {
        self.find_record_type(kind).await
    }

    async fn record(&self, kind: &str, id: RecordId) -> Result<Option<Record>, StoreError> {
        self.find_record(kind, id).await
    }

    async fn records(
        &self,
        query: &RecordQuery,
        after: Option<&RecordPlace>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.list_records(query, after, u64::try_from(limit).unwrap_or(u64::MAX)).await
    }

    async fn kept(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.find_kept(plugin, key).await
    }

    async fn kept_keys(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.list_kept_keys(plugin, prefix, after, u64::try_from(limit).unwrap_or(u64::MAX)).await
    }

    async fn kept_bytes(&self, plugin: &str) -> Result<u64, StoreError> {
        self.count_kept_bytes(plugin).await
    }

    async fn secret(
        &self,
        plugin: &str,
        channel: Option<ChannelId>,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        if let Some(id) = channel
            && let Some(secret) = self.find_secret(&SecretOwner::Channel(id), name).await?
        {
            return Ok(Some(secret));
        }
        self.find_secret(&SecretOwner::Plugin(plugin.to_owned()), name).await
    }

    async fn audit(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        details: Attributes,
    ) -> Result<(), StoreError> {
        self.append_audit(actor, action, subject, details).await.map(|_| ())
    }
}
