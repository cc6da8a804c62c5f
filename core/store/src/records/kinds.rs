//! Types of records: declared by plugins, changed only when every record still fits.

use std::sync::Arc;

use regard_engine::StoreError;
use regard_model::Invalid;
use regard_model::record::{RecordDeclaration, RecordFlaw, RecordType};
use regard_model::{CustomerId, RecordId};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::key::ABSENT;
use super::{index_rows, no_type};
use crate::entity::{plugin, record, record_index, record_type};
use crate::failure::{During, check_nul, damaged};
use crate::json;
use crate::open::{Store, Write};

/// Records that are read at a time when all of a type are looked at.
const RECORDS_PER_PAGE: u64 = 500;

impl Store {
    /// The type of records called `name`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_record_type(&self, name: &str) -> Result<Option<Arc<RecordType>>, StoreError> {
        let during = "read a record type";
        check_nul("kind", name)?;
        let row =
            record_type::Entity::find_by_id(name.to_owned()).one(&self.inner.db).await.during(during)?;
        row.map(|row| self.compiled(row, during)).transpose()
    }

    /// All types of records, by name; those of plugins that are gone as long as there are records of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_record_types(&self) -> Result<Vec<Arc<RecordType>>, StoreError> {
        let during = "list record types";
        let rows = record_type::Entity::find().order_by_asc(record_type::Column::Name).all(&self.inner.db);
        rows.await.during(during)?.into_iter().map(|row| self.compiled(row, during)).collect()
    }

    /// Makes `declarations` the types that `plugin` declares. Indexes that change are built anew in the same transaction.
    /// A type that it no longer declares stays while there are records of it.
    ///
    /// # Errors
    /// `Invalid` for a declaration that cannot be one; `Conflict` when another plugin declares a type of the same name, or
    /// when a stored record does not fit a new schema, naming the record and the field.
    pub async fn set_record_types(
        &self,
        plugin: &str,
        declarations: &[RecordDeclaration],
    ) -> Result<(), StoreError> {
        let during = "declare record types";
        let write = self.begin(during).await?;
        let changed = self.declare_within(&write, plugin, declarations, during).await?;
        review_within(&write, &changed, during).await?;
        write.commit().await
    }

    /// The same within a transaction, but for looking whether what is stored fits: a migration may come in between. Gives
    /// what [`review_within`] has to look at.
    pub(crate) async fn declare_within(
        &self,
        write: &Write,
        plugin: &str,
        declarations: &[RecordDeclaration],
        during: &'static str,
    ) -> Result<Vec<Changed>, StoreError> {
        let types = declarations.iter().enumerate().map(|(at, declaration)| {
            RecordType::new(plugin, declaration.clone()).map_err(|why| why.within(&format!("records[{at}]")))
        });
        let types: Vec<RecordType> = types.collect::<Result<_, Invalid>>()?;
        let names = types.iter().map(RecordType::name);
        let known = record_type::Entity::find()
            .filter(
                Condition::any()
                    .add(record_type::Column::Plugin.eq(plugin))
                    .add(record_type::Column::Name.is_in(names)),
            )
            .order_by_asc(record_type::Column::Name)
            .lock_exclusive()
            .all(&**write)
            .await
            .during(during)?;
        let gone: Vec<&str> = known
            .iter()
            .filter(|row| row.plugin == plugin && types.iter().all(|kind| kind.name() != row.name))
            .map(|row| row.name.as_str())
            .collect();
        for name in gone {
            forget_if_empty(write, name, during).await?;
        }
        let mut changed = Vec::new();
        for kind in types {
            let earlier = known.iter().find(|row| row.name == kind.name());
            changed.extend(self.declare(write, kind, earlier, during).await?);
        }
        Ok(changed)
    }

    async fn declare(
        &self,
        write: &Write,
        kind: RecordType,
        earlier: Option<&record_type::Model>,
        during: &'static str,
    ) -> Result<Option<Changed>, StoreError> {
        let row = record_type::Model {
            name: kind.name().to_owned(),
            plugin: kind.plugin().to_owned(),
            declaration: json::write(during, kind.declaration())?,
            declared_at: self.now().as_millis(),
        };
        check_nul("declaration", &row.declaration)?;
        let Some(earlier) = earlier else {
            record_type::Entity::insert(row.into_active_model())
                .exec_without_returning(&**write)
                .await
                .during(during)?;
            return Ok(None);
        };
        if earlier.plugin != row.plugin {
            refuse_takeover(write, earlier, during).await?;
        } else if earlier.declaration == row.declaration {
            return Ok(None);
        }
        let before = self.compiled(earlier.clone(), during)?;
        row.into_active_model().reset_all().update(&**write).await.during(during)?;
        let (old, new) = (before.declaration(), kind.declaration());
        let rebuilds = before.fields() != kind.fields();
        let changed = rebuilds || old.schema != new.schema || old.customer != new.customer;
        Ok(changed.then_some(Changed { kind, rebuilds }))
    }

    /// The type of records called `name`, within a transaction that writes such records: it stays as it is until then.
    pub(super) async fn type_within(
        &self,
        write: &Write,
        name: &str,
        during: &'static str,
    ) -> Result<Arc<RecordType>, StoreError> {
        check_nul("kind", name)?;
        let row = record_type::Entity::find_by_id(name.to_owned()).lock_shared().one(&**write).await;
        self.compiled(row.during(during)?.ok_or_else(|| no_type(name))?, during)
    }

    /// The type of a row. Its schema is compiled once for as long as the declaration stays the same.
    fn compiled(&self, row: record_type::Model, during: &'static str) -> Result<Arc<RecordType>, StoreError> {
        let known = self.inner.record_types.read().get(&row.name).cloned();
        if let Some((_, kind)) = known.filter(|(of, _)| *of == row) {
            return Ok(kind);
        }
        let kind = RecordType::new(row.plugin.clone(), json::read(during, &row.declaration)?)
            .map_err(|why| damaged(during, format!("record type {}: {why}", row.name)))?;
        let kind = Arc::new(kind);
        self.inner.record_types.write().insert(row.name.clone(), (row, kind.clone()));
        Ok(kind)
    }
}

