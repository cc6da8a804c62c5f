//! Customers: made, read, listed and changed.
//!
//! A merge rewrites nothing, so what is read as one customer may be several rows. [`read_all`] puts them together: the
//! root's row wins, and the others fill its gaps in the order of the merge forest. Changes go to the root's row. An
//! attribute that a person removes while another row would fill the gap stays as `null` in the root's row, which hides
//! the other one; when the merge is undone both are as they were.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regard_engine::StoreError;
use regard_model::customer::{CustomerChange, NewCustomer, TAGS_MAX};
use regard_model::id::Id;
use regard_model::{Attributes, Customer, CustomerId, Identifier, Invalid, Timestamp};
use sea_orm::sea_query::{LikeExpr, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Set,
};

use crate::entity::{customer, customer_change, identifier};
use crate::failure::{During, check_nul, parse};
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

    /// Changes the customer that `id` is read as, and returns it as it is then. A change of nothing changes nothing,
    /// not even the version.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the version is not the one the change names, or when an identifier belongs to
    /// somebody else.
    pub async fn change_customer(
        &self,
        id: CustomerId,
        change: CustomerChange,
    ) -> Result<Customer, StoreError> {
        let write = self.begin_ordered("change a customer").await?;
        let customer = self.change_within(&write, id, change, "change a customer").await?;
        write.commit().await?;
        Ok(customer)
    }

    /// Changes a customer within an ordered transaction.
    pub(crate) async fn change_within(
        &self,
        write: &Write,
        id: CustomerId,
        change: CustomerChange,
        during: &'static str,
    ) -> Result<Customer, StoreError> {
        let change = change.checked()?;
        let now = self.now();
        let mut found = read_all(&**write, &[id], during).await?;
        let before = found.get(id).cloned().ok_or_else(|| no_customer(id))?;
        if change.version.is_some_and(|version| version != before.version) {
            return Err(StoreError::Conflict(format!(
                "customer {} is at version {}, the change was made against version {}",
                before.id,
                before.version,
                change.version.unwrap_or_default()
            )));
        }
        // Everything is checked before the first row is written: an import goes on after a change that is refused.
        check_outcome(&before, &change)?;
        refuse_taken(&**write, Some(before.id), &change.add_identifiers, during).await?;
        let mut fresh = change.add_identifiers.clone();
        fresh.retain(|identifier| !before.identifiers.contains(identifier));
        link(write, before.id, &fresh, now, during).await?;

        let rows = found.rows.remove(&before.id.as_i64()).unwrap_or_default();
        let mut changed: Vec<customer::Model> = Vec::new();
        for row in &rows {
            let mut new = row.clone();
            if row.id == before.id.as_i64() {
                apply(&mut new, &before, &change, rows.len() > 1, during)?;
            } else {
                let mut tags: BTreeSet<String> = json::read(during, &new.tags)?;
                tags.retain(|tag| !change.remove_tags.contains(tag));
                new.tags = json::write(during, &tags)?;
            }
            let is_root_with_news = row.id == before.id.as_i64() && !fresh.is_empty();
            if new != *row || is_root_with_news {
                new.version += 1;
                new.updated_at = now.as_millis();
                changed.push(new);
            }
        }
        if changed.is_empty() {
            return Ok(before);
        }
        for row in changed {
            row.into_active_model().reset_all().update(&**write).await.during(during)?;
        }
        self.announce(write, &[before.id], now, during).await?;
        read_one(&**write, before.id, during).await
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

/// Refuses a change that would leave more on the customer than one may have.
fn check_outcome(before: &Customer, change: &CustomerChange) -> Result<(), Invalid> {
    let mut attributes = before.attributes.clone();
    attributes.patch(change.attributes.clone());
    attributes.checked()?;
    let kept = before.tags.iter().filter(|tag| !change.remove_tags.contains(*tag));
    let tags: BTreeSet<&String> = kept.chain(&change.add_tags).collect();
    if tags.len() > TAGS_MAX {
        return Err(Invalid::new("tags", format!("{} in all, at most {TAGS_MAX} are allowed", tags.len())));
    }
    Ok(())
}

/// Applies a change to the root's row. `merged` says whether other rows fill its gaps.
pub(crate) fn apply(
    row: &mut customer::Model,
    before: &Customer,
    change: &CustomerChange,
    merged: bool,
    during: &'static str,
) -> Result<(), StoreError> {
    if let Some(name) = &change.name {
        row.name.clone_from(name);
        row.name_folded = name.to_lowercase();
    }
    if let Some(kind) = change.kind {
        row.kind = kind.as_str().to_owned();
    }
    if let Some(stage) = change.stage {
        row.stage = stage.as_str().to_owned();
    }
    let mut attributes: Attributes = json::read(during, &row.attributes)?;
    for (name, value) in &change.attributes.0 {
        if !value.is_null() {
            attributes.set(name.clone(), value.clone());
        } else if merged && before.attributes.get(name).is_some() {
            attributes.set(name.clone(), serde_json::Value::Null);
        } else if !merged {
            attributes.0.remove(name);
        }
    }
    row.attributes = json::to_text(during, &attributes)?.into_owned();
    let mut tags: BTreeSet<String> = json::read(during, &row.tags)?;
    let missing =
        change.add_tags.iter().filter(|tag| !before.tags.contains(*tag) || change.remove_tags.contains(*tag));
    tags.retain(|tag| !change.remove_tags.contains(tag));
    tags.extend(missing.cloned());
    row.tags = json::write(during, &tags)?;
    Ok(())
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

/// Customers as they are read, with the rows they are read from.
#[derive(Default)]
pub(crate) struct Found {
    customers: BTreeMap<i64, Customer>,
    /// Of each root, its rows in the order in which they fill gaps.
    pub(crate) rows: HashMap<i64, Vec<customer::Model>>,
    roots: HashMap<i64, i64>,
}

impl Found {
    /// The customer that `id` is read as.
    pub(crate) fn get(&self, id: CustomerId) -> Option<&Customer> {
        self.customers.get(self.roots.get(&id.as_i64())?)
    }

    /// All of them by every id they are known by.
    fn into_by_id(self) -> HashMap<CustomerId, Customer> {
        self.roots
            .iter()
            .filter_map(|(id, root)| Some((CustomerId::from_i64(*id), self.customers.get(root)?.clone())))
            .collect()
    }
}

/// Reads the customers that `ids` are read as.
pub(crate) async fn read_all<C: ConnectionTrait>(
    db: &C,
    ids: &[CustomerId],
    during: &'static str,
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let ids: BTreeSet<i64> = ids.iter().map(|id| id.as_i64()).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    for chunk in ids.chunks(IDS_PER_STATEMENT) {
        // One statement, so that a merge that happens meanwhile is seen in full or not at all.
        let rows = customer::Entity::find()
            .filter(customer::Column::RootId.in_subquery(roots_of(chunk)))
            .order_by_asc(customer::Column::Id)
            .all(db)
            .await
            .during(during)?;
        for row in rows {
            if found.roots.insert(row.id, row.root_id).is_none() {
                found.rows.entry(row.root_id).or_default().push(row);
            }
        }
    }
    let members: Vec<i64> = found.roots.keys().copied().collect();
    let mut identifiers: HashMap<i64, Vec<Identifier>> = HashMap::new();
    for chunk in members.chunks(IDS_PER_STATEMENT) {
        let rows = identifier::Entity::find()
            .filter(identifier::Column::CustomerId.is_in(chunk.iter().copied()))
            .all(db)
            .await
            .during(during)?;
        for row in rows {
            let known = Identifier { scheme: row.scheme, value: row.value };
            identifiers.entry(row.customer_id).or_default().push(known);
        }
    }
    for (root, rows) in &mut found.rows {
        *rows = in_order_of_merging(*root, std::mem::take(rows));
        found.customers.insert(*root, fold(*root, rows, &mut identifiers, during)?);
    }
    Ok(found)
}

/// Reads one customer that must be there.
pub(crate) async fn read_one<C: ConnectionTrait>(
    db: &C,
    id: CustomerId,
    during: &'static str,
) -> Result<Customer, StoreError> {
    read_all(db, &[id], during).await?.get(id).cloned().ok_or_else(|| no_customer(id))
}

/// The roots of `ids`, as a subquery.
fn roots_of(ids: &[i64]) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(customer::Column::RootId)
        .from(customer::Entity)
        .and_where(customer::Column::Id.is_in(ids.iter().copied()))
        .to_owned()
}

/// Every row that is read as the same customer as `id`, as a subquery.
pub(crate) fn members_of(id: CustomerId) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(customer::Column::Id)
        .from(customer::Entity)
        .and_where(customer::Column::RootId.in_subquery(roots_of(&[id.as_i64()])))
        .to_owned()
}

