//! Two customers that turn out to be one, and back: `/api/v1/customers/{id}/merge`, `/api/v1/merges`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use regard_model::{Attributes, CustomerId, Merge, MergeId};
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Reader, Writer};
use super::body::Input;
use super::problem::Problem;
use super::query::Target;
use super::{Site, audit, customers};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(merge)).routes(routes!(get)).routes(routes!(undo))
}

/// With whom to merge, and why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMerge)]
struct MergeInput {
    /// The customer that goes on.
    into: CustomerId,
    /// Why, in words.
    reason: String,
    /// What speaks for it: scores, matching fields.
    #[serde(default)]
    evidence: Attributes,
}

/// Merges a customer into another one.
///
/// Nothing is rewritten: reading resolves through the ledger of merges, so the merge can be undone exactly.
#[utoipa::path(
    post, path = "/customers/{id}/merge", tag = "customers", operation_id = "mergeCustomer",
    params(("id" = CustomerId, Path, description = "The customer that is read as the other one from now on")),
    request_body = MergeInput,
    responses(
        (status = 201, description = "The merge", body = Merge, headers(("location" = String, description = "Where it is"))),
        (status = 409, description = "They are one customer already"),
    ),
)]
async fn merge(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target(from): Target<CustomerId>,
    Input(input): Input<MergeInput>,
) -> Result<impl IntoResponse, Problem> {
    let merge =
        site.store.merge_customers(from, input.into, &input.reason, input.evidence, &who.actor()).await?;
    site.pipeline.wake();
    let details = [("merge", json!(merge.id)), ("into", json!(merge.into))];
    audit::record(&site, &who, "customer.merged", customers::subject(merge.from), details).await;
    let location = format!("/api/v1/merges/{}", merge.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(merge)))
}

/// One merge.
#[utoipa::path(
    get, path = "/merges/{id}", tag = "customers", operation_id = "getMerge",
    params(("id" = MergeId, Path, description = "The merge")),
    responses((status = 200, description = "The merge", body = Merge)),
)]
async fn get(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<MergeId>,
) -> Result<Json<Merge>, Problem> {
    site.store.find_merge(id).await?.map(Json).ok_or_else(|| Problem::not_found("merge", id))
}

/// Undoes a merge: both customers are again what they were.
#[utoipa::path(
    post, path = "/merges/{id}/undo", tag = "customers", operation_id = "undoMerge",
    params(("id" = MergeId, Path, description = "The merge")),
    responses(
        (status = 200, description = "The merge, undone", body = Merge),
        (status = 409, description = "It was undone before"),
    ),
)]
async fn undo(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target(id): Target<MergeId>,
) -> Result<Json<Merge>, Problem> {
    let merge = site.store.undo_merge(id).await?;
    site.pipeline.wake();
    let details = [("merge", json!(merge.id)), ("into", json!(merge.into))];
    audit::record(&site, &who, "customer.unmerged", customers::subject(merge.from), details).await;
    Ok(Json(merge))
}
