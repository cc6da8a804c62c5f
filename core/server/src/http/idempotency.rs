//! `Idempotency-Key`: a POST that is sent again gets the first answer again, and nothing happens twice.
//!
//! A key belongs to one caller and one request. The first answer is kept in the store, so a repeat after a restart, or
//! at another node, finds it. Answers of the 500s are not kept: the caller is meant to try those again.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use regard_model::outbox::KEY_BYTES_MAX;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Site;
use super::auth::Principal;
use super::body::{BODY_BYTES_MAX, read_body};
use super::plugins::PLUGIN_BODY_BYTES_MAX;
use super::problem::{Problem, Trouble};

/// Carries the key.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells a caller that nothing was done this time.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Keys of requests that are being served now, with their callers.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashSet<(String, String)>>>);

impl InFlight {
    /// Takes the key until the claim is dropped; nothing when somebody has it.
    fn claim(&self, actor: &str, key: &str) -> Option<Claim> {
        let taken = (actor.to_owned(), key.to_owned());
        self.0.lock().insert(taken.clone()).then(|| Claim { in_flight: self.clone(), taken })
    }
}

/// Gives the key back even when the caller goes away in the middle.
struct Claim {
    in_flight: InFlight,
    taken: (String, String),
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.in_flight.0.lock().remove(&self.taken);
    }
}

/// An answer as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    content_type: Option<String>,
    location: Option<String>,
    body: String,
}

/// Serves a POST that carries a key once; every other request just goes on.
pub async fn once(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    serve_once(&site, request, next).await.unwrap_or_else(Problem::into_response)
}

async fn serve_once(site: &Arc<Site>, request: Request, next: Next) -> Result<Response, Problem> {
    let key = read_key(request.headers())?;
    let (mut parts, body) = request.into_parts();
    let actor = Principal::from_request_parts(&mut parts, site).await?.actor();
    let body = read_body(body, body_limit(&parts)).await?;
    let mut hash = Sha256::new();
    hash.update(parts.uri.to_string());
    hash.update([0]);
    hash.update(&body);
    let digest = URL_SAFE_NO_PAD.encode(hash.finalize());

    let Some(_claim) = site.in_flight.claim(&actor, &key) else {
        return Err(Problem::new(
            Trouble::Conflict,
            "a request with this Idempotency-Key is being served right now; wait for its answer",
        ));
    };
    if let Some(kept) = site.store.find_answer(&actor, &key).await? {
        if kept.request_digest != digest {
            return Err(Problem::new(
                Trouble::KeyReused,
                "this Idempotency-Key came with another request before; take a new key for a new request",
            ));
        }
        return replay(kept.status, &kept.body);
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if response.status().is_server_error() {
        return Ok(response);
    }
    keep(site, &actor, &key, &digest, response).await
}

/// The handler's own limit still holds; this one only keeps a caller from filling the memory before it does.
fn body_limit(parts: &Parts) -> usize {
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if route.ends_with("/plugins") { PLUGIN_BODY_BYTES_MAX } else { BODY_BYTES_MAX }
}

fn read_key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    if (1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(key.to_owned());
    }
    let told = format!(
        "the header Idempotency-Key has 1 to {KEY_BYTES_MAX} visible ASCII characters, such as a UUID"
    );
    Err(Problem::new(Trouble::Malformed, told))
}

fn replay(status: u16, kept: &[u8]) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(status).map_err(Problem::internal)?;
    let kept: Kept = serde_json::from_slice(kept).map_err(Problem::internal)?;
    let mut response = (status, kept.body).into_response();
    let headers = response.headers_mut();
    for (name, value) in [(CONTENT_TYPE, kept.content_type), (LOCATION, kept.location)] {
        headers.remove(&name);
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// Keeps the answer and hands it on.
async fn keep(
    site: &Site,
    actor: &str,
    key: &str,
    digest: &str,
    response: Response,
) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(Problem::internal)?;
    let text =
        |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let kept = Kept {
        content_type: text(CONTENT_TYPE),
        location: text(LOCATION),
        // Every answer under a key is JSON, and so UTF-8.
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let kept = serde_json::to_vec(&kept).map_err(Problem::internal)?;
    // The request took effect; failing it now because its answer could not be kept would only make it worse.
    if let Err(error) = site.store.remember_answer(actor, key, digest, parts.status.as_u16(), &kept).await {
        tracing::error!(%error, key, "the answer under an idempotency key could not be kept");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::PROBLEM_JSON;

    #[test]
    fn a_key_is_free_again_when_its_request_ends() {
        let in_flight = InFlight::default();
        let claim = in_flight.claim("token:1", "k");
        assert!(claim.is_some());
        assert!(in_flight.claim("token:1", "k").is_none());
        assert!(in_flight.claim("token:2", "k").is_some(), "another caller's key is another key");
        drop(claim);
        assert!(in_flight.claim("token:1", "k").is_some());
    }

    #[test]
    fn answers_come_back_as_they_were() {
        let kept = Kept { content_type: Some(PROBLEM_JSON.into()), location: None, body: "{}".into() };
        let response = replay(409, &serde_json::to_vec(&kept).expect("json")).expect("an answer");
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[REPLAYED], "true");
    }
}