/// What each of `ids` is read as; ids of nobody are left out.
pub(crate) async fn resolve_roots<C: ConnectionTrait>(
    db: &C,
    ids: impl IntoIterator<Item = i64>,
    during: &'static str,
) -> Result<HashMap<i64, CustomerId>, StoreError> {
    let ids: BTreeSet<i64> = ids.into_iter().collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let mut roots = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(IDS_PER_STATEMENT) {
        let rows: Vec<(i64, i64)> = customer::Entity::find()
            .select_only()
            .columns([customer::Column::Id, customer::Column::RootId])
            .filter(customer::Column::Id.is_in(chunk.iter().copied()))
            .into_tuple()
            .all(db)
            .await
            .during(during)?;
        roots.extend(rows.into_iter().map(|(id, root)| (id, CustomerId::from_i64(root))));
    }
    Ok(roots)
}

/// The customers, as roots, that own `identifiers`.
pub(crate) async fn owners_of<C: ConnectionTrait>(
    db: &C,
    identifiers: &[Identifier],
    during: &'static str,
) -> Result<HashMap<Identifier, CustomerId>, StoreError> {
    let mut rows = Vec::new();
    for chunk in identifiers.chunks(IDS_PER_STATEMENT) {
        // A list of pairs would be an expression too deep for SQLite; few values occur under several schemes.
        let values = chunk.iter().map(|identifier| identifier.value.as_str());
        let found = identifier::Entity::find().filter(identifier::Column::Value.is_in(values)).all(db).await;
        rows.extend(found.during(during)?);
    }
    let roots = resolve_roots(db, rows.iter().map(|row| row.customer_id), during).await?;
    let owners = rows.into_iter().filter_map(|row| {
        let owner = *roots.get(&row.customer_id)?;
        Some((Identifier { scheme: row.scheme, value: row.value }, owner))
    });
    Ok(owners.collect())
}

