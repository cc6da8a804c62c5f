//! Records of the types that plugins declare: made, changed and deleted here, found in [`list`], their types in
//! [`kinds`].
//!
//! What a record is found by stands in rows of its own, one for each indexed field, written in the same transaction. A
//! unique field is a unique key of the database over these rows, so two nodes cannot both take a value.

mod key;
mod kinds;
mod list;

use regard_engine::StoreError;
use regard_model::record::{NewRecord, RecordChange, RecordFlaw, RecordType, merge_patch};
use regard_model::{CustomerId, Invalid, Record, RecordId, Timestamp};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::Value;

use crate::customers::{members_of, resolve_roots};
use crate::entity::{record, record_index};
use crate::failure::{During, damaged};
use crate::json;
use crate::open::{Store, Write};

pub(crate) use kinds::{forget_types, review_within};

impl Store {
    /// Stores a new record.
    ///
    /// # Errors
    /// `NotFound` for an unknown type; `Invalid` for data that the schema refuses or an unknown customer; `Conflict` when
    /// a unique value is taken, naming the field.
    pub async fn create_record(&self, new: NewRecord) -> Result<Record, StoreError> {
        let during = "create a record";
        let write = self.begin(during).await?;
        let record = self.create_within(&write, self.next_id(), new, during).await?;
        write.commit().await?;
        Ok(record)
    }

    /// Changes a record's data by a JSON merge patch (RFC 7396) and returns it as it is then. A change of nothing changes
    /// nothing, not even the version.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when the schema refuses the outcome; `Conflict` when the version is another one, or a unique
    /// value is taken.
    pub async fn patch_record(
        &self,
        kind: &str,
        id: RecordId,
        version: Option<i64>,
        patch: Value,
    ) -> Result<Record, StoreError> {
        let during = "change a record";
        let write = self.begin(during).await?;
        let kind = self.type_within(&write, kind, during).await?;
        let row = row_within(&write, &kind, id, version, during).await?;
        let mut data = json::read(during, &row.data)?;
        merge_patch(&mut data, patch);
        let record = self.replace_within(&write, &kind, row, data, during).await?;
        write.commit().await?;
        Ok(record)
    }

    /// Deletes a record.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the version is another one.
    pub async fn delete_record(
        &self,
        kind: &str,
        id: RecordId,
        version: Option<i64>,
    ) -> Result<(), StoreError> {
        let during = "delete a record";
        let write = self.begin(during).await?;
        self.delete_within(&write, kind, id, version, during).await?;
        write.commit().await
    }

    /// A record of the type `kind`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_record(&self, kind: &str, id: RecordId) -> Result<Option<Record>, StoreError> {
        let (db, during) = (&self.inner.db, "read a record");
        let row = record::Entity::find_by_id(id.as_i64()).one(db).await.during(during)?;
        let rows = row.into_iter().filter(|row| row.kind == kind).collect();
        Ok(read_records(db, rows, during).await?.pop())
    }

    /// Does what a plugin's call did to a record.
    pub(crate) async fn change_record_within(
        &self,
        write: &Write,
        change: RecordChange,
        during: &'static str,
    ) -> Result<(), StoreError> {
        match change {
            RecordChange::Create(id, new) => self.create_within(write, id, new, during).await.map(drop),
            RecordChange::Update { id, kind, version, data } => {
                let kind = self.type_within(write, &kind, during).await?;
                let row = row_within(write, &kind, id, Some(version), during).await?;
                self.replace_within(write, &kind, row, data, during).await.map(drop)
            }
            RecordChange::Delete { id, kind, version } => {
                self.delete_within(write, &kind, id, Some(version), during).await
            }
        }
    }

    async fn create_within(
        &self,
        write: &Write,
        id: RecordId,
        new: NewRecord,
        during: &'static str,
    ) -> Result<Record, StoreError> {
        let kind = self.type_within(write, &new.kind, during).await?;
        kind.check(new.customer_id, &new.data).map_err(first_flaw)?;
        if let Some(customer) = new.customer_id
            && resolve_roots(&**write, [customer.as_i64()], during).await?.is_empty()
        {
            return Err(Invalid::new("customer_id", format!("there is no customer {customer}")).into());
        }
        let now = self.now().as_millis();
        let row = record::Model {
            id: id.as_i64(),
            kind: new.kind,
            customer_id: new.customer_id.map(CustomerId::as_i64),
            data: json::write(during, &new.data)?,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        record::Entity::insert(row.clone().into_active_model())
            .exec_without_returning(&**write)
            .await
            .during(during)?;
        put_index(write, &kind, index_rows(&kind, id, &new.data), during).await?;
        only(read_records(&**write, vec![row], during).await?, during)
    }

    async fn replace_within(
        &self,
        write: &Write,
        kind: &RecordType,
        mut row: record::Model,
        data: Value,
        during: &'static str,
    ) -> Result<Record, StoreError> {
        kind.check(row.customer_id.map(CustomerId::from_i64), &data).map_err(first_flaw)?;
        let id = RecordId::from_i64(row.id);
        let before: Value = json::read(during, &row.data)?;
        if before != data {
            row.data = json::write(during, &data)?;
            row.version += 1;
            row.updated_at = self.now().as_millis();
            row.clone().into_active_model().reset_all().update(&**write).await.during(during)?;
            let old = index_rows(kind, id, &before);
            let mut new = index_rows(kind, id, &data);
            new.retain(|row| !old.contains(row));
            let moved = new.iter().map(|row| row.field.as_str());
            record_index::Entity::delete_many()
                .filter(record_index::Column::RecordId.eq(row.id))
                .filter(record_index::Column::Field.is_in(moved))
                .exec(&**write)
                .await
                .during(during)?;
            put_index(write, kind, new, during).await?;
        }
        only(read_records(&**write, vec![row], during).await?, during)
    }

    async fn delete_within(
        &self,
        write: &Write,
        kind: &str,
        id: RecordId,
        version: Option<i64>,
        during: &'static str,
    ) -> Result<(), StoreError> {
        let kind = self.type_within(write, kind, during).await?;
        let row = row_within(write, &kind, id, version, during).await?;
        // Its rows in the index go with it.
        record::Entity::delete_by_id(row.id).exec(&**write).await.during(during)?;
        Ok(())
    }
}

