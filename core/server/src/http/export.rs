//! Everything known about a customer, for a request under data protection law: `GET /api/v1/customers/{id}/export`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regard_model::{Attributes, CustomerId};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Reader};
use super::problem::Problem;
use super::query::Target;
use super::{Site, customers};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(export))
}

/// Everything known about a customer, as one document.
#[utoipa::path(
    get, path = "/customers/{id}/export", tag = "customers", operation_id = "exportCustomer",
    params(("id" = CustomerId, Path, description = "The customer")),
    responses((status = 200, description = "Customer, identifiers, relationships, merges, consents, interactions, observations, messages", body = Object)),
)]
async fn export(
    who: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<CustomerId>,
) -> Result<Json<Value>, Problem> {
    let customer = customers::find(&site, id).await?;
    // Reading all of a person's life at once leaves a trace, as a change does; without the trace there is no reading.
    let subject = customers::subject(customer.id);
    site.store.append_audit(&who.actor(), "customer.exported", &subject, Attributes::new()).await?;
    Ok(Json(site.store.export_customer(customer.id).await?))
}
