//! Access tokens. The secret is shown once and kept only as its SHA-256: it has 256 random bits, so a slow hash would
//! add nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use regard_engine::StoreError;
use regard_model::access::{Role, Token};
use regard_model::invalid::check_text;
use regard_model::{Timestamp, TokenId};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use sha2::{Digest, Sha256};

use crate::entity::token::{Column, Entity, Model};
use crate::failure::{During, parse};
use crate::open::Store;

/// Begins every secret, so that one that leaked is recognised by scanners.
const SECRET_PREFIX: &str = "rgd_";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 128;
/// How long a verified token is believed without asking the database, in milliseconds: so long may a token work that
/// another process revoked. One revoked here stops at once.
const BELIEVED_MS: u64 = 5_000;
/// Tokens that are remembered; more are asked for each time.
const REMEMBERED_MAX: usize = 10_000;

/// Tokens that were verified lately, by the hash of their secret.
///
/// A look-up by hash tells nothing through its time: whoever does not know the secret cannot choose the hash.
#[derive(Default)]
pub(crate) struct TokenCache(HashMap<[u8; 32], (TokenId, Role, Instant)>);

impl Store {
    /// Makes a token and returns it with its secret, which cannot be had again.
    ///
    /// # Errors
    /// `Invalid` for a bad label.
    pub async fn create_token(&self, role: Role, label: &str) -> Result<(Token, String), StoreError> {
        let during = "create a token";
        check_text("label", label, LABEL_BYTES_MAX)?;
        let mut random = [0u8; SECRET_BYTES];
        getrandom::fill(&mut random)
            .map_err(|why| StoreError::Unavailable { during, why: why.to_string() })?;
        let secret = format!("{SECRET_PREFIX}{}", BASE64.encode(random));
        let now = self.now();
        let row = Model {
            id: self.inner.ids.next::<()>(now).as_i64(),
            role: role.as_str().to_owned(),
            label: label.to_owned(),
            secret_hash: hash_of(&secret).to_vec(),
            created_at: now.as_millis(),
            revoked_at: None,
        };
        let token = read(row.clone(), during)?;
        let write = self.begin(during).await?;
        Entity::insert(row.into_active_model()).exec_without_returning(&*write).await.during(during)?;
        write.commit().await?;
        Ok((token, secret))
    }

    /// Who bears this secret; `None` when it is none or revoked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn verify_token(&self, secret: &str) -> Result<Option<(TokenId, Role)>, StoreError> {
        let during = "verify a token";
        let hash = hash_of(secret);
        if let Some((id, role, until)) = self.inner.tokens.read().0.get(&hash)
            && Instant::now() < *until
        {
            return Ok(Some((*id, *role)));
        }
        let row = Entity::find()
            .filter(Column::SecretHash.eq(hash.to_vec()))
            .filter(Column::RevokedAt.is_null())
            .one(&self.inner.db)
            .await
            .during(during)?;
        let mut cache = self.inner.tokens.write();
        let Some(row) = row else {
            cache.0.remove(&hash);
            return Ok(None);
        };
        let (id, role) = (TokenId::from_i64(row.id), parse(during, &row.role)?);
        if cache.0.len() < REMEMBERED_MAX || cache.0.contains_key(&hash) {
            cache.0.insert(hash, (id, role, Instant::now() + Duration::from_millis(BELIEVED_MS)));
        }
        Ok(Some((id, role)))
    }

    /// All tokens, oldest first, revoked ones too.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_tokens(&self) -> Result<Vec<Token>, StoreError> {
        let during = "list tokens";
        let rows = Entity::find().order_by_asc(Column::Id).all(&self.inner.db).await.during(during)?;
        rows.into_iter().map(|row| read(row, during)).collect()
    }

    /// Revokes a token; a revoked one stays revoked since when it was.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_token(&self, id: TokenId) -> Result<Token, StoreError> {
        let during = "revoke a token";
        let write = self.begin(during).await?;
        Entity::update_many()
            .col_expr(Column::RevokedAt, Expr::value(self.now().as_millis()))
            .filter(Column::Id.eq(id.as_i64()))
            .filter(Column::RevokedAt.is_null())
            .exec(&*write)
            .await
            .during(during)?;
        let row = Entity::find_by_id(id.as_i64()).one(&*write).await.during(during)?;
        write.commit().await?;
        self.inner.tokens.write().0.retain(|_, (known, _, _)| *known != id);
        read(row.ok_or_else(|| StoreError::NotFound(format!("token {id}")))?, during)
    }
}

fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn read(row: Model, during: &'static str) -> Result<Token, StoreError> {
    Ok(Token {
        id: TokenId::from_i64(row.id),
        role: parse(during, &row.role)?,
        label: row.label,
        created_at: Timestamp::from_millis(row.created_at),
        revoked_at: row.revoked_at.map(Timestamp::from_millis),
    })
}
