//! Secrets of channels and plugins, sealed before they reach the database and never listed with their values.

use std::fmt;

use regard_engine::StoreError;
use regard_model::channel::NAME_BYTES_MAX;
use regard_model::invalid::check_slug;
use regard_model::{ChannelId, Invalid};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use crate::entity::secret::{Column, Entity, Model};
use crate::failure::During;
use crate::open::{Store, Write};

/// Longest secret, in bytes: a private key in PEM has about three thousand.
const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Whose a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretOwner {
    /// Of a channel: the connector that serves it may read it.
    Channel(ChannelId),
    /// Of a plugin, whatever channel it serves.
    Plugin(String),
}

impl fmt::Display for SecretOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(id) => write!(f, "channel:{}", id.as_i64()),
            Self::Plugin(id) => write!(f, "plugin:{id}"),
        }
    }
}

impl Store {
    /// Sets a secret; replaces an earlier one.
    ///
    /// # Errors
    /// `Invalid` for a bad name, or when there is no key to seal it with.
    pub async fn set_secret(&self, owner: &SecretOwner, name: &str, secret: &str) -> Result<(), StoreError> {
        let during = "set a secret";
        let write = self.begin(during).await?;
        self.put_secrets(&write, owner, &[(name.to_owned(), secret.to_owned())], during).await?;
        write.commit().await
    }

    /// Names of the secrets that are set.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secret_names(&self, owner: &SecretOwner) -> Result<Vec<String>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Owner.eq(owner.to_string()))
            .order_by_asc(Column::Name)
            .all(&self.inner.db)
            .await
            .during("list secrets")?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    /// A secret, unsealed.
    ///
    /// # Errors
    /// `Damaged` when it was sealed with another key.
    pub(crate) async fn find_secret(
        &self,
        owner: &SecretOwner,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        let owner = owner.to_string();
        let row = Entity::find_by_id((owner.clone(), name.to_owned())).one(&self.inner.db).await;
        row.during("read a secret")?.map(|row| self.inner.sealer.open(&owner, name, &row.sealed)).transpose()
    }

    /// Sets secrets within a transaction.
    pub(crate) async fn put_secrets(
        &self,
        write: &Write,
        owner: &SecretOwner,
        secrets: &[(String, String)],
        during: &'static str,
    ) -> Result<(), StoreError> {
        let owner = owner.to_string();
        for (name, secret) in secrets {
            check_slug("secrets", name, NAME_BYTES_MAX)?;
            if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
                let reason = format!("has 1 to {SECRET_BYTES_MAX} bytes");
                return Err(Invalid::new(format!("secrets.{name}"), reason).into());
            }
            let sealed = self.inner.sealer.seal(&owner, name, secret)?;
            let row = Model { owner: owner.clone(), name: name.clone(), sealed };
            let mut replace = OnConflict::columns([Column::Owner, Column::Name]);
            Entity::insert(row.into_active_model())
                .on_conflict(replace.update_column(Column::Sealed).to_owned())
                .exec_without_returning(&**write)
                .await
                .during(during)?;
        }
        Ok(())
    }
}

/// Forgets every secret of `owner`.
pub(crate) async fn forget<C: ConnectionTrait>(
    db: &C,
    owner: &SecretOwner,
    during: &'static str,
) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::Owner.eq(owner.to_string())).exec(db).await.during(during)?;
    Ok(())
}
