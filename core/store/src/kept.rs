//! Bytes that plugins keep between calls, and how many there are.

use regard_engine::StoreError;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    Statement,
};

use crate::entity::kept::{Column, Entity, Model};
use crate::entity::kept_usage;
use crate::failure::{During, check_nul};
use crate::open::{Store, Write};

/// Adds to what a plugin keeps; the same words on both databases.
const ADD_USAGE: &str = "INSERT INTO kept_usage (plugin, bytes) VALUES ($1, $2)
    ON CONFLICT (plugin) DO UPDATE SET bytes = kept_usage.bytes + excluded.bytes";
/// Keys in the order of their bytes, whatever order the database has for texts.
const KEYS: &str = "SELECT key FROM kept
    WHERE plugin = $1 AND substr(key, 1, CAST($2 AS INTEGER)) = $3 AND key > $4 ORDER BY key LIMIT $5";

impl Store {
    pub(crate) async fn find_kept(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = Entity::find_by_id((plugin.to_owned(), key.to_owned())).one(&self.inner.db).await;
        Ok(row.during("read what a plugin keeps")?.map(|row| row.value))
    }

    pub(crate) async fn list_kept_keys(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<String>, StoreError> {
        let backend = self.inner.db.get_database_backend();
        let sql = match backend {
            DbBackend::Postgres => KEYS.replace("key", "key COLLATE \"C\""),
            _ => KEYS.to_owned(),
        };
        let prefix_chars = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        let values = [
            plugin.into(),
            prefix_chars.into(),
            prefix.into(),
            // No key is empty, so this is before all of them.
            after.unwrap_or_default().into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let during = "list what a plugin keeps";
        let query = Statement::from_sql_and_values(backend, sql, values);
        let rows = self.inner.db.query_all_raw(query).await.during(during)?;
        rows.iter().map(|row| row.try_get_by_index(0).during(during)).collect()
    }

    pub(crate) async fn count_kept_bytes(&self, plugin: &str) -> Result<u64, StoreError> {
        let row = kept_usage::Entity::find_by_id(plugin.to_owned()).one(&self.inner.db).await;
        let bytes = row.during("count what a plugin keeps")?.map_or(0, |row| row.bytes);
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

/// Keeps `value` under `key`, or deletes the key, and keeps count.
pub(crate) async fn keep(
    write: &Write,
    plugin: &str,
    key: String,
    value: Option<Vec<u8>>,
    during: &'static str,
) -> Result<(), StoreError> {
    check_nul("key", &key)?;
    let before: Option<i64> = Entity::find_by_id((plugin.to_owned(), key.clone()))
        .select_only()
        .column_as(Expr::cust("CAST(length(value) AS BIGINT)"), "bytes")
        .into_tuple::<i64>()
        .one(&**write)
        .await
        .during(during)?;
    let size = |bytes: i64| bytes.saturating_add(i64::try_from(key.len()).unwrap_or(i64::MAX));
    let before = before.map_or(0, size);
    let now = value.as_ref().map_or(0, |value| size(i64::try_from(value.len()).unwrap_or(i64::MAX)));
    match value {
        None => {
            Entity::delete_by_id((plugin.to_owned(), key)).exec(&**write).await.during(during)?;
        }
        Some(value) => {
            let row = Model { plugin: plugin.to_owned(), key, value };
            let mut replace = OnConflict::columns([Column::Plugin, Column::Key]);
            Entity::insert(row.into_active_model())
                .on_conflict(replace.update_column(Column::Value).to_owned())
                .exec_without_returning(&**write)
                .await
                .during(during)?;
        }
    }
    if now != before {
        let values = [plugin.into(), (now - before).into()];
        let add = Statement::from_sql_and_values(write.get_database_backend(), ADD_USAGE, values);
        write.execute_raw(add).await.during(during)?;
    }
    Ok(())
}

/// Forgets all that a plugin keeps.
pub(crate) async fn forget(write: &Write, plugin: &str, during: &'static str) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::Plugin.eq(plugin)).exec(&**write).await.during(during)?;
    kept_usage::Entity::delete_by_id(plugin.to_owned()).exec(&**write).await.during(during)?;
    Ok(())
}
