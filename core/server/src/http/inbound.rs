//! Webhooks of connected providers: `POST /api/v1/inbound/{channel}`.
//!
//! A provider has no token of ours. The connector checks its signature over the raw body, so nothing here reads or
//! changes what came.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use regard_engine::ports::{Channels as _, Webhook, WebhookReply};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Site;
use super::body::read_body;
use super::problem::{Problem, Trouble};
use super::query::Target;

/// Largest webhook call, in bytes; providers send far less, and a guest's memory has to hold it several times.
const WEBHOOK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Headers that a connector may answer with. Others speak for the server, not for a plugin.
const ANSWER_HEADERS: [HeaderName; 1] = [CONTENT_TYPE];

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// Takes a webhook call for a channel.
///
/// The channel's connector checks the signature and reads the call; its answer goes out after everything is durable.
/// A wrong signature is answered with 401, a call that cannot be read with 400.
#[utoipa::path(
    post, path = "/inbound/{channel}", tag = "channels", operation_id = "receiveWebhook",
    params(("channel" = String, Path, description = "Name of the channel")),
    request_body(content = String, content_type = "*/*", description = "Whatever the provider sends"),
    responses((status = 200, description = "The connector's answer; status and body are the connector's")),
)]
async fn receive(
    State(site): State<Arc<Site>>,
    Target(name): Target<String>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = site.store.by_name(&name).ok_or_else(|| Problem::not_found("channel", &name))?;
    if !channel.enabled {
        let told = format!("the channel `{name}` is switched off");
        return Err(Problem::new(Trouble::Unavailable, told));
    }
    if channel.connector.is_none() {
        return Err(Problem::new(
            Trouble::NotFound,
            format!("the channel `{name}` has no connector that takes calls"),
        ));
    }
    let (parts, body) = request.into_parts();
    let webhook = Webhook {
        method: parts.method.to_string(),
        path: String::new(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: text_headers(&parts.headers),
        body: read_body(body, WEBHOOK_BYTES_MAX).await?.to_vec(),
    };
    let reply = site.pipeline.receive_webhook(&channel, webhook).await?;
    site.pipeline.wake();
    answer(reply)
}

/// Headers that are text, names in lower case as hyper gives them.
fn text_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

fn answer(reply: WebhookReply) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(reply.http_status()).ok().filter(|status| status.as_u16() >= 200);
    let status = status.ok_or_else(|| {
        let told = format!("the connector answered with the status {}, which is none", reply.status);
        Problem::new(Trouble::PluginFailed, told)
    })?;
    let mut response = (status, Body::from(reply.body)).into_response();
    for (name, value) in reply.headers {
        let header = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = header
            && ANSWER_HEADERS.contains(&name)
        {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
