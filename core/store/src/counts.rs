//! How much there is, for reports and gauges.

use regard_engine::StoreError;
use regard_model::OutboxState;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde::Serialize;

use crate::entity::{channel, customer, evaluation, identifier, interaction, observation};
use crate::failure::During;
use crate::open::Store;

/// How much there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Customers after merges.
    pub customers: u64,
    /// Customers that are read as another one.
    pub merged: u64,
    /// Identifiers.
    pub identifiers: u64,
    /// Channels.
    pub channels: u64,
    /// Interactions.
    pub interactions: u64,
    /// Runs of evaluators.
    pub evaluations: u64,
    /// Observations.
    pub observations: u64,
    /// Outbox entries by state, in the order of a message's life.
    pub outbox: Vec<(OutboxState, u64)>,
}

impl Store {
    /// Counts everything. Reads whole indexes: fine for a report, not for every request.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let (db, during) = (&self.inner.db, "count what there is");
        let merged = customer::Entity::find()
            .filter(customer::Column::MergedInto.is_not_null())
            .count(db)
            .await
            .during(during)?;
        Ok(Counts {
            customers: customer::Entity::find().count(db).await.during(during)?.saturating_sub(merged),
            merged,
            identifiers: identifier::Entity::find().count(db).await.during(during)?,
            channels: channel::Entity::find().count(db).await.during(during)?,
            interactions: interaction::Entity::find().count(db).await.during(during)?,
            evaluations: evaluation::Entity::find().count(db).await.during(during)?,
            observations: observation::Entity::find().count(db).await.during(during)?,
            outbox: self.count_outbox().await?,
        })
    }
}
