//! Questions and runs that answer them: `/api/v1/metrics`, `/api/v1/evaluations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regard_engine::ports::Evaluators as _;
use regard_model::{Currency, Evaluation, EvaluationId, Metric, Timestamp};
use regard_warehouse::EvaluateRequest;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Observer, Reader};
use super::body::Input;
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::Problem;
use super::query::Target;
use super::{Site, audit};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get_evaluation))
}

/// Apart from the others, because a run over a long log takes its time.
pub(super) fn evaluating() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(evaluate))
}

/// How to evaluate; what is left out takes its default.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EvaluationRequest)]
struct EvaluationInput {
    /// The metric's own parameters, by its schema.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// First instant or day that counts.
    since: Option<Timestamp>,
    /// First instant or day that no longer counts; now when left out.
    until: Option<Timestamp>,
    /// Currency of the amounts that count; the most frequent one when left out.
    currency: Option<Currency>,
}

/// The metrics of all evaluators in service, by name.
#[utoipa::path(
    get, path = "/metrics", tag = "metrics", operation_id = "listMetrics",
    params(PageParams),
    responses((status = 200, description = "A page of metrics", body = Page<Metric>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    listing: Listing<NoFilter, String>,
) -> Result<Json<Page<Metric>>, Problem> {
    let mut metrics = site.host.metrics();
    metrics.sort_by(|left, right| left.name.cmp(&right.name));
    metrics.retain(|metric| listing.after.as_ref().is_none_or(|after| metric.name > *after));
    Ok(Json(listing.page(metrics, |metric| metric.name.clone())))
}

/// Evaluates a metric for every subject.
///
/// The answer is the run: what it read, with what, and what it found about the population. The observations are
/// stored; `GET /metrics/{name}/observations` reads them.
#[utoipa::path(
    post, path = "/metrics/{name}/evaluate", tag = "metrics", operation_id = "evaluateMetric",
    params(("name" = String, Path, description = "The metric")),
    request_body = Option<EvaluationInput>,
    responses((status = 200, description = "The run", body = Evaluation)),
)]
async fn evaluate(
    who: Needs<Observer>,
    State(site): State<Arc<Site>>,
    Target(metric): Target<String>,
    input: Option<Input<EvaluationInput>>,
) -> Result<Json<Evaluation>, Problem> {
    let input = input.map(|Input(input)| input).unwrap_or_default();
    let request = EvaluateRequest {
        metric,
        parameters: Value::Object(input.parameters),
        since: input.since,
        until: input.until,
        currency: input.currency.map(|currency| currency.to_string()),
    };
    let evaluation = crate::metrics::evaluate(&site.app, request).await?;
    let details = [("evaluation", json!(evaluation.id)), ("parameters", evaluation.parameters.clone())];
    audit::record(&site, &who, "metric.evaluated", format!("metric:{}", evaluation.metric), details).await;
    Ok(Json(evaluation))
}

/// One run of an evaluator.
#[utoipa::path(
    get, path = "/evaluations/{id}", tag = "metrics", operation_id = "getEvaluation",
    params(("id" = EvaluationId, Path, description = "The run")),
    responses((status = 200, description = "The run", body = Evaluation)),
)]
async fn get_evaluation(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<EvaluationId>,
) -> Result<Json<Evaluation>, Problem> {
    site.store.find_evaluation(id).await?.map(Json).ok_or_else(|| Problem::not_found("evaluation", id))
}
