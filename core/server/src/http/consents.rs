//! What a customer allowed: `/api/v1/customers/{id}/consents`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use regard_model::consent::NewConsent;
use regard_model::{Consent, ConsentId, CustomerId};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Reader, Writer};
use super::body::Input;
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::Problem;
use super::query::Target;
use super::{Site, audit, customers};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(ledger, record))
}

/// The customer's consent ledger, newest first. The newest line of a purpose and a channel kind counts.
#[utoipa::path(
    get, path = "/customers/{id}/consents", tag = "customers", operation_id = "listConsents",
    params(("id" = CustomerId, Path, description = "The customer"), PageParams),
    responses((status = 200, description = "A page of the ledger", body = Page<Consent>)),
)]
async fn ledger(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<CustomerId>,
    listing: Listing<NoFilter, ConsentId>,
) -> Result<Json<Page<Consent>>, Problem> {
    let customer = customers::find(&site, id).await?;
    let mut lines = site.store.consent_ledger(customer.id).await?;
    lines.sort_by_key(|line| std::cmp::Reverse(line.id));
    lines.retain(|line| listing.after.is_none_or(|after| line.id < after));
    Ok(Json(listing.page(lines, |line| line.id)))
}

/// Adds a line to the ledger. A withdrawal holds from the next message on.
#[utoipa::path(
    post, path = "/customers/{id}/consents", tag = "customers", operation_id = "recordConsent",
    params(("id" = CustomerId, Path, description = "The customer")),
    request_body = NewConsent,
    responses((status = 201, description = "The line", body = Consent)),
)]
async fn record(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target(id): Target<CustomerId>,
    Input(new): Input<NewConsent>,
) -> Result<(StatusCode, Json<Consent>), Problem> {
    let consent = site.store.record_consent(id, new.checked()?).await?;
    let details = [
        ("purpose", json!(consent.purpose)),
        ("channel_kind", json!(consent.channel_kind)),
        ("state", json!(consent.state)),
    ];
    audit::record(&site, &who, "consent.recorded", customers::subject(consent.customer), details).await;
    Ok((StatusCode::CREATED, Json(consent)))
}
