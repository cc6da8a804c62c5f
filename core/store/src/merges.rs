//! Merges: two customers that turn out to be one, and back.
//!
//! The ledger is a forest: each customer is merged into at most one other at a time, and only ends of the forest are
//! merged, so there is no cycle. Merging touches `merged_into` and `root_id` and nothing else, which is why undoing
//! restores an equal state, whatever was merged before or after.

use std::collections::HashMap;

use regard_engine::StoreError;
use regard_model::customer::Merge;
use regard_model::invalid::check_text;
use regard_model::{Attributes, CustomerId, MergeId, Timestamp};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Set,
};

use crate::customers::{IDS_PER_STATEMENT, members_of, no_customer, read_all};
use crate::entity::{customer, customer_merge};
use crate::failure::During;
use crate::json;
use crate::open::Store;

/// Longest reason, in bytes; the evidence has room for more.
const REASON_BYTES_MAX: usize = 1_024;

impl Store {
    /// Merges the customer that `from` is read as into the one that `into` is read as.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when both are one already.
    pub async fn merge_customers(
        &self,
        from: CustomerId,
        into: CustomerId,
        reason: &str,
        evidence: Attributes,
        actor: &str,
    ) -> Result<Merge, StoreError> {
        let during = "merge customers";
        check_text("reason", reason, REASON_BYTES_MAX)?;
        let evidence = evidence.checked().map_err(|invalid| invalid.within("evidence"))?;
        let write = self.begin_ordered(during).await?;
        let found = read_all(&*write, &[from, into], during).await?;
        let root = |id| found.get(id).map(|customer| customer.id).ok_or_else(|| no_customer(id));
        let (from, into) = (root(from)?, root(into)?);
        if from == into {
            return Err(StoreError::Conflict(format!("both are customer {into} already")));
        }
        customer::Entity::update_many()
            .col_expr(customer::Column::MergedInto, Expr::value(into.as_i64()))
            .filter(customer::Column::Id.eq(from.as_i64()))
            .exec(&*write)
            .await
            .during(during)?;
        customer::Entity::update_many()
            .col_expr(customer::Column::RootId, Expr::value(into.as_i64()))
            .filter(customer::Column::RootId.eq(from.as_i64()))
            .exec(&*write)
            .await
            .during(during)?;
        let now = self.now();
        let row = customer_merge::Model {
            id: self.inner.ids.next::<()>(now).as_i64(),
            from_id: from.as_i64(),
            into_id: into.as_i64(),
            reason: reason.to_owned(),
            evidence: json::to_text(during, &evidence)?.into_owned(),
            actor: actor.to_owned(),
            merged_at: now.as_millis(),
            undone_at: None,
        };
        let merge = read(row.clone(), during)?;
        customer_merge::Entity::insert(row.into_active_model())
            .exec_without_returning(&*write)
            .await
            .during(during)?;
        self.announce(&write, &[into], now, during).await?;
        write.commit().await?;
        Ok(merge)
    }

    /// Undoes a merge: both customers are read as if it had never been.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is undone already.
    pub async fn undo_merge(&self, id: MergeId) -> Result<Merge, StoreError> {
        let during = "undo a merge";
        let write = self.begin_ordered(during).await?;
        let row = customer_merge::Entity::find_by_id(id.as_i64()).one(&*write).await.during(during)?;
        let mut row = row.ok_or_else(|| StoreError::NotFound(format!("merge {id}")))?;
        if let Some(at) = row.undone_at {
            return Err(StoreError::Conflict(format!(
                "merge {id} was undone at {}",
                Timestamp::from_millis(at)
            )));
        }
        let now = self.now();
        row.undone_at = Some(now.as_millis());
        let merge = read(row.clone(), during)?;
        let mut undone = row.into_active_model();
        undone.undone_at = Set(Some(now.as_millis()));
        undone.update(&*write).await.during(during)?;

        let rows: Vec<(i64, i64, Option<i64>)> = customer::Entity::find()
            .select_only()
            .columns([customer::Column::Id, customer::Column::RootId, customer::Column::MergedInto])
            .filter(customer::Column::Id.in_subquery(members_of(merge.from)))
            .order_by_asc(customer::Column::Id)
            .into_tuple()
            .all(&*write)
            .await
            .during(during)?;
        let old_root = rows.first().map_or(merge.into, |(_, root, _)| CustomerId::from_i64(*root));
        let mut children: HashMap<i64, Vec<i64>> = HashMap::new();
        for (member, _, parent) in rows {
            children.entry(parent.unwrap_or_default()).or_default().push(member);
        }
        let (mut leaving, mut open) = (Vec::new(), vec![merge.from.as_i64()]);
        while let Some(member) = open.pop() {
            leaving.push(member);
            open.extend(children.remove(&member).unwrap_or_default());
        }
        for chunk in leaving.chunks(IDS_PER_STATEMENT) {
            customer::Entity::update_many()
                .col_expr(customer::Column::RootId, Expr::value(merge.from.as_i64()))
                .filter(customer::Column::Id.is_in(chunk.iter().copied()))
                .exec(&*write)
                .await
                .during(during)?;
        }
        customer::Entity::update_many()
            .col_expr(customer::Column::MergedInto, Expr::value(Option::<i64>::None))
            .filter(customer::Column::Id.eq(merge.from.as_i64()))
            .exec(&*write)
            .await
            .during(during)?;
        self.announce(&write, &[merge.from, old_root], now, during).await?;
        write.commit().await?;
        Ok(merge)
    }

    /// The merge `id`, undone or not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_merge(&self, id: MergeId) -> Result<Option<Merge>, StoreError> {
        let during = "read a merge";
        let row = customer_merge::Entity::find_by_id(id.as_i64()).one(&self.inner.db).await.during(during)?;
        row.map(|row| read(row, during)).transpose()
    }

    /// At most `limit` merges older than `before`, newest first; of one customer, or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_merges(
        &self,
        customer: Option<CustomerId>,
        before: Option<MergeId>,
        limit: u64,
    ) -> Result<Vec<Merge>, StoreError> {
        let during = "list merges";
        let mut query = customer_merge::Entity::find().order_by_desc(customer_merge::Column::Id).limit(limit);
        if let Some(before) = before {
            query = query.filter(customer_merge::Column::Id.lt(before.as_i64()));
        }
        if let Some(id) = customer {
            query = query.filter(
                Condition::any()
                    .add(customer_merge::Column::FromId.in_subquery(members_of(id)))
                    .add(customer_merge::Column::IntoId.in_subquery(members_of(id))),
            );
        }
        let rows = query.all(&self.inner.db).await.during(during)?;
        rows.into_iter().map(|row| read(row, during)).collect()
    }
}

fn read(row: customer_merge::Model, during: &'static str) -> Result<Merge, StoreError> {
    Ok(Merge {
        id: MergeId::from_i64(row.id),
        from: CustomerId::from_i64(row.from_id),
        into: CustomerId::from_i64(row.into_id),
        reason: row.reason,
        evidence: json::read(during, &row.evidence)?,
        actor: row.actor,
        merged_at: Timestamp::from_millis(row.merged_at),
        undone_at: row.undone_at.map(Timestamp::from_millis),
    })
}