/// A type whose new declaration what is stored may not fit.
pub(crate) struct Changed {
    kind: RecordType,
    rebuilds: bool,
}

/// Refuses a transaction that leaves records which do not fit the changed types; builds their indexes anew.
pub(crate) async fn review_within(
    write: &Write,
    changed: &[Changed],
    during: &'static str,
) -> Result<(), StoreError> {
    for Changed { kind, rebuilds } in changed {
        review(write, kind, *rebuilds, during).await?;
    }
    Ok(())
}

/// Forgets the types of `plugin` of which there are no records; the others stay for those who read them.
pub(crate) async fn forget_types(
    write: &Write,
    plugin: &str,
    during: &'static str,
) -> Result<(), StoreError> {
    let rows = record_type::Entity::find()
        .filter(record_type::Column::Plugin.eq(plugin))
        .order_by_asc(record_type::Column::Name)
        .lock_exclusive()
        .all(&**write)
        .await;
    for row in rows.during(during)? {
        forget_if_empty(write, &row.name, during).await?;
    }
    Ok(())
}

async fn forget_if_empty(write: &Write, name: &str, during: &'static str) -> Result<(), StoreError> {
    if !has_records(&**write, name, during).await? {
        record_type::Entity::delete_by_id(name.to_owned()).exec(&**write).await.during(during)?;
    }
    Ok(())
}

async fn has_records<C: ConnectionTrait>(
    db: &C,
    kind: &str,
    during: &'static str,
) -> Result<bool, StoreError> {
    let first = record::Entity::find().filter(record::Column::Kind.eq(kind)).one(db).await;
    Ok(first.during(during)?.is_some())
}

