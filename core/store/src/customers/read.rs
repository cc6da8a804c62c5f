//! Reading customers: several rows that were merged are one customer.
//!
//! The root's row wins, and the others fill its gaps in the order of the merge forest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regard_engine::StoreError;
use regard_model::{Attributes, Customer, CustomerId, Identifier, Timestamp};
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{IDS_PER_STATEMENT, no_customer};
use crate::entity::{customer, identifier};
use crate::failure::{During, parse};
use crate::json;

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
    pub(super) fn into_by_id(self) -> HashMap<CustomerId, Customer> {
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
fn roots_of(ids: &[i64]) -> SelectStatement {
    Query::select()
        .column(customer::Column::RootId)
        .from(customer::Entity)
        .and_where(customer::Column::Id.is_in(ids.iter().copied()))
        .to_owned()
}

/// Every row that is read as the same customer as `id`, as a subquery.
pub(crate) fn members_of(id: CustomerId) -> SelectStatement {
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
