//! What happened, read back: `GET /api/v1/interactions`, `GET /api/v1/customers/{id}/timeline`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regard_engine::ports::InteractionFilter;
use regard_model::{CustomerId, Interaction, InteractionId, Kind, Timestamp};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Reader};
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::Problem;
use super::query::Target;
use super::{Site, customers};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(timeline))
}

/// What narrows the list of interactions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InteractionsFilter {
    /// Of this kind, such as `order.placed`.
    kind: Option<Kind>,
    /// On the channel of this name.
    channel: Option<String>,
    /// Of this customer, merges resolved.
    customer: Option<CustomerId>,
    /// Occurred at or after this instant or day.
    since: Option<Timestamp>,
    /// Occurred before this instant or day.
    until: Option<Timestamp>,
}

/// Interactions, latest first.
#[utoipa::path(
    get, path = "/interactions", tag = "interactions", operation_id = "listInteractions",
    params(InteractionsFilter, PageParams),
    responses((status = 200, description = "A page of interactions", body = Page<Interaction>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    listing: Listing<InteractionsFilter, (Timestamp, InteractionId)>,
) -> Result<Json<Page<Interaction>>, Problem> {
    let wanted = &listing.filter;
    let filter = InteractionFilter {
        customer: wanted.customer,
        channel: wanted.channel.clone(),
        kind: wanted.kind.as_ref().map(ToString::to_string),
        since: wanted.since,
        until: wanted.until,
    };
    let found = site.store.list_interactions(&filter, listing.after, listing.probe()).await?;
    Ok(Json(listing.page(found, position)))
}

/// Everything that happened with a customer, on all channels, latest first.
#[utoipa::path(
    get, path = "/customers/{id}/timeline", tag = "customers", operation_id = "getTimeline",
    params(("id" = CustomerId, Path, description = "The customer"), PageParams),
    responses((status = 200, description = "A page of interactions", body = Page<Interaction>)),
)]
async fn timeline(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<CustomerId>,
    listing: Listing<NoFilter, (Timestamp, InteractionId)>,
) -> Result<Json<Page<Interaction>>, Problem> {
    let customer = customers::find(&site, id).await?;
    let found = site.store.timeline(customer.id, listing.after, listing.probe()).await?;
    Ok(Json(listing.page(found, position)))
}

/// Where an interaction stands in lists: by the instant it occurred, then by id.
pub(super) fn position(interaction: &Interaction) -> (Timestamp, InteractionId) {
    (interaction.occurred_at, interaction.id)
}
