//! Reading the log: by customer, channel, kind and time, newest first.

use regard_engine::StoreError;
use regard_engine::ports::InteractionFilter;
use regard_model::{CustomerId, Interaction, InteractionId, Money, Timestamp};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use crate::customers::{members_of, resolve_roots};
use crate::entity::channel;
use crate::entity::interaction::{Column, Entity, Model};
use crate::failure::{During, parse};
use crate::json;
use crate::open::Store;

impl Store {
    /// At most `limit` interactions, newest first; `before` is the last one of the page before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_interactions(
        &self,
        filter: &InteractionFilter,
        before: Option<(Timestamp, InteractionId)>,
        limit: u64,
    ) -> Result<Vec<Interaction>, StoreError> {
        let during = "list interactions";
        let mut query =
            chosen(filter).order_by_desc(Column::OccurredAt).order_by_desc(Column::Id).limit(limit);
        if let Some((at, id)) = before {
            let earlier =
                Condition::all().add(Column::OccurredAt.eq(at.as_millis())).add(Column::Id.lt(id.as_i64()));
            query = query
                .filter(Column::OccurredAt.lte(at.as_millis()))
                .filter(Condition::any().add(Column::OccurredAt.lt(at.as_millis())).add(earlier));
        }
        let rows = query.all(&self.inner.db).await.during(during)?;
        self.read_interactions(&self.inner.db, rows, during).await
    }

    /// Everything that happened with a customer, on all channels and after merges, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn timeline(
        &self,
        customer: CustomerId,
        before: Option<(Timestamp, InteractionId)>,
        limit: u64,
    ) -> Result<Vec<Interaction>, StoreError> {
        let filter = InteractionFilter { customer: Some(customer), ..InteractionFilter::default() };
        self.list_interactions(&filter, before, limit).await
    }

    /// The interaction `id`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_interaction(&self, id: InteractionId) -> Result<Option<Interaction>, StoreError> {
        let during = "read an interaction";
        let row = Entity::find_by_id(id.as_i64()).one(&self.inner.db).await.during(during)?;
        Ok(self.read_interactions(&self.inner.db, row.into_iter().collect(), during).await?.pop())
    }

    /// How many interactions there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn count_interactions(&self, filter: &InteractionFilter) -> Result<u64, StoreError> {
        chosen(filter).count(&self.inner.db).await.during("count interactions")
    }

    /// Rows as interactions, with the customers after merges and the channels' names.
    pub(crate) async fn read_interactions<C: ConnectionTrait>(
        &self,
        db: &C,
        rows: Vec<Model>,
        during: &'static str,
    ) -> Result<Vec<Interaction>, StoreError> {
        let roots = resolve_roots(db, rows.iter().filter_map(|row| row.customer_id), during).await?;
        let channels = self.channel_names(rows.iter().map(|row| row.channel_id)).await?;
        rows.into_iter()
            .map(|row| {
                let amount = match (row.amount_minor, row.currency) {
                    (Some(minor), Some(code)) => Some(Money { minor, currency: parse(during, &code)? }),
                    _ => None,
                };
                Ok(Interaction {
                    id: InteractionId::from_i64(row.id),
                    customer: row
                        .customer_id
                        .map(|id| roots.get(&id).copied().unwrap_or(CustomerId::from_i64(id))),
                    channel: channels.get(&row.channel_id).cloned().unwrap_or_default(),
                    external_id: row.external_id,
                    kind: parse(during, &row.kind)?,
                    occurred_at: Timestamp::from_millis(row.occurred_at),
                    received_at: Timestamp::from_millis(row.received_at),
                    thread: row.thread,
                    amount,
                    attributes: json::read(during, &row.attributes)?,
                    provenance: parse(during, &row.provenance)?,
                    causation_id: row.causation_id.map(InteractionId::from_i64),
                })
            })
            .collect()
    }
}

fn chosen(filter: &InteractionFilter) -> Select<Entity> {
    let mut query = Entity::find();
    if let Some(id) = filter.customer {
        query = query.filter(Column::CustomerId.in_subquery(members_of(id)));
    }
    if let Some(name) = &filter.channel {
        use sea_orm::QueryTrait;
        let channel = channel::Entity::find()
            .select_only()
            .column(channel::Column::Id)
            .filter(channel::Column::Name.eq(name.as_str()));
        query = query.filter(Column::ChannelId.in_subquery(channel.into_query()));
    }
    if let Some(kind) = &filter.kind {
        query = query.filter(Column::Kind.eq(kind.as_str()));
    }
    if let Some(since) = filter.since {
        query = query.filter(Column::OccurredAt.gte(since.as_millis()));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::OccurredAt.lt(until.as_millis()));
    }
    query
}
