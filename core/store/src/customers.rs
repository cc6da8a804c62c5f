//! Customers: made, read and listed here, changed in [`change`].
//!
//! A merge rewrites nothing, so what is read as one customer may be several rows; [`read`] puts them together.

mod change;
mod read;

use std::collections::BTreeSet;

use regard_engine::StoreError;
use regard_model::customer::NewCustomer;
use regard_model::id::Id;
use regard_model::{Customer, CustomerId, Identifier, Timestamp};
use sea_orm::sea_query::LikeExpr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Set,
};

pub(crate) use self::read::{members_of, owners_of, read_all, read_one, resolve_roots};
use crate::entity::{customer, customer_change, identifier};
use crate::failure::{During, check_nul};
use crate::json;
use crate::open::{Store, Write};

/// Ids in one `IN` list; SQLite takes 32,766 parameters in a statement and PostgreSQL 65,535.
pub(crate) const IDS_PER_STATEMENT: usize = 1_000;

/// Which customers to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerFilter {
    /// Part of a name in any case, or the whole value of an identifier.
    pub text: Option<String>,
    /// Known by this identifier.
    pub identifier: Option<Identifier>,
}

impl Store {
    /// Stores a new customer.
    ///
    /// # Errors
    /// `Conflict` when one of the identifiers belongs to somebody, naming both.
    pub async fn create_customer(&self, new: NewCustomer) -> Result<Customer, StoreError> {
        let during = "create a customer";
        let new = new.checked()?;
        let now = self.now();
        let write = self.begin_ordered(during).await?;
        refuse_taken(&*write, None, &new.identifiers, during).await?;
        let id = self.inner.ids.next(now);
        let row = new_row(id, &new, now, during)?;
        customer::Entity::insert(row.into_active_model())
            .exec_without_returning(&*write)
            .await
            .during(during)?;
        link(&write, id, &new.identifiers, now, during).await?;
        self.announce(&write, &[id], now, during).await?;
        let customer = read_one(&*write, id, during).await?;
        write.commit().await?;
        Ok(customer)
    }

    /// The customer that `id` is read as after merges.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_customer(&self, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        Ok(read_all(&self.inner.db, &[id], "read a customer").await?.into_by_id().remove(&id))
    }

    /// The customers that `ids` are read as, in the same order; ids of nobody are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_customers(&self, ids: &[CustomerId]) -> Result<Vec<Customer>, StoreError> {
        let found = read_all(&self.inner.db, ids, "read customers").await?;
        Ok(ids.iter().filter_map(|id| found.get(*id).cloned()).collect())
    }

    /// The customer known by `identifier`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_customer_by(&self, identifier: &Identifier) -> Result<Option<Customer>, StoreError> {
        let during = "look up an identifier";
        let owners = owners_of(&self.inner.db, std::slice::from_ref(identifier), during).await?;
        match owners.get(identifier) {
            Some(owner) => self.find_customer(*owner).await,
            None => Ok(None),
        }
    }

    /// At most `limit` customers after `after`, by id, so the longest known first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_customers(
        &self,
        filter: &CustomerFilter,
        after: Option<CustomerId>,
        limit: u64,
    ) -> Result<Vec<Customer>, StoreError> {
        let during = "list customers";
        let mut roots = customer::Entity::find()
            .select_only()
            .column(customer::Column::RootId)
            .distinct()
            .order_by_asc(customer::Column::RootId)
            .limit(limit);
        if let Some(after) = after {
            roots = roots.filter(customer::Column::RootId.gt(after.as_i64()));
        }
        if let Some(text) = filter.text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            check_nul("q", text)?;
            let by_value = identifier::Entity::find()
                .select_only()
                .column(identifier::Column::CustomerId)
                .filter(identifier::Column::Value.is_in([text.to_owned(), text.to_lowercase()]))
                .into_query();
            let part = LikeExpr::new(format!("%{}%", escape_like(&text.to_lowercase()))).escape('\\');
            roots = roots.filter(
                Condition::any()
                    .add(customer::Column::NameFolded.like(part))
                    .add(customer::Column::Id.in_subquery(by_value)),
            );
        }
        if let Some(wanted) = &filter.identifier {
            let owner = identifier::Entity::find()
                .select_only()
                .column(identifier::Column::CustomerId)
                .filter(identifier::Column::Value.eq(wanted.value.as_str()))
                .filter(identifier::Column::Scheme.eq(wanted.scheme.as_str()))
                .into_query();
            roots = roots.filter(customer::Column::Id.in_subquery(owner));
        }
        let ids: Vec<i64> = roots.into_tuple().all(&self.inner.db).await.during(during)?;
        let ids: Vec<CustomerId> = ids.into_iter().map(Id::from_i64).collect();
        let found = read_all(&self.inner.db, &ids, during).await?;
        Ok(ids.iter().filter_map(|id| found.get(*id).cloned()).collect())
    }
    /// Adds customers to the stream of changes.
    pub(crate) async fn announce(
        &self,
        write: &Write,
        ids: &[CustomerId],
        now: Timestamp,
        during: &'static str,
    ) -> Result<(), StoreError> {
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            let rows = chunk.iter().map(|id| customer_change::ActiveModel {
                id: Set(self.inner.ids.next::<()>(now).as_i64()),
                customer_id: Set(id.as_i64()),
            });
            customer_change::Entity::insert_many(rows)
                .exec_without_returning(&**write)
                .await
                .during(during)?;
        }
        Ok(())
    }
}

