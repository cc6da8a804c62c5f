//! The audit log: who changed what. `GET /api/v1/audit`.

use std::fmt::Display;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regard_model::{Attributes, AuditEntry, AuditId};
use regard_store::AuditFilter;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Site;
use super::auth::{Needs, Operator, Principal};
use super::page::{Listing, Page, PageParams};
use super::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Writes down that `who` did `action` to `subject`. `details` must not hold secrets, nor what a customer wrote.
///
/// The change is made by then. Were the call to fail because its line cannot be written, the caller would make the
/// change again; so the line goes to the server's log instead.
pub(super) async fn record(
    site: &Site,
    who: &Principal,
    action: &str,
    subject: impl Display,
    details: impl Into<Attributes>,
) {
    let (subject, details) = (subject.to_string(), details.into());
    if let Err(error) = site.store.append_audit(&who.actor(), action, &subject, details.clone()).await {
        tracing::error!(%error, actor = who.actor(), action, subject, ?details, "the audit log misses this line");
    }
}

/// What narrows the audit log.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Who: `token:<id>`, `plugin:<id>`, `cli`.
    actor: Option<String>,
    /// What, such as `customer.merged`.
    action: Option<String>,
    /// To what, such as `customer:<id>`.
    subject: Option<String>,
}

/// The audit log, newest first. Each line carries the hash of the one before.
#[utoipa::path(
    get, path = "/audit", tag = "operation", operation_id = "listAudit",
    params(AuditQuery, PageParams),
    responses((status = 200, description = "A page of the log", body = Page<AuditEntry>)),
)]
async fn list(
    _: Needs<Operator>,
    State(site): State<Arc<Site>>,
    listing: Listing<AuditQuery, AuditId>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let AuditQuery { actor, action, subject } = listing.filter.clone();
    let filter = AuditFilter { actor, action, subject };
    let entries = site.store.list_audit(&filter, listing.after, listing.probe()).await?;
    Ok(Json(listing.page(entries, |entry| entry.id)))
}
