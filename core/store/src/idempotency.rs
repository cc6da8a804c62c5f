//! Answers by idempotency key, so that a request that is sent again is answered, not done, again.

use regard_engine::StoreError;
use regard_model::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::entity::idempotency::{Column, Entity, Model};
use crate::failure::{During, check_nul};
use crate::open::Store;

/// How long an answer is kept, in milliseconds: a day, longer than any client retries.
pub const ANSWER_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The answer that a request was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// SHA-256 of the request, in hex: another request under the same key is a mistake of the client.
    pub request_digest: String,
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// When it was given.
    pub created_at: Timestamp,
}

impl Store {
    /// The answer that `principal` was given under `key`, unless it is too old.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_answer(&self, principal: &str, key: &str) -> Result<Option<Answer>, StoreError> {
        let row = Entity::find_by_id((principal.to_owned(), key.to_owned())).one(&self.inner.db).await;
        let oldest = self.now().plus_millis(-ANSWER_KEPT_MS).as_millis();
        Ok(row.during("look up an idempotency key")?.filter(|row| row.created_at > oldest).map(|row| {
            Answer {
                request_digest: row.request_digest,
                status: u16::try_from(row.status).unwrap_or_default(),
                body: row.body,
                created_at: Timestamp::from_millis(row.created_at),
            }
        }))
    }

    /// Remembers the answer that `principal` was given under `key`.
    ///
    /// # Errors
    /// `Conflict` when another request under the same key was answered meanwhile.
    pub async fn remember_answer(
        &self,
        principal: &str,
        key: &str,
        request_digest: &str,
        status: u16,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let during = "remember an answer";
        check_nul("idempotency_key", key)?;
        let now = self.now();
        let write = self.begin(during).await?;
        Entity::delete_many()
            .filter(Column::Principal.eq(principal))
            .filter(Column::Key.eq(key))
            .filter(Column::CreatedAt.lte(now.plus_millis(-ANSWER_KEPT_MS).as_millis()))
            .exec(&*write)
            .await
            .during(during)?;
        let row = Model {
            principal: principal.to_owned(),
            key: key.to_owned(),
            request_digest: request_digest.to_owned(),
            status: i64::from(status),
            body: body.to_owned(),
            created_at: now.as_millis(),
        };
        Entity::insert(row.into_active_model()).exec_without_returning(&*write).await.during(during)?;
        write.commit().await
    }

    /// Forgets the answers that are too old, and says how many there were. Meant to be called now and then.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_answers(&self) -> Result<u64, StoreError> {
        let during = "forget old answers";
        let oldest = self.now().plus_millis(-ANSWER_KEPT_MS).as_millis();
        let write = self.begin(during).await?;
        let gone =
            Entity::delete_many().filter(Column::CreatedAt.lte(oldest)).exec(&*write).await.during(during)?;
        write.commit().await?;
        Ok(gone.rows_affected)
    }
}
