//! What the server measures, for Prometheus: `GET /metrics`.
//!
//! Counters that this process keeps are registered once. What the store and the plugins know is asked when somebody
//! looks, so that nothing has to be kept in step.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};
use regard_host::stats::{CallStats, LATENCY_US, PluginStats};
use regard_model::OutboxState;

use super::Site;
use super::auth::{Needs, Observer};
use super::problem::Problem;

/// Upper bounds of the latency histogram, in seconds: from a cached read to a long evaluation.
const LATENCY_BOUNDS_S: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];
/// Media type of the text format (OpenMetrics 1.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    plugin: String,
    call: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    plugin: String,
    call: &'static str,
    fault: &'static str,
}

/// The latency of one of a plugin's functions, which the host has counted already.
#[derive(Debug, Default)]
struct Latency(OnceLock<CallStats>);

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(stats) = self.0.get() else { return Ok(()) };
        let bounds = LATENCY_US.iter().map(|&us| us as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(stats.latency).collect();
        encoder.encode_histogram::<NoLabelSet>(stats.elapsed.as_secs_f64(), stats.calls, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The measurements of this process.
pub struct Telemetry {
    registry: Registry,
    answers: Family<AnswerLabels, Counter>,
    latency: Family<RouteLabels, Histogram>,
    interactions: Family<OutcomeLabels, Counter>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("regard");
        let answers = Family::default();
        let latency: Family<RouteLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(LATENCY_BOUNDS_S));
        let interactions = Family::default();
        registry.register("http_requests", "Requests by route and status", answers.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time to the answer",
            Unit::Seconds,
            latency.clone(),
        );
        registry.register(
            "interactions",
            "Interactions handed in over HTTP, by outcome",
            interactions.clone(),
        );
        Self { registry, answers, latency, interactions }
    }

    /// A request was answered.
    pub fn answered(&self, method: Method, route: String, status: StatusCode, elapsed: Duration) {
        let method = method.as_str().to_owned();
        let labels = RouteLabels { method: method.clone(), route: route.clone() };
        self.latency.get_or_create(&labels).observe(elapsed.as_secs_f64());
        self.answers.get_or_create(&AnswerLabels { method, route, status: status.as_u16() }).inc();
    }

    /// Interactions were handed in.
    pub fn received(&self, accepted: u64, duplicates: u64, rejected: u64) {
        for (outcome, count) in [("accepted", accepted), ("duplicate", duplicates), ("rejected", rejected)] {
            if count > 0 {
                self.interactions.get_or_create(&OutcomeLabels { outcome }).inc_by(count);
            }
        }
    }

    fn encode(
        &self,
        outbox: &[(OutboxState, u64)],
        plugins: &[PluginStats],
    ) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &asked(outbox, plugins))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// What the store and the host tell, as a registry of its own.
fn asked(outbox: &[(OutboxState, u64)], plugins: &[PluginStats]) -> Registry {
    let mut registry = Registry::with_prefix("regard");
    let entries: Family<StateLabels, Gauge> = Family::default();
    for state in OutboxState::ALL {
        let count = outbox.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count);
        entries
            .get_or_create(&StateLabels { state: state.as_str() })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    let latency: Family<CallLabels, Latency> = Family::default();
    let computed: Family<CallLabels, Counter<f64, AtomicU64>> = Family::default();
    let memory: Family<PluginLabels, Gauge> = Family::default();
    let faults: Family<FaultLabels, Counter> = Family::default();
    for stats in plugins {
        let plugin = &stats.plugin;
        memory
            .get_or_create(&PluginLabels { plugin: plugin.clone() })
            .set(i64::try_from(stats.memory_peak_bytes).unwrap_or(i64::MAX));
        for one in &stats.calls {
            let labels = CallLabels { plugin: plugin.clone(), call: one.call };
            computed.get_or_create(&labels).inc_by(one.computed.as_secs_f64());
            for (fault, count) in &one.faults {
                let labels = FaultLabels { plugin: plugin.clone(), call: one.call, fault: fault.as_str() };
                faults.get_or_create(&labels).inc_by(*count);
            }
            // Set once: each scrape has a registry of its own.
            let _ = latency.get_or_create(&labels).0.set(one.clone());
        }
    }
    registry.register("outbox_entries", "Messages in the outbox, by state", entries);
    registry.register_with_unit(
        "plugin_call_duration",
        "Time that a plugin's calls took, failed ones included",
        Unit::Seconds,
        latency,
    );
    registry.register_with_unit(
        "plugin_call_computed",
        "Time that a plugin itself computed, without what it waited for",
        Unit::Seconds,
        computed,
    );
    registry.register_with_unit("plugin_memory_peak", "Most memory of one instance", Unit::Bytes, memory);
    registry.register("plugin_faults", "Failed calls of a plugin, by kind of failure", faults);
    registry
}

/// Measurements in the text format of Prometheus (OpenMetrics).
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "scrape",
    responses((status = 200, description = "The measurements", body = String, content_type = "application/openmetrics-text")),
)]
pub async fn scrape(_: Needs<Observer>, State(site): State<Arc<Site>>) -> Result<impl IntoResponse, Problem> {
    let outbox = site.store.count_outbox().await?;
    let text = site.telemetry.encode(&outbox, &site.host.stats()).map_err(Problem::internal)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use regard_engine::Fault;

    #[test]
    fn both_registries_make_one_document() {
        let telemetry = Telemetry::new();
        telemetry.answered(Method::GET, "/healthz".into(), StatusCode::OK, Duration::from_millis(2));
        telemetry.received(2, 1, 0);
        let stats = PluginStats {
            plugin: "kpi-clv".into(),
            calls: vec![CallStats {
                call: "finish",
                calls: 3,
                faults: vec![(Fault::Trap, 1)],
                elapsed: Duration::from_millis(1500),
                computed: Duration::from_millis(500),
                bytes_in: 0,
                bytes_out: 0,
                latency: [0, 2, 0, 0, 0, 0, 0, 1, 0, 0],
            }],
            memory_peak_bytes: 4096,
        };
        let text = telemetry.encode(&[(OutboxState::Dead, 4)], &[stats]).expect("encodes");
        for line in [
            r#"regard_http_requests_total{method="GET",route="/healthz",status="200"} 1"#,
            r#"regard_http_request_duration_seconds_count{method="GET",route="/healthz"} 1"#,
            r#"regard_interactions_total{outcome="accepted"} 2"#,
            r#"regard_outbox_entries{state="dead"} 4"#,
            r#"regard_plugin_call_duration_seconds_count{plugin="kpi-clv",call="finish"} 3"#,
            r#"regard_plugin_call_duration_seconds_sum{plugin="kpi-clv",call="finish"} 1.5"#,
            r#"regard_plugin_call_duration_seconds_bucket{le="0.0001",plugin="kpi-clv",call="finish"} 2"#,
            r#"regard_plugin_call_duration_seconds_bucket{le="+Inf",plugin="kpi-clv",call="finish"} 3"#,
            r#"regard_plugin_call_computed_seconds_total{plugin="kpi-clv",call="finish"} 0.5"#,
            r#"regard_plugin_faults_total{plugin="kpi-clv",call="finish",fault="trap"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }
}
