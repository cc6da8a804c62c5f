//! What happens around every request: an id, a span, a measurement, and an answer even when a handler panics.

use std::any::Any;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::problem::{Inside, Problem, Trouble};
use super::telemetry::Telemetry;

/// Longest time for an ordinary request, in seconds. Clients and proxies seldom wait longer.
pub const REQUEST_S_MAX: u64 = 30;
/// Longest time for a request on a route that evaluates a metric, compiles a plugin or exports a customer, in seconds.
pub const LONG_REQUEST_S_MAX: u64 = 600;
/// Names a request, here and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The last id that was given out. Counting begins at random, so that two servers, or one before and after a restart,
/// hardly ever give the same.
static LAST_ID: LazyLock<AtomicU64> = LazyLock::new(|| {
    let mut random = [0_u8; 8];
    // Without randomness two requests may share an id in the log, which is no reason to refuse them.
    let _ = getrandom::fill(&mut random);
    AtomicU64::new(u64::from_le_bytes(random))
});
/// Longest id that is taken over from a caller, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Label of requests that no route took: their paths are as many as callers like, and each label value costs memory.
const NO_ROUTE: &str = "none";

/// What watching needs.
#[derive(Debug)]
pub struct Watch {
    telemetry: Arc<Telemetry>,
    /// Routes with the long limit.
    long: HashSet<String>,
}

impl Watch {
    /// Measures into `telemetry`; requests on the routes `long` may take longer than others.
    pub const fn new(telemetry: Arc<Telemetry>, long: HashSet<String>) -> Self {
        Self { telemetry, long }
    }
}

/// Watches over one request.
pub async fn watch(State(site): State<Arc<Watch>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    // Nothing is paid for a span that nobody looks at; what goes wrong is logged below with everything that tells it.
    let span = tracing::debug_span!("request", id = id.to_str().unwrap_or_default(), %method, route);
    let limit_s = if site.long.contains(&route) { LONG_REQUEST_S_MAX } else { REQUEST_S_MAX };
    let answer = async {
        let outcome = AssertUnwindSafe(within(limit_s, request, next)).catch_unwind().await;
        outcome.unwrap_or_else(|panic| Problem::internal(panic_text(panic.as_ref())).into_response())
    };
    let mut response = answer.instrument(span).await;
    let (status, elapsed) = (response.status().as_u16(), begun.elapsed());
    let told = response.extensions().get().map_or("answered", |Inside(inside)| inside.as_str());
    if response.status().is_server_error() {
        tracing::error!(?id, %method, route, status, ?elapsed, "{told}");
    } else if response.extensions().get::<Inside>().is_some() {
        tracing::info!(?id, %method, route, status, ?elapsed, "{told}");
    } else {
        tracing::debug!(?id, %method, route, status, ?elapsed, "{told}");
    }
    site.telemetry.answered(method, route, response.status(), begun.elapsed());
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers are about customers: no proxy and no browser may keep them.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The answer of what comes after, or one that says that it took too long.
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
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed);
        HeaderValue::try_from(format!("{id:016x}")).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
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
        let router = Router::new().route("/fine", get(|| async { "fine" })).route("/boom", get(boom)).layer(
            from_fn_with_state(Arc::new(Watch::new(Arc::new(Telemetry::new()), HashSet::new())), watch),
        );
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