/// The row of a customer who is not stored yet.
pub(crate) fn new_row(
    id: CustomerId,
    new: &NewCustomer,
    now: Timestamp,
    during: &'static str,
) -> Result<customer::Model, StoreError> {
    let mut attributes = new.attributes.clone();
    attributes.0.retain(|_, value| !value.is_null());
    Ok(customer::Model {
        id: id.as_i64(),
        kind: new.kind.as_str().to_owned(),
        name: new.name.clone(),
        name_folded: new.name.to_lowercase(),
        stage: new.stage.as_str().to_owned(),
        tags: json::write(during, &new.tags)?,
        attributes: json::to_text(during, &attributes)?.into_owned(),
        source: new.source.clone(),
        version: 1,
        root_id: id.as_i64(),
        merged_into: None,
        created_at: now.as_millis(),
        updated_at: now.as_millis(),
    })
}

/// Refuses identifiers that belong to anybody but `customer`.
pub(crate) async fn refuse_taken<C: ConnectionTrait>(
    db: &C,
    customer: Option<CustomerId>,
    identifiers: &[Identifier],
    during: &'static str,
) -> Result<(), StoreError> {
    let owners = owners_of(db, identifiers, during).await?;
    for identifier in identifiers {
        if let Some(owner) = owners.get(identifier).filter(|owner| Some(**owner) != customer) {
            return Err(StoreError::Conflict(format!("identifier {identifier} belongs to customer {owner}")));
        }
    }
    Ok(())
}

/// Links identifiers that nobody owns to a customer; repeats are linked once.
pub(crate) async fn link(
    write: &Write,
    id: CustomerId,
    identifiers: &[Identifier],
    now: Timestamp,
    during: &'static str,
) -> Result<(), StoreError> {
    let identifiers: BTreeSet<&Identifier> = identifiers.iter().collect();
    if identifiers.is_empty() {
        return Ok(());
    }
    let rows = identifiers.into_iter().map(|known| identifier::ActiveModel {
        value: Set(known.value.clone()),
        scheme: Set(known.scheme.clone()),
        customer_id: Set(id.as_i64()),
        linked_at: Set(now.as_millis()),
    });
    identifier::Entity::insert_many(rows).exec_without_returning(&**write).await.during(during)?;
    Ok(())
}

/// The error for an id of nobody.
pub(crate) fn no_customer(id: CustomerId) -> StoreError {
    StoreError::NotFound(format!("customer {id}"))
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
