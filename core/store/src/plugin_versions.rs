//! The versions of a plugin: the one that serves, one that waits for consent, and earlier ones to roll back to.

use std::collections::{BTreeMap, HashMap};

use regard_engine::StoreError;
use regard_engine::ports::Effects;
use regard_model::record::RecordDeclaration;
use regard_model::{PluginRecord, PluginVersion, Timestamp};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait as _, IntoActiveModel, QueryFilter, QuerySelect};

use crate::entity::plugin_version::{Column, Entity, Model};
use crate::entity::{plugin, plugin_file};
use crate::failure::{During, check_nul};
use crate::json;
use crate::open::{Store, Write};
use crate::plugin_files;
use crate::plugins;
use crate::records::review_within;

/// Earlier versions of a plugin that are kept to roll back to; older ones are forgotten with their code.
pub const EARLIER_VERSIONS_MAX: usize = 9;

impl Store {
    /// Stores a version of a plugin with its code. One that waits takes the place of another one that waited.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing is stored.
    pub async fn put_plugin_version(
        &self,
        version: &PluginVersion,
        files: &BTreeMap<String, Vec<u8>>,
        waiting: bool,
    ) -> Result<(), StoreError> {
        let during = "store a version of a plugin";
        check_nul("manifest", &version.manifest)?;
        let write = self.begin(during).await?;
        plugin_files::put(&write, &version.digest, files, during).await?;
        if waiting {
            stop_waiting(&write, &version.plugin, during).await?;
        }
        let row = Model {
            plugin: version.plugin.clone(),
            digest: version.digest.clone(),
            version: version.version.clone(),
            manifest: version.manifest.clone(),
            config: json::write(during, &version.config)?,
            signed_by: version.signed_by.as_ref().map(|by| json::write(during, by)).transpose()?,
            waiting,
            installed_at: version.installed_at.as_millis(),
            served_at: version.served_at.map(Timestamp::as_millis),
        };
        let mut known = OnConflict::columns([Column::Plugin, Column::Digest]);
        known.update_columns([Column::Config, Column::SignedBy, Column::Waiting, Column::InstalledAt]);
        Entity::insert(row.into_active_model())
            .on_conflict(known)
            .exec_without_returning(&*write)
            .await
            .during(during)?;
        write.commit().await
    }

    /// Puts the version that `plugin` names into service, together with the types of records that it declares and with
    /// what its migration changed: all of it or nothing. `from` is the digest that serves until then.
    ///
    /// # Errors
    /// `Conflict` when another version serves by now, another plugin declares one of the types, or a stored record does
    /// not fit its type afterwards; `NotFound` when the version is not stored.
    pub async fn switch_plugin(
        &self,
        plugin: &PluginRecord,
        from: Option<&str>,
        records: &[RecordDeclaration],
        effects: Effects,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let during = "switch a plugin's version";
        let write = if effects.customers.is_empty() {
            self.begin(during).await
        } else {
            self.begin_ordered(during).await
        }?;
        let serving = plugin::Entity::find_by_id(plugin.id.clone());
        let serving = serving.lock_exclusive().one(&*write).await.during(during)?;
        if serving.as_ref().map(|row| row.digest.as_str()) != from {
            let what = serving.map_or_else(|| "none".to_owned(), |row| row.version);
            return Err(StoreError::Conflict(format!(
                "somebody else changed {} meanwhile: version {what} serves",
                plugin.id
            )));
        }
        // The version that goes may come back with the configuration that it has now.
        if let Some(serving) = serving {
            Entity::update_many()
                .col_expr(Column::Config, Expr::value(serving.config))
                .filter(Column::Plugin.eq(&plugin.id))
                .filter(Column::Digest.eq(serving.digest))
                .exec(&*write)
                .await
                .during(during)?;
        }
        let served = Entity::update_many()
            .col_expr(Column::ServedAt, Expr::value(now.as_millis()))
            .filter(Column::Plugin.eq(&plugin.id))
            .filter(Column::Digest.eq(&plugin.digest))
            .exec(&*write)
            .await
            .during(during)?;
        if served.rows_affected == 0 {
            return Err(StoreError::NotFound(format!("{} {}", plugin.id, plugin.version)));
        }
        stop_waiting(&write, &plugin.id, during).await?;
        plugins::put(&write, plugin, during).await?;
        // In this order a migration may change records that fit the old declaration only.
        let changed = self.declare_within(&write, &plugin.id, records, during).await?;
        self.apply(&write, effects, during).await?;
        review_within(&write, &changed, during).await?;
        prune(&write, &plugin.id, &plugin.digest, during).await?;
        write.commit().await
    }

