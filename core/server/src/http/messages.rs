//! Writing to a customer: `POST /api/v1/channels/{id}/send`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regard_model::id::OutboxMark;
use regard_model::outbox::NewMessage;
use regard_model::{Attributes, CustomerId, OutboxEntry, Timestamp};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Principal, Writer};
use super::body::Input;
use super::idempotency::IDEMPOTENCY_KEY;
use super::problem::Problem;
use super::query::Target;
use super::{Site, audit, channels, customers};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(send))
}

/// A message to a customer.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMessage)]
struct MessageInput {
    /// To whom.
    customer: CustomerId,
    /// What for; consent is asked by purpose. `service` needs none.
    #[schema(example = "service")]
    purpose: String,
    /// The text.
    body: String,
    /// Subject line, for channels that have one.
    subject: Option<String>,
    /// Conversation to go on with, as the source names it.
    thread: Option<String>,
    /// Whatever the channel documents.
    #[serde(default)]
    parameters: Attributes,
    /// Not before this instant; at once when left out.
    not_before: Option<Timestamp>,
}

/// Puts a message into the outbox.
///
/// Delivery asks for consent and for an address, and tries again while the provider fails; the entry tells what became
/// of the message.
#[utoipa::path(
    post, path = "/channels/{id}/send", tag = "channels", operation_id = "sendMessage",
    params(("id" = String, Path, description = "The channel's id or its name")),
    request_body = MessageInput,
    responses((status = 202, description = "The message waits in the outbox", body = OutboxEntry)),
)]
async fn send(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target(channel): Target<String>,
    headers: HeaderMap,
    Input(input): Input<MessageInput>,
) -> Result<(StatusCode, Json<OutboxEntry>), Problem> {
    let channel = channels::find(&site, &channel).await?;
    let customer = customers::find(&site, input.customer).await?;
    let mut parameters = input.parameters;
    for (name, value) in [("subject", input.subject), ("thread", input.thread)] {
        if let Some(value) = value {
            parameters.set(name, value);
        }
    }
    let message = NewMessage {
        customer: customer.id,
        purpose: input.purpose,
        channel: Some(channel.name),
        body: input.body,
        parameters,
        idempotency_key: message_key(&site, &who, &headers),
        not_before: input.not_before,
    };
    let entry = site.store.enqueue(message.checked()?, &who.actor(), None).await?;
    site.pipeline.wake();
    let details = [
        ("customer", json!(entry.customer)),
        ("purpose", json!(entry.purpose)),
        ("channel", json!(entry.channel)),
    ];
    audit::record(&site, &who, "message.enqueued", format!("outbox:{}", entry.id), details).await;
    Ok((StatusCode::ACCEPTED, Json(entry)))
}

/// The key under which the message is enqueued once. With the caller's own key, a repeat finds the message even when
/// the server died between storing it and answering.
fn message_key(site: &Site, who: &Principal, headers: &HeaderMap) -> String {
    let given = headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
    let Some(key) = given else { return format!("api:{}", site.store.next_id::<OutboxMark>()) };
    let digest = Sha256::new().chain_update(who.actor()).chain_update([0]).chain_update(key).finalize();
    format!("api:{}", URL_SAFE_NO_PAD.encode(digest))
}
