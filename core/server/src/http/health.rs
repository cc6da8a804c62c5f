//! Whether the server runs, and whether it can serve: for load balancers and supervisors.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Site;
use super::problem::Problem;

/// How the server is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
    /// Version of the program.
    version: &'static str,
}

impl Health {
    const GOOD: Self = Self { status: "ok", version: env!("CARGO_PKG_VERSION") };
}

/// Whether the server runs; asks nobody else.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", operation_id = "health",
    responses((status = 200, description = "The server runs", body = Health)),
)]
pub async fn healthz() -> Json<Health> {
    Json(Health::GOOD)
}

/// Whether the server can serve: the database answers.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "readiness",
    responses((status = 200, description = "The server can serve", body = Health)),
)]
pub async fn readyz(State(site): State<Arc<Site>>) -> Result<Json<Health>, Problem> {
    site.store.ping().await?;
    Ok(Json(Health::GOOD))
}