/// Two plugins do not share a type, and nobody inherits the records of a plugin that is gone by taking its words.
async fn refuse_takeover(
    write: &Write,
    earlier: &record_type::Model,
    during: &'static str,
) -> Result<(), StoreError> {
    let record_type::Model { name, plugin: owner, .. } = earlier;
    let installed = plugin::Entity::find_by_id(owner.clone()).count(&**write).await.during(during)? > 0;
    if installed {
        return Err(StoreError::Conflict(format!(
            "the record type `{name}` is declared by the plugin {owner}; choose another name"
        )));
    }
    if has_records(&**write, name, during).await? {
        return Err(StoreError::Conflict(format!(
            "the record type `{name}` was declared by the plugin {owner}, which is gone, and its records are kept; delete \
             them first, or choose another name"
        )));
    }
    Ok(())
}

/// Looks at every record of a type that has changed: each must fit, and when the indexed fields changed, their index is
/// built anew.
async fn review(
    write: &Write,
    kind: &RecordType,
    rebuilds: bool,
    during: &'static str,
) -> Result<(), StoreError> {
    if rebuilds {
        record_index::Entity::delete_many()
            .filter(record_index::Column::Kind.eq(kind.name()))
            .exec(&**write)
            .await
            .during(during)?;
    }
    let mut last = i64::MIN;
    loop {
        let page = record::Entity::find()
            .filter(record::Column::Kind.eq(kind.name()))
            .filter(record::Column::Id.gt(last))
            .order_by_asc(record::Column::Id)
            .limit(RECORDS_PER_PAGE)
            .all(&**write)
            .await
            .during(during)?;
        let Some(end) = page.last() else { break };
        last = end.id;
        let mut fresh = Vec::new();
        for row in page {
            let id = RecordId::from_i64(row.id);
            let data = json::read(during, &row.data)?;
            let checked = kind.check(row.customer_id.map(CustomerId::from_i64), &data);
            checked.map_err(|flaws| misfit(kind, id, flaws))?;
            if rebuilds {
                fresh.extend(index_rows(kind, id, &data));
            }
        }
        if !fresh.is_empty() {
            // Duplicates are looked for when all are there, because then both of them can be named.
            let rows = fresh
                .into_iter()
                .map(|row| record_index::Model { is_unique: false, ..row }.into_active_model());
            record_index::Entity::insert_many(rows).exec_without_returning(&**write).await.during(during)?;
        }
    }
    if rebuilds {
        for (field, _) in kind.fields().iter().filter(|(_, field)| field.unique) {
            make_unique(write, kind, field, during).await?;
        }
    }
    Ok(())
}

fn misfit(kind: &RecordType, id: RecordId, flaws: Vec<RecordFlaw>) -> StoreError {
    let first = flaws.first().map(ToString::to_string).unwrap_or_default();
    StoreError::Conflict(format!(
        "record {id} does not fit the new declaration of the record type `{}`: {first}; change the record first, or \
         declare what it has",
        kind.name()
    ))
}

async fn make_unique(
    write: &Write,
    kind: &RecordType,
    field: &str,
    during: &'static str,
) -> Result<(), StoreError> {
    let with_value = Condition::all()
        .add(record_index::Column::Kind.eq(kind.name()))
        .add(record_index::Column::Field.eq(field))
        .add(record_index::Column::Value.ne(ABSENT.to_vec()));
    let twice: Option<(i64, i64)> = record_index::Entity::find()
        .select_only()
        .column_as(record_index::Column::RecordId.min(), "first")
        .column_as(record_index::Column::RecordId.max(), "last")
        .filter(with_value.clone())
        .group_by(record_index::Column::Value)
        .having(record_index::Column::RecordId.count().gt(1))
        .limit(1)
        .into_tuple()
        .one(&**write)
        .await
        .during(during)?;
    if let Some((first, last)) = twice {
        let (first, last) = (RecordId::from_i64(first), RecordId::from_i64(last));
        return Err(StoreError::Conflict(format!(
            "records {first} and {last} of the type `{}` have the same `{field}`, which is to be unique",
            kind.name()
        )));
    }
    record_index::Entity::update_many()
        .col_expr(record_index::Column::IsUnique, Expr::value(true))
        .filter(with_value)
        .exec(&**write)
        .await
        .during(during)?;
    Ok(())
}
