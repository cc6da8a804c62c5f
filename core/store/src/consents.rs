//! The consent ledger: lines are added, never changed.

use regard_engine::StoreError;
use regard_model::consent::{Consent, NewConsent};
use regard_model::{ConsentId, CustomerId, Timestamp};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use crate::customers::{IDS_PER_STATEMENT, members_of, no_customer, resolve_roots};
use crate::entity::consent::{Column, Entity, Model};
use crate::failure::{During, parse};
use crate::open::Store;

impl Store {
    /// Adds a line to a customer's ledger.
    ///
    /// # Errors
    /// `NotFound` for an unknown customer.
    pub async fn record_consent(&self, customer: CustomerId, new: NewConsent) -> Result<Consent, StoreError> {
        let mut lines = self.record_consents(vec![(customer, new)]).await?;
        lines.pop().ok_or_else(|| no_customer(customer))
    }

    /// Adds lines to the ledgers of several customers, all or none of them.
    ///
    /// # Errors
    /// `NotFound` for an unknown customer.
    pub async fn record_consents(
        &self,
        new: Vec<(CustomerId, NewConsent)>,
    ) -> Result<Vec<Consent>, StoreError> {
        let during = "record a consent";
        let write = self.begin(during).await?;
        let roots = resolve_roots(&*write, new.iter().map(|(id, _)| id.as_i64()), during).await?;
        let now = self.now();
        let (mut rows, mut lines) = (Vec::with_capacity(new.len()), Vec::with_capacity(new.len()));
        for (customer, consent) in new {
            let consent = consent.checked()?;
            let root = *roots.get(&customer.as_i64()).ok_or_else(|| no_customer(customer))?;
            let row = Model {
                id: self.inner.ids.next::<()>(now).as_i64(),
                customer_id: customer.as_i64(),
                purpose: consent.purpose,
                channel_kind: consent.channel_kind,
                state: consent.state.as_str().to_owned(),
                basis: consent.basis,
                source: consent.source,
                recorded_at: now.as_millis(),
            };
            lines.push(read(row.clone(), root, during)?);
            rows.push(row.into_active_model());
        }
        while !rows.is_empty() {
            let chunk: Vec<_> = rows.drain(..rows.len().min(IDS_PER_STATEMENT)).collect();
            Entity::insert_many(chunk).exec_without_returning(&*write).await.during(during)?;
        }
        write.commit().await?;
        Ok(lines)
    }

    /// A customer's ledger after merges, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn consent_ledger(&self, customer: CustomerId) -> Result<Vec<Consent>, StoreError> {
        ledger_of(&self.inner.db, customer, "read a consent ledger").await
    }
}

/// The ledger of everything that is read as `customer`, oldest first.
pub(crate) async fn ledger_of<C: ConnectionTrait>(
    db: &C,
    customer: CustomerId,
    during: &'static str,
) -> Result<Vec<Consent>, StoreError> {
    let rows = Entity::find()
        .filter(Column::CustomerId.in_subquery(members_of(customer)))
        .order_by_asc(Column::RecordedAt)
        .order_by_asc(Column::Id)
        .all(db)
        .await
        .during(during)?;
    let roots = resolve_roots(db, rows.iter().map(|row| row.customer_id), during).await?;
    rows.into_iter()
        .map(|row| {
            let root = roots.get(&row.customer_id).copied().unwrap_or(CustomerId::from_i64(row.customer_id));
            read(row, root, during)
        })
        .collect()
}

fn read(row: Model, customer: CustomerId, during: &'static str) -> Result<Consent, StoreError> {
    Ok(Consent {
        id: ConsentId::from_i64(row.id),
        customer,
        purpose: row.purpose,
        channel_kind: row.channel_kind,
        state: parse(during, &row.state)?,
        basis: row.basis,
        source: row.source,
        recorded_at: Timestamp::from_millis(row.recorded_at),
    })
}
