//! Finding records: by type, customer and indexed fields, newest first or sorted by a field.
//!
//! A page is read in two steps. The first walks one index in the order that is asked for and stops at the end of the
//! page; the second fetches the records themselves.

use std::collections::HashMap;

use regard_engine::StoreError;
use regard_engine::ports::{RecordPlace, RecordQuery};
use regard_model::record::RecordType;
use regard_model::{Invalid, Record};
use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait as _, Order, Query, SelectStatement};
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _};

use super::key::key;
use super::{no_type, read_records};
use crate::customers::{IDS_PER_STATEMENT, members_of};
use crate::entity::{record, record_index};
use crate::failure::During;
use crate::open::Store;

impl Store {
    /// At most `limit` records; `after` is where the page before ended.
    ///
    /// # Errors
    /// `NotFound` for an unknown type; `Invalid` for a field that is not indexed or a value that it cannot have.
    pub async fn list_records(
        &self,
        query: &RecordQuery,
        after: Option<&RecordPlace>,
        limit: u64,
    ) -> Result<Vec<Record>, StoreError> {
        let (db, during) = (&self.inner.db, "list records");
        let kind = self.find_record_type(&query.kind).await?.ok_or_else(|| no_type(&query.kind))?;
        let page = page(&kind, query, after)?.limit(limit).to_owned();
        let rows = db.query_all(&page).await.during(during)?;
        let ids = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<i64>, _>>();
        let ids = ids.during(during)?;
        let mut found = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            let rows = record::Entity::find().filter(record::Column::Id.is_in(chunk.iter().copied())).all(db);
            for record in read_records(db, rows.await.during(during)?, during).await? {
                found.insert(record.id.as_i64(), record);
            }
        }
        // One that was deleted between the steps is left out.
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}

/// The ids of the records, in order.
fn page(
    kind: &RecordType,
    query: &RecordQuery,
    after: Option<&RecordPlace>,
) -> Result<SelectStatement, Invalid> {
    for (field, value) in &query.equal {
        kind.check_field_value(field, value)?;
    }
    if let Some(sort) = &query.sort {
        return by_field(kind, query, &sort.field, sort.descending, after);
    }
    // A unique field leaves one record, so its index is walked rather than another one.
    let narrowest = query.equal.keys().find(|field| kind.fields().get(*field).is_some_and(|it| it.unique));
    match narrowest.or_else(|| query.equal.keys().next()) {
        Some(field) => Ok(newest_with(kind, query, field, after)),
        None => Ok(newest(kind, query, after)),
    }
}

fn newest(kind: &RecordType, query: &RecordQuery, after: Option<&RecordPlace>) -> SelectStatement {
    let mut select = Query::select();
    select
        .column((record::Entity, record::Column::Id))
        .from(record::Entity)
        .and_where(Expr::col((record::Entity, record::Column::Kind)).eq(kind.name()))
        .order_by((record::Entity, record::Column::Id), Order::Desc);
    if let Some(after) = after {
        select.and_where(Expr::col((record::Entity, record::Column::Id)).lt(after.id.as_i64()));
    }
    if let Some(customer) = query.customer {
        select.and_where(record::Column::CustomerId.in_subquery(members_of(customer)));
    }
    select
}

fn newest_with(
    kind: &RecordType,
    query: &RecordQuery,
    field: &str,
    after: Option<&RecordPlace>,
) -> SelectStatement {
    let mut select = walk(kind, query, field);
    select.order_by(place(record_index::Column::RecordId), Order::Desc);
    if let Some(after) = after {
        select.and_where(Expr::col(place(record_index::Column::RecordId)).lt(after.id.as_i64()));
    }
    select
}

fn by_field(
    kind: &RecordType,
    query: &RecordQuery,
    field: &str,
    descending: bool,
    after: Option<&RecordPlace>,
) -> Result<SelectStatement, Invalid> {
    kind.field(field)?;
    let order = if descending { Order::Desc } else { Order::Asc };
    let mut select = walk(kind, query, field);
    select
        .order_by(place(record_index::Column::Value), order.clone())
        .order_by(place(record_index::Column::RecordId), order);
    if let Some(after) = after {
        let value = || Expr::col(place(record_index::Column::Value));
        let id = Expr::col(place(record_index::Column::RecordId));
        let (bound, number) = (key(Some(&after.value)), after.id.as_i64());
        let (from, beyond, later) = if descending {
            (value().lte(bound.clone()), value().lt(bound.clone()), id.lt(number))
        } else {
            (value().gte(bound.clone()), value().gt(bound.clone()), id.gt(number))
        };
        // The first condition says nothing new, but lets the index begin at the right place.
        let same = Condition::all().add(value().eq(bound)).add(later);
        select.and_where(from).cond_where(Condition::any().add(beyond).add(same));
    }
    Ok(select)
}

/// Walks the index of one field, past records that the rest of the query does not want.
fn walk(kind: &RecordType, query: &RecordQuery, field: &str) -> SelectStatement {
    let mut select = Query::select();
    select
        .column(place(record_index::Column::RecordId))
        .from(record_index::Entity)
        .and_where(Expr::col(place(record_index::Column::Kind)).eq(kind.name()))
        .and_where(Expr::col(place(record_index::Column::Field)).eq(field));
    for (name, value) in &query.equal {
        if name == field {
            select.and_where(Expr::col(place(record_index::Column::Value)).eq(key(Some(value))));
            continue;
        }
        let also = |column: record_index::Column| (Alias::new("also"), column);
        let beside = Query::select()
            .expr(Expr::val(1))
            .from_as(record_index::Entity, Alias::new("also"))
            .and_where(Expr::col(also(record_index::Column::Kind)).eq(kind.name()))
            .and_where(Expr::col(also(record_index::Column::Field)).eq(name.as_str()))
            .and_where(Expr::col(also(record_index::Column::Value)).eq(key(Some(value))))
            .and_where(
                Expr::col(also(record_index::Column::RecordId)).equals(place(record_index::Column::RecordId)),
            )
            .to_owned();
        select.and_where(Expr::exists(beside));
    }
    if let Some(customer) = query.customer {
        // A customer has few records, whatever their type.
        let theirs = Query::select()
            .column(record::Column::Id)
            .from(record::Entity)
            .and_where(record::Column::CustomerId.in_subquery(members_of(customer)))
            .to_owned();
        select.and_where(Expr::col(place(record_index::Column::RecordId)).in_subquery(theirs));
    }
    select
}

fn place(column: record_index::Column) -> (record_index::Entity, record_index::Column) {
    (record_index::Entity, column)
}