/// Every record of a customer, merged ones included, oldest first.
pub(crate) async fn records_of<C: ConnectionTrait>(
    db: &C,
    customer: CustomerId,
    during: &'static str,
) -> Result<Vec<Record>, StoreError> {
    let rows = record::Entity::find()
        .filter(record::Column::CustomerId.in_subquery(members_of(customer)))
        .order_by_asc(record::Column::Id)
        .all(db)
        .await
        .during(during)?;
    read_records(db, rows, during).await
}

/// Rows as records, with the customers after merges.
async fn read_records<C: ConnectionTrait>(
    db: &C,
    rows: Vec<record::Model>,
    during: &'static str,
) -> Result<Vec<Record>, StoreError> {
    let roots = resolve_roots(db, rows.iter().filter_map(|row| row.customer_id), during).await?;
    let read = |row: record::Model| {
        let customer = |id: i64| roots.get(&id).copied().unwrap_or(CustomerId::from_i64(id));
        Ok(Record {
            id: RecordId::from_i64(row.id),
            kind: row.kind,
            customer_id: row.customer_id.map(customer),
            data: json::read(during, &row.data)?,
            version: row.version,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    };
    rows.into_iter().map(read).collect()
}

/// The row of a record that must be there, at `version` when one is given; nobody else changes it meanwhile.
async fn row_within(
    write: &Write,
    kind: &RecordType,
    id: RecordId,
    version: Option<i64>,
    during: &'static str,
) -> Result<record::Model, StoreError> {
    let row = record::Entity::find_by_id(id.as_i64()).lock_exclusive().one(&**write).await.during(during)?;
    let row = row.filter(|row| row.kind == kind.name());
    let row = row.ok_or_else(|| StoreError::NotFound(format!("{} `{id}`", kind.name())))?;
    if let Some(version) = version.filter(|version| *version != row.version) {
        return Err(StoreError::Conflict(format!(
            "record {id} is at version {}, the change was made against version {version}",
            row.version
        )));
    }
    Ok(row)
}

/// What a record is found by.
fn index_rows(kind: &RecordType, id: RecordId, data: &Value) -> Vec<record_index::Model> {
    let row = |(name, field): (&String, &regard_model::record::IndexedField)| {
        let value = key::key(data.get(name));
        record_index::Model {
            kind: kind.name().to_owned(),
            field: name.clone(),
            is_unique: field.unique && value != key::ABSENT,
            value,
            record_id: id.as_i64(),
        }
    };
    kind.fields().iter().map(row).collect()
}

/// Writes rows of the index, and refuses a unique value that another record has.
async fn put_index(
    write: &Write,
    kind: &RecordType,
    rows: Vec<record_index::Model>,
    during: &'static str,
) -> Result<(), StoreError> {
    let (unique, plain): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_unique);
    if !plain.is_empty() {
        record_index::Entity::insert_many(plain.into_iter().map(|row| row.into_active_model()))
            .exec_without_returning(&**write)
            .await
            .during(during)?;
    }
    for row in unique {
        let taken = |holder: String| {
            let (kind, field) = (kind.name(), &row.field);
            StoreError::Conflict(format!(
                "the field `{field}` of the type `{kind}` is unique, and {holder} has this value"
            ))
        };
        let holder = record_index::Entity::find()
            .filter(record_index::Column::Kind.eq(row.kind.as_str()))
            .filter(record_index::Column::Field.eq(row.field.as_str()))
            .filter(record_index::Column::Value.eq(row.value.clone()))
            .one(&**write)
            .await
            .during(during)?;
        if let Some(holder) = holder {
            return Err(taken(format!("record {}", RecordId::from_i64(holder.record_id))));
        }
        // Whoever stores the same value at the same time is seen by the key alone.
        let put =
            record_index::Entity::insert(row.clone().into_active_model()).exec_without_returning(&**write);
        put.await.during(during).map_err(|error| match error {
            StoreError::Conflict(_) => taken("another record".to_owned()),
            other => other,
        })?;
    }
    Ok(())
}

/// The error for the name of no type.
fn no_type(name: &str) -> StoreError {
    StoreError::NotFound(format!("record type `{}`", name.escape_debug()))
}

fn first_flaw(flaws: Vec<RecordFlaw>) -> StoreError {
    let first = flaws.into_iter().next().map(Invalid::from);
    first.unwrap_or_else(|| Invalid::new("data", "does not fit the type")).into()
}

fn only(mut records: Vec<Record>, during: &'static str) -> Result<Record, StoreError> {
    records.pop().ok_or_else(|| damaged(during, "a record vanished"))
}
