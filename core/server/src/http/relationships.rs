//! Ties between customers: `/api/v1/customers/{id}/relationships`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use regard_model::{CustomerId, Relationship};
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Reader, Writer};
use super::body::Input;
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::{Problem, Trouble, echo};
use super::query::Target;
use super::{Site, audit, customers};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(remove))
}

/// A tie to add.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRelationship)]
struct RelationshipInput {
    /// The kind of tie, a slug such as `works-for`, `referred-by` or `partner-of`.
    kind: String,
    /// To whom.
    to: CustomerId,
}

/// A customer's ties, in both directions.
#[utoipa::path(
    get, path = "/customers/{id}/relationships", tag = "customers", operation_id = "listRelationships",
    params(("id" = CustomerId, Path, description = "The customer"), PageParams),
    responses((status = 200, description = "A page of ties", body = Page<Relationship>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<CustomerId>,
    listing: Listing<NoFilter, (CustomerId, String, CustomerId)>,
) -> Result<Json<Page<Relationship>>, Problem> {
    let position = |tie: &Relationship| (tie.from, tie.kind.clone(), tie.to);
    let mut ties = site.store.list_relationships(customers::find(&site, id).await?.id).await?;
    ties.sort_by_key(position);
    ties.retain(|tie| listing.after.as_ref().is_none_or(|after| position(tie) > *after));
    Ok(Json(listing.page(ties, position)))
}

/// Ties a customer to another one. A tie that is there already stays as it is.
#[utoipa::path(
    post, path = "/customers/{id}/relationships", tag = "customers", operation_id = "addRelationship",
    params(("id" = CustomerId, Path, description = "Who has the tie")),
    request_body = RelationshipInput,
    responses((status = 201, description = "The tie", body = Relationship)),
)]
async fn add(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target(id): Target<CustomerId>,
    Input(input): Input<RelationshipInput>,
) -> Result<(StatusCode, Json<Relationship>), Problem> {
    let tie = site.store.add_relationship(id, &input.kind, input.to).await?;
    let details = [("kind", json!(tie.kind)), ("to", json!(tie.to))];
    audit::record(&site, &who, "relationship.added", customers::subject(tie.from), details).await;
    Ok((StatusCode::CREATED, Json(tie)))
}

/// Takes a tie away.
#[utoipa::path(
    delete, path = "/customers/{id}/relationships/{kind}/{to}", tag = "customers", operation_id = "removeRelationship",
    params(
        ("id" = CustomerId, Path, description = "Who has the tie"),
        ("kind" = String, Path, description = "The kind of tie"),
        ("to" = CustomerId, Path, description = "To whom"),
    ),
    responses((status = 204, description = "The tie is gone")),
)]
async fn remove(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target((id, kind, to)): Target<(CustomerId, String, CustomerId)>,
) -> Result<StatusCode, Problem> {
    if !site.store.remove_relationship(id, &kind, to).await? {
        return Err(Problem::new(Trouble::NotFound, format!("{id} has no tie `{}` to {to}", echo(&kind))));
    }
    let details = [("kind", json!(kind)), ("to", json!(to))];
    audit::record(&site, &who, "relationship.removed", customers::subject(id), details).await;
    Ok(StatusCode::NO_CONTENT)
}
