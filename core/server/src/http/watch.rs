//! What happens around every request: an id, a span, a measurement, and an answer even when a handler panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::problem::{Problem, Trouble};
use super::telemetry::Telemetry;

/// Longest time for an ordinary request, in seconds. Clients and proxies seldom wait longer.
pub const REQUEST_S_MAX: u64 = 30;
/// Longest time for a request that evaluates a metric, compiles a plugin or exports a customer, in seconds.
pub const LONG_REQUEST_S_MAX: u64 = 600;
/// Names a request, here and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a caller, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Label of requests that no route took: their paths are as many as callers like, and each label value costs memory.
const NO_ROUTE: &str = "none";

/// Watches over one request.
pub async fn watch(State(telemetry): State<Arc<Telemetry>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %method, route);
    let answer = async {
        let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response =
            outcome.unwrap_or_else(|panic| Problem::internal(panic_text(panic.as_ref())).into_response());
        let (status, elapsed) = (response.status(), begun.elapsed());
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), ?elapsed, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), ?elapsed, "answered");
        }
        response
    };
    let mut response = answer.instrument(span).await;
    telemetry.answered(method, route, response.status(), begun.elapsed());
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers are about customers: no proxy and no browser may keep them.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Ends a request that takes longer than [`REQUEST_S_MAX`].
pub async fn within_limit(request: Request, next: Next) -> Response {
    within(REQUEST_S_MAX, request, next).await
}

/// Ends a request that takes longer than [`LONG_REQUEST_S_MAX`].
pub async fn within_long_limit(request: Request, next: Next) -> Response {
    within(LONG_REQUEST_S_MAX, request, next).await
}

async fn within(limit_s: u64, request: Request, next: Next) -> Response {
    match tokio::time::timeout(Duration::from_secs(limit_s), next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let told = format!(
                "the request was not done after {limit_s} s; whether it took effect is not known, so look before you repeat it"
            );
            Problem::new(Trouble::Timeout, told).into_response()
        }
    }
}

/// The caller's own id for the request, if it is a decent one, or a new one.
fn request_id(request: &Request) -> HeaderValue {
    let decent = |value: &&HeaderValue| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    request.headers().get(REQUEST_ID).filter(decent).cloned().unwrap_or_else(|| {
        let mut random = [0_u8; 8];
        // Without randomness two requests share an id in the log, which is no reason to refuse them.
        let _ = getrandom::fill(&mut random);
        HeaderValue::try_from(format!("{:016x}", u64::from_le_bytes(random)))
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("without a word"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    async fn boom() -> &'static str {
        panic!("boom")
    }

    async fn ask(path: &str, id: &str) -> Response {
        let router = Router::new()
            .route("/fine", get(|| async { "fine" }))
            .route("/boom", get(boom))
            .layer(from_fn_with_state(Arc::new(Telemetry::new()), watch));
        let request =
            Request::builder().uri(path).header(REQUEST_ID, id).body(Body::empty()).expect("a request");
        router.oneshot(request).await.expect("an answer")
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_named_only_in_the_log() {
        let response = ask("/boom", "r1").await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[REQUEST_ID], "r1");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        assert!(!String::from_utf8_lossy(&body).contains("boom"));
    }

    #[tokio::test]
    async fn a_decent_id_of_the_caller_is_kept() {
        assert_eq!(ask("/fine", "r-2").await.headers()[REQUEST_ID], "r-2");
        for other in ["", "has space", &"x".repeat(100)] {
            assert_ne!(ask("/fine", other).await.headers()[REQUEST_ID], other);
        }
    }
}