    /// The versions of a plugin that are kept: those that never served first, then the last served first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn plugin_versions(&self, plugin: &str) -> Result<Vec<PluginVersion>, StoreError> {
        let during = "list versions of a plugin";
        let rows =
            Entity::find().filter(Column::Plugin.eq(plugin)).all(&self.inner.db).await.during(during)?;
        in_order(rows).into_iter().map(|row| read(row, during)).collect()
    }

    /// Forgets the version that waits for consent; says whether there was one.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn decline_plugin_version(&self, plugin: &str) -> Result<bool, StoreError> {
        let during = "decline a version of a plugin";
        let write = self.begin(during).await?;
        let declined = stop_waiting(&write, plugin, during).await?;
        forget_unused_files(&write, during).await?;
        write.commit().await?;
        Ok(declined)
    }

    /// Digests of the versions that wait, by plugin.
    pub(crate) async fn waiting_digests(
        &self,
        plugin: Option<&str>,
        during: &'static str,
    ) -> Result<HashMap<String, String>, StoreError> {
        let mut query = Entity::find().filter(Column::Waiting.eq(true));
        if let Some(plugin) = plugin {
            query = query.filter(Column::Plugin.eq(plugin));
        }
        let rows = query.all(&self.inner.db).await.during(during)?;
        Ok(rows.into_iter().map(|row| (row.plugin, row.digest)).collect())
    }
}

/// Forgets all versions of a plugin and their code.
pub(crate) async fn forget(write: &Write, plugin: &str, during: &'static str) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::Plugin.eq(plugin)).exec(&**write).await.during(during)?;
    forget_unused_files(write, during).await
}

/// Nothing waits any more: a version that has served before stays to roll back to, one that never has is forgotten. Says
/// whether one waited.
async fn stop_waiting(write: &Write, plugin: &str, during: &'static str) -> Result<bool, StoreError> {
    let waiting = || Column::Plugin.eq(plugin).and(Column::Waiting.eq(true));
    let forgotten = Entity::delete_many()
        .filter(waiting())
        .filter(Column::ServedAt.is_null())
        .exec(&**write)
        .await
        .during(during)?;
    let marked = Entity::update_many()
        .col_expr(Column::Waiting, Expr::value(false))
        .filter(waiting())
        .exec(&**write)
        .await
        .during(during)?;
    Ok(forgotten.rows_affected + marked.rows_affected > 0)
}

/// Forgets the oldest versions beyond [`EARLIER_VERSIONS_MAX`], and those that were put in place but never served.
async fn prune(write: &Write, plugin: &str, serving: &str, during: &'static str) -> Result<(), StoreError> {
    let rows = Entity::find().filter(Column::Plugin.eq(plugin)).all(&**write).await.during(during)?;
    let earlier = in_order(rows).into_iter().filter(|row| row.digest != serving);
    let (never, served): (Vec<_>, Vec<_>) = earlier.partition(|row| row.served_at.is_none());
    for row in never.into_iter().chain(served.into_iter().skip(EARLIER_VERSIONS_MAX)) {
        Entity::delete_by_id((row.plugin, row.digest)).exec(&**write).await.during(during)?;
    }
    forget_unused_files(write, during).await
}

/// Code that no version and no plugin names any more.
async fn forget_unused_files(write: &Write, during: &'static str) -> Result<(), StoreError> {
    let versions =
        sea_orm::QuerySelect::query(&mut Entity::find().select_only().column(Column::Digest)).to_owned();
    let plugins =
        sea_orm::QuerySelect::query(&mut plugin::Entity::find().select_only().column(plugin::Column::Digest))
            .to_owned();
    plugin_file::Entity::delete_many()
        .filter(plugin_file::Column::Digest.not_in_subquery(versions))
        .filter(plugin_file::Column::Digest.not_in_subquery(plugins))
        .exec(&**write)
        .await
        .during(during)?;
    Ok(())
}

fn in_order(mut rows: Vec<Model>) -> Vec<Model> {
    rows.sort_by_key(|row| {
        (row.served_at.is_some(), std::cmp::Reverse(row.served_at.unwrap_or(row.installed_at)))
    });
    rows
}

fn read(row: Model, during: &'static str) -> Result<PluginVersion, StoreError> {
    Ok(PluginVersion {
        plugin: row.plugin,
        version: row.version,
        digest: row.digest,
        manifest: row.manifest,
        config: json::read(during, &row.config)?,
        signed_by: row.signed_by.map(|by| json::read(during, &by)).transpose()?,
        installed_at: Timestamp::from_millis(row.installed_at),
        served_at: row.served_at.map(Timestamp::from_millis),
    })
}
