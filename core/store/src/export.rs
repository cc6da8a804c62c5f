//! Everything known about a customer, for the customer.

use regard_engine::StoreError;
use regard_engine::ports::InteractionFilter;
use regard_model::CustomerId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};

use crate::customers::{members_of, no_customer, read_all};
use crate::entity::{delivery_attempt, outbox};
use crate::failure::During;
use crate::metrics::observations_of;
use crate::open::Store;
use crate::outbox::{read_attempt, read_entries};
use crate::records::records_of;

/// Merges in one export; a customer with more of them is a defect of some matching.
const MERGES_MAX: u64 = 10_000;
/// Interactions that are read at a time.
const INTERACTIONS_PER_PAGE: u64 = 1_000;

impl Store {
    /// Everything that is stored about a customer, merged ones included, as one JSON document: the customer, the ids
    /// it was known by, merges, relationships, consents, interactions, observations, records, messages and their deliveries.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn export_customer(&self, id: CustomerId) -> Result<Value, StoreError> {
        let (db, during) = (&self.inner.db, "export a customer");
        let found = read_all(db, &[id], during).await?;
        let customer = found.get(id).cloned().ok_or_else(|| no_customer(id))?;
        let members: Vec<CustomerId> = found
            .rows
            .get(&customer.id.as_i64())
            .map(|rows| rows.iter().map(|row| CustomerId::from_i64(row.id)).collect())
            .unwrap_or_default();

        let filter = InteractionFilter { customer: Some(id), ..InteractionFilter::default() };
        let (mut interactions, mut before) = (Vec::new(), None);
        loop {
            let page = self.list_interactions(&filter, before, INTERACTIONS_PER_PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some((last.occurred_at, last.id));
            interactions.extend(page);
        }

        let entries = outbox::Entity::find()
            .filter(outbox::Column::CustomerId.in_subquery(members_of(id)))
            .order_by_asc(outbox::Column::Id)
            .all(db)
            .await
            .during(during)?;
        let mut messages = Vec::with_capacity(entries.len());
        for entry in read_entries(db, entries, during).await? {
            let attempts = delivery_attempt::Entity::find()
                .filter(delivery_attempt::Column::EntryId.eq(entry.id.as_i64()))
                .order_by_asc(delivery_attempt::Column::Id)
                .all(db)
                .await
                .during(during)?;
            let attempts: Vec<_> = attempts.into_iter().map(read_attempt).collect();
            messages.push(json!({ "message": entry, "attempts": attempts }));
        }

        Ok(json!({
            "customer": customer,
            "known_as": members,
            "merges": self.list_merges(Some(id), None, MERGES_MAX).await?,
            "relationships": self.list_relationships(id).await?,
            "consents": self.consent_ledger(id).await?,
            "interactions": interactions,
            "observations": observations_of(db, &members, during).await?,
            "records": records_of(db, id, during).await?,
            "messages": messages,
            "exported_at": self.now(),
        }))
    }
}
