//! Marks of how far imports have come. They are written where the rows are: see [`crate::append`] and
//! [`crate::customer_import`].

use regard_engine::StoreError;
use regard_engine::import::ImportMark;
use sea_orm::EntityTrait;

use crate::entity::import;
use crate::failure::During;
use crate::json;
use crate::open::Store;

/// Writes a mark; the parameters are key, mark as JSON, time.
pub(crate) const UPSERT: &str = "INSERT INTO import (key, mark, updated_at) VALUES ($1, $2, $3)
    ON CONFLICT (key) DO UPDATE SET mark = excluded.mark, updated_at = excluded.updated_at";

impl Store {
    /// How far the import `key` has come; `None` when it never began.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn import_mark(&self, key: &str) -> Result<Option<ImportMark>, StoreError> {
        let during = "read an import's mark";
        let row = import::Entity::find_by_id(key.to_owned()).one(&self.inner.db).await.during(during)?;
        row.map(|row| json::read(during, &row.mark)).transpose()
    }
}