/// Refuses identifiers that belong to anybody but `customer`.
async fn refuse_taken<C: ConnectionTrait>(
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

/// Root first, then depth first along the merges, siblings by id: what a customer looked like before it was merged
/// into another one, it contributes to that one.
fn in_order_of_merging(root: i64, rows: Vec<customer::Model>) -> Vec<customer::Model> {
    if rows.len() < 2 {
        return rows;
    }
    let mut children: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut by_id: BTreeMap<i64, customer::Model> = BTreeMap::new();
    for row in rows {
        if let Some(parent) = row.merged_into {
            children.entry(parent).or_default().push(row.id);
        }
        by_id.insert(row.id, row);
    }
    let (mut ordered, mut open) = (Vec::with_capacity(by_id.len()), vec![root]);
    while let Some(id) = open.pop() {
        ordered.extend(by_id.remove(&id));
        // Rows come by id, so the last pushed, which is looked at next, must be the smallest.
        open.extend(children.remove(&id).into_iter().flatten().rev());
    }
    ordered
}

fn fold(
    root: i64,
    rows: &[customer::Model],
    identifiers: &mut HashMap<i64, Vec<Identifier>>,
    during: &'static str,
) -> Result<Customer, StoreError> {
    let Some(first) = rows.first() else {
        return Err(crate::failure::damaged(
            during,
            format!("customer {} has no row", CustomerId::from_i64(root)),
        ));
    };
    let mut customer = Customer {
        id: CustomerId::from_i64(root),
        kind: parse(during, &first.kind)?,
        name: first.name.clone(),
        stage: parse(during, &first.stage)?,
        tags: BTreeSet::new(),
        attributes: Attributes::new(),
        identifiers: Vec::new(),
        source: first.source.clone(),
        version: 0,
        created_at: Timestamp::from_millis(first.created_at),
        updated_at: Timestamp::from_millis(first.updated_at),
    };
    for row in rows {
        if customer.name.is_empty() {
            customer.name.clone_from(&row.name);
        }
        let attributes: Attributes = json::read(during, &row.attributes)?;
        for (name, value) in attributes.0 {
            customer.attributes.0.entry(name).or_insert(value);
        }
        customer.tags.extend(json::read::<BTreeSet<String>>(during, &row.tags)?);
        customer.identifiers.extend(identifiers.remove(&row.id).unwrap_or_default());
        // The sum, so that merging counts as a change and undoing the merge gives the old versions back.
        customer.version += row.version;
    }
    customer.attributes.0.retain(|_, value| !value.is_null());
    customer.identifiers.sort_unstable();
    Ok(customer)
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
