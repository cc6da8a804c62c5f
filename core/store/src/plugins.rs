//! Installed plugins: which version serves, what the operator allowed, and whether it is in service. The versions that
//! were there before stand in [`crate::plugin_versions`].

use regard_engine::StoreError;
use regard_model::{PluginRecord, Timestamp};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Value};

use crate::entity::plugin::{Column, Entity, Model};
use crate::entity::progress;
use crate::failure::{During, check_nul, without_nul};
use crate::json;
use crate::kept;
use crate::open::{Store, Write};
use crate::plugin_versions;
use crate::records::forget_types;
use crate::secrets::{self, SecretOwner};

impl Store {
    /// Stores a plugin; replaces what was stored under its id. Which version waits is not changed.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_plugin(&self, plugin: &PluginRecord) -> Result<(), StoreError> {
        let during = "store a plugin";
        let write = self.begin(during).await?;
        put(&write, plugin, during).await?;
        write.commit().await
    }

    /// The plugin `id`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_plugin(&self, id: &str) -> Result<Option<PluginRecord>, StoreError> {
        let during = "read a plugin";
        let row = Entity::find_by_id(id.to_owned()).one(&self.inner.db).await.during(during)?;
        let Some(row) = row else { return Ok(None) };
        let waiting = self.waiting_digests(Some(id), during).await?.remove(id);
        read(row, waiting, during).map(Some)
    }

    /// All plugins, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_plugins(&self) -> Result<Vec<PluginRecord>, StoreError> {
        let during = "list plugins";
        let rows = Entity::find().order_by_asc(Column::Id).all(&self.inner.db).await.during(during)?;
        let mut waiting = self.waiting_digests(None, during).await?;
        rows.into_iter()
            .map(|row| (waiting.remove(&row.id), row))
            .map(|(waiting, row)| read(row, waiting, during))
            .collect()
    }

    /// Whether the plugin is called.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_plugin_enabled(&self, id: &str, enabled: bool) -> Result<(), StoreError> {
        self.set_plugin(id, Column::Enabled, enabled.into()).await
    }

    /// What the operator allows the plugin, as JSON.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_plugin_grants(&self, id: &str, grants: &serde_json::Value) -> Result<(), StoreError> {
        self.set_plugin(id, Column::Grants, json::write("set a plugin's grants", grants)?.into()).await
    }

    /// The plugin's configuration.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_plugin_config(&self, id: &str, config: &serde_json::Value) -> Result<(), StoreError> {
        self.set_plugin(id, Column::Config, json::write("set a plugin's configuration", config)?.into()).await
    }

    /// Why the plugin is out of service; `None` puts it back.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_plugin_fault(&self, id: &str, fault: Option<&str>) -> Result<(), StoreError> {
        self.set_plugin(id, Column::Fault, fault.map(without_nul).into()).await
    }

    /// Removes a plugin with its versions, its secrets, its positions in the streams and the bytes it kept; says whether
    /// it was there. What it did stays: messages, audit lines, observations, records and their types.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove_plugin(&self, id: &str) -> Result<bool, StoreError> {
        let during = "remove a plugin";
        let write = self.begin(during).await?;
        secrets::forget(&*write, &SecretOwner::Plugin(id.to_owned()), during).await?;
        progress::Entity::delete_many()
            .filter(progress::Column::Subscriber.eq(id))
            .exec(&*write)
            .await
            .during(during)?;
        kept::forget(&write, id, during).await?;
        plugin_versions::forget(&write, id, during).await?;
        forget_types(&write, id, during).await?;
        let removed = Entity::delete_by_id(id.to_owned()).exec(&*write).await.during(during)?;
        write.commit().await?;
        Ok(removed.rows_affected > 0)
    }

    async fn set_plugin(&self, id: &str, column: Column, value: Value) -> Result<(), StoreError> {
        let during = "change a plugin";
        let write = self.begin(during).await?;
        let changed = Entity::update_many()
            .col_expr(column, Expr::value(value))
            .filter(Column::Id.eq(id))
            .exec(&*write)
            .await
            .during(during)?;
        write.commit().await?;
        if changed.rows_affected == 0 {
            return Err(StoreError::NotFound(format!("plugin {id}")));
        }
        Ok(())
    }
}

/// Writes the plugin's row.
pub(crate) async fn put(
    write: &Write,
    plugin: &PluginRecord,
    during: &'static str,
) -> Result<(), StoreError> {
    check_nul("manifest", &plugin.manifest)?;
    let row = Model {
        id: plugin.id.clone(),
        version: plugin.version.clone(),
        runtime: plugin.runtime.clone(),
        capabilities: json::write(during, &plugin.capabilities)?,
        digest: plugin.digest.clone(),
        manifest: plugin.manifest.clone(),
        grants: json::write(during, &plugin.grants)?,
        config: json::write(during, &plugin.config)?,
        enabled: plugin.enabled,
        fault: plugin.fault.clone(),
        installed_at: plugin.installed_at.as_millis(),
        signed_by: plugin.signed_by.as_ref().map(|by| json::write(during, by)).transpose()?,
    };
    let mut replace = OnConflict::column(Column::Id);
    replace.update_columns([
        Column::Version,
        Column::Runtime,
        Column::Capabilities,
        Column::Digest,
        Column::Manifest,
        Column::Grants,
        Column::Config,
        Column::Enabled,
        Column::Fault,
        Column::InstalledAt,
        Column::SignedBy,
    ]);
    Entity::insert(row.into_active_model())
        .on_conflict(replace)
        .exec_without_returning(&**write)
        .await
        .during(during)?;
    Ok(())
}

/// Refuses what a version of `plugin` has to say that does not serve any more. A plugin that is not stored, as in a test
/// kit, has one version only.
pub(crate) async fn check_serves(
    write: &Write,
    plugin: &str,
    digest: &str,
    during: &'static str,
) -> Result<(), StoreError> {
    let serving = Entity::find_by_id(plugin.to_owned()).lock_shared().one(&**write).await.during(during)?;
    match serving {
        Some(serving) if serving.digest != digest => {
            Err(StoreError::Conflict(format!("{plugin} {} serves by now", serving.version)))
        }
        _ => Ok(()),
    }
}

fn read(row: Model, waiting: Option<String>, during: &'static str) -> Result<PluginRecord, StoreError> {
    Ok(PluginRecord {
        id: row.id,
        version: row.version,
        runtime: row.runtime,
        capabilities: json::read(during, &row.capabilities)?,
        digest: row.digest,
        manifest: row.manifest,
        grants: json::read(during, &row.grants)?,
        config: json::read(during, &row.config)?,
        enabled: row.enabled,
        fault: row.fault,
        waiting,
        installed_at: Timestamp::from_millis(row.installed_at),
        signed_by: row.signed_by.map(|by| json::read(during, &by)).transpose()?,
    })
}
