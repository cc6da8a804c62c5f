//! Workflow scripts.

use regard_engine::StoreError;
use regard_model::{ScriptRecord, Timestamp};
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait, IntoActiveModel, QueryOrder};

use crate::entity::script::{Column, Entity, Model};
use crate::failure::{During, check_nul};
use crate::open::Store;

impl Store {
    /// Stores a script; replaces what was stored under its name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_script(&self, script: &ScriptRecord) -> Result<(), StoreError> {
        let during = "store a script";
        check_nul("source", &script.source)?;
        let row = Model {
            name: script.name.clone(),
            digest: script.digest.clone(),
            source: script.source.clone(),
            enabled: script.enabled,
            deployed_at: script.deployed_at.as_millis(),
        };
        let mut replace = OnConflict::column(Column::Name);
        replace.update_columns([Column::Digest, Column::Source, Column::Enabled, Column::DeployedAt]);
        let write = self.begin(during).await?;
        Entity::insert(row.into_active_model())
            .on_conflict(replace)
            .exec_without_returning(&*write)
            .await
            .during(during)?;
        write.commit().await
    }

    /// The script `name`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_script(&self, name: &str) -> Result<Option<ScriptRecord>, StoreError> {
        let row = Entity::find_by_id(name.to_owned()).one(&self.inner.db).await.during("read a script")?;
        Ok(row.map(read))
    }

    /// All scripts, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_scripts(&self) -> Result<Vec<ScriptRecord>, StoreError> {
        let rows =
            Entity::find().order_by_asc(Column::Name).all(&self.inner.db).await.during("list scripts")?;
        Ok(rows.into_iter().map(read).collect())
    }
}

fn read(row: Model) -> ScriptRecord {
    ScriptRecord {
        name: row.name,
        digest: row.digest,
        source: row.source,
        enabled: row.enabled,
        deployed_at: Timestamp::from_millis(row.deployed_at),
    }
}
