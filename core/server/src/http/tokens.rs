//! Access tokens: `/api/v1/tokens`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use regard_model::access::Token;
use regard_model::invalid::check_text;
use regard_model::{Role, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Operator};
use super::body::Input;
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::Problem;
use super::query::Target;
use super::{Site, audit};

/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 128;
/// Label of tokens that were made without one.
const LABEL_DEFAULT: &str = "api";

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(revoke))
}

/// Apart from the others: an answer that shows a secret must not be kept for repeats.
pub(super) fn creating() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(create))
}

/// A token to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
struct TokenInput {
    /// What its bearer may do.
    role: Role,
    /// A word to tell tokens apart.
    label: Option<String>,
}

/// A new token with its secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CreatedToken {
    /// Names the token.
    id: TokenId,
    /// What its bearer may do.
    role: Role,
    /// A word to tell tokens apart.
    label: String,
    /// The secret for `Authorization: Bearer`; shown this once.
    token: String,
}

/// Tokens, revoked ones included, newest first. Secrets are never shown.
#[utoipa::path(
    get, path = "/tokens", tag = "operation", operation_id = "listTokens",
    params(PageParams),
    responses((status = 200, description = "A page of tokens", body = Page<Token>)),
)]
async fn list(
    _: Needs<Operator>,
    State(site): State<Arc<Site>>,
    listing: Listing<NoFilter, TokenId>,
) -> Result<Json<Page<Token>>, Problem> {
    let mut tokens = site.store.list_tokens().await?;
    tokens.sort_by_key(|token| std::cmp::Reverse(token.id));
    tokens.retain(|token| listing.after.is_none_or(|after| token.id < after));
    Ok(Json(listing.page(tokens, |token| token.id)))
}

/// Makes a token. Its secret is shown this once.
#[utoipa::path(
    post, path = "/tokens", tag = "operation", operation_id = "createToken",
    request_body = TokenInput,
    responses((status = 201, description = "The token with its secret", body = CreatedToken)),
)]
async fn create(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Input(input): Input<TokenInput>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let label = input.label.unwrap_or_else(|| LABEL_DEFAULT.to_owned());
    check_text("label", &label, LABEL_BYTES_MAX)?;
    let (token, secret) = site.store.create_token(input.role, &label).await?;
    let details = [("role", json!(token.role)), ("label", json!(token.label))];
    audit::record(&site, &who, "token.created", format!("token:{}", token.id), details).await;
    let created = CreatedToken { id: token.id, role: token.role, label: token.label, token: secret };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Revokes a token at once.
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "operation", operation_id = "revokeToken",
    params(("id" = TokenId, Path, description = "The token")),
    responses((status = 204, description = "The token is no longer valid")),
)]
async fn revoke(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Target(id): Target<TokenId>,
) -> Result<StatusCode, Problem> {
    site.store.revoke_token(id).await?;
    audit::record(&site, &who, "token.revoked", format!("token:{id}"), []).await;
    Ok(StatusCode::NO_CONTENT)
}
