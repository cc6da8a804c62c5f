//! The code of installed plugins, by the digest of the package, so that every node of an installation finds it.

use std::collections::BTreeMap;

use regard_engine::StoreError;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::entity::plugin_file::{Column, Entity, Model};
use crate::failure::{During, check_nul};
use crate::open::{Store, Write};

impl Store {
    /// The files of the package with this digest; empty when there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn plugin_files(&self, digest: &str) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let during = "read a plugin's code";
        let rows =
            Entity::find().filter(Column::Digest.eq(digest)).all(&self.inner.db).await.during(during)?;
        Ok(rows.into_iter().map(|row| (row.name, row.bytes)).collect())
    }
}

/// Stores the files of a package, names with `/` between folders. What is there under the same digest is the same.
pub(crate) async fn put(
    write: &Write,
    digest: &str,
    files: &BTreeMap<String, Vec<u8>>,
    during: &'static str,
) -> Result<(), StoreError> {
    for (name, bytes) in files {
        check_nul("file name", name)?;
        let row = Model { digest: digest.to_owned(), name: name.clone(), bytes: bytes.clone() };
        let known =
            OnConflict::columns([Column::Digest, Column::Name]).update_column(Column::Bytes).to_owned();
        Entity::insert(row.into_active_model())
            .on_conflict(known)
            .exec_without_returning(&**write)
            .await
            .during(during)?;
    }
    Ok(())
}
