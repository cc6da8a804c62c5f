//! Typed ties between customers.

use regard_engine::StoreError;
use regard_model::customer::{Relationship, TAG_BYTES_MAX};
use regard_model::invalid::check_slug;
use regard_model::{CustomerId, Invalid, Timestamp};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use crate::customers::{members_of, no_customer, resolve_roots};
use crate::entity::relationship::{Column, Entity, Model};
use crate::failure::During;
use crate::open::Store;

impl Store {
    /// Ties `from` to `to`; a tie that is there already stays as it is.
    ///
    /// # Errors
    /// `NotFound` when one of the two is not stored, `Invalid` for a tie to oneself.
    pub async fn add_relationship(
        &self,
        from: CustomerId,
        kind: &str,
        to: CustomerId,
    ) -> Result<Relationship, StoreError> {
        let during = "add a relationship";
        check_slug("kind", kind, TAG_BYTES_MAX)?;
        let write = self.begin(during).await?;
        let roots = resolve_roots(&*write, [from.as_i64(), to.as_i64()], during).await?;
        let root = |id: CustomerId| roots.get(&id.as_i64()).copied().ok_or_else(|| no_customer(id));
        if root(from)? == root(to)? {
            return Err(Invalid::new("to", "is the same customer").into());
        }
        let row = Model {
            from_id: from.as_i64(),
            kind: kind.to_owned(),
            to_id: to.as_i64(),
            created_at: self.now().as_millis(),
        };
        let mut unless_there = OnConflict::columns([Column::FromId, Column::Kind, Column::ToId]);
        Entity::insert(row.into_active_model())
            .on_conflict(unless_there.do_nothing().to_owned())
            .exec_without_returning(&*write)
            .await
            .during(during)?;
        let stored = Entity::find_by_id((from.as_i64(), kind.to_owned(), to.as_i64()))
            .one(&*write)
            .await
            .during(during)?;
        write.commit().await?;
        let at = stored.map_or_else(|| self.now().as_millis(), |row| row.created_at);
        Ok(Relationship {
            from: root(from)?,
            kind: kind.to_owned(),
            to: root(to)?,
            created_at: Timestamp::from_millis(at),
        })
    }

    /// Every tie from and to the customer, with customers as they are read after merges. Ties within a merged
    /// customer are left out: nobody works for himself.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_relationships(&self, customer: CustomerId) -> Result<Vec<Relationship>, StoreError> {
        let during = "list relationships";
        let rows = Entity::find()
            .filter(
                Condition::any()
                    .add(Column::FromId.in_subquery(members_of(customer)))
                    .add(Column::ToId.in_subquery(members_of(customer))),
            )
            .order_by_asc(Column::FromId)
            .order_by_asc(Column::Kind)
            .order_by_asc(Column::ToId)
            .all(&self.inner.db)
            .await
            .during(during)?;
        let ids = rows.iter().flat_map(|row| [row.from_id, row.to_id]);
        let roots = resolve_roots(&self.inner.db, ids, during).await?;
        let ties = rows.into_iter().filter_map(|row| {
            let (from, to) = (*roots.get(&row.from_id)?, *roots.get(&row.to_id)?);
            let created_at = Timestamp::from_millis(row.created_at);
            (from != to).then_some(Relationship { from, kind: row.kind, to, created_at })
        });
        Ok(ties.collect())
    }

    /// Takes a tie away, whichever of the merged customers it was recorded under; says whether it was there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove_relationship(
        &self,
        from: CustomerId,
        kind: &str,
        to: CustomerId,
    ) -> Result<bool, StoreError> {
        let during = "remove a relationship";
        let write = self.begin(during).await?;
        let removed = Entity::delete_many()
            .filter(Column::FromId.in_subquery(members_of(from)))
            .filter(Column::Kind.eq(kind))
            .filter(Column::ToId.in_subquery(members_of(to)))
            .exec(&*write)
            .await
            .during(during)?;
        write.commit().await?;
        Ok(removed.rows_affected > 0)
    }
}
