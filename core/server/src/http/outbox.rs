//! Messages on their way out: `/api/v1/outbox`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regard_model::{DeliveryAttempt, OutboxEntry, OutboxId, OutboxState};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Reader, Writer};
use super::page::{Listing, Page, PageParams};
use super::problem::Problem;
use super::query::Target;
use super::{Site, audit};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(requeue))
}

/// What narrows the list of messages.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OutboxFilter {
    /// In this state.
    state: Option<OutboxState>,
}

/// A message and every try to deliver it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EntryWithAttempts {
    #[serde(flatten)]
    entry: OutboxEntry,
    /// The tries, in order.
    tries: Vec<DeliveryAttempt>,
}

/// Messages, newest first.
#[utoipa::path(
    get, path = "/outbox", tag = "outbox", operation_id = "listOutbox",
    params(OutboxFilter, PageParams),
    responses((status = 200, description = "A page of messages", body = Page<OutboxEntry>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    listing: Listing<OutboxFilter, OutboxId>,
) -> Result<Json<Page<OutboxEntry>>, Problem> {
    let entries = site.store.list_outbox(listing.filter.state, listing.after, listing.probe()).await?;
    Ok(Json(listing.page(entries, |entry| entry.id)))
}

/// One message with every try to deliver it.
#[utoipa::path(
    get, path = "/outbox/{id}", tag = "outbox", operation_id = "getOutboxEntry",
    params(("id" = OutboxId, Path, description = "The message")),
    responses((status = 200, description = "The message", body = EntryWithAttempts)),
)]
async fn get(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<OutboxId>,
) -> Result<Json<EntryWithAttempts>, Problem> {
    let entry =
        site.store.find_outbox_entry(id).await?.ok_or_else(|| Problem::not_found("outbox entry", id))?;
    let tries = site.store.delivery_attempts(id).await?;
    Ok(Json(EntryWithAttempts { entry, tries }))
}

/// Sends a message again that was given up, held back or left in doubt.
#[utoipa::path(
    post, path = "/outbox/{id}/requeue", tag = "outbox", operation_id = "requeueOutboxEntry",
    params(("id" = OutboxId, Path, description = "The message")),
    responses(
        (status = 200, description = "The message, waiting again", body = OutboxEntry),
        (status = 409, description = "It waits, is being delivered or was delivered"),
    ),
)]
async fn requeue(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target(id): Target<OutboxId>,
) -> Result<Json<OutboxEntry>, Problem> {
    let entry = site.store.requeue(id).await?;
    site.pipeline.wake();
    audit::record(
        &site,
        &who,
        "message.requeued",
        format!("outbox:{id}"),
        [("customer", json!(entry.customer))],
    )
    .await;
    Ok(Json(entry))
}
