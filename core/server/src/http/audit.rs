//! The audit log: who changed what. `GET /api/v1/audit`.

use std::fmt::Display;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regard_model::{Attributes, AuditEntry, AuditId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Site;
use super::auth::{Needs, Operator, Principal};
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Writes down that `who` did `action` to `subject`. `details` must not hold secrets, nor what a customer wrote.
pub(super) async fn record(
    site: &Site,
    who: &Principal,
    action: &str,
    subject: impl Display,
    details: impl Into<Attributes>,
) -> Result<(), Problem> {
    Ok(site.store.audit_append(who.actor(), action, &subject.to_string(), details.into()).await?)
}

/// The audit log, newest first. Each line carries the hash of the one before.
#[utoipa::path(
    get, path = "/audit", tag = "operation", operation_id = "listAudit",
    params(PageParams),
    responses((status = 200, description = "A page of the log", body = Page<AuditEntry>)),
)]
async fn list(
    _: Needs<Operator>,
    State(site): State<Arc<Site>>,
    listing: Listing<NoFilter, AuditId>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let entries = site.store.audit(listing.after, listing.probe()).await?;
    Ok(Json(listing.page(entries, |entry| entry.id)))
}
