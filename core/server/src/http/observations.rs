//! Answers to metrics, and what they rest on: `/api/v1/metrics/{name}/observations`, `/api/v1/observations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regard_engine::ports::{Evaluators as _, InteractionFilter};
use regard_model::{Evaluation, Interaction, Metric, Observation, ObservationId, Subject, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Site;
use super::auth::{Needs, Reader};
use super::interactions::position;
use super::page::{Listing, Page, PageParams};
use super::problem::Problem;
use super::query::Target;

/// Interactions that an explanation shows.
const SHOWN_MAX: usize = 100;
/// Interactions of one customer that an explanation counts; nobody reads an explanation of more.
const COUNTED_MAX: usize = 20_000;
/// Interactions read from the store at a time.
const PAGE_ROWS: u64 = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(explain))
}

/// What narrows the list of observations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ObservationsFilter {
    /// Of this subject: `customer:<id>` or `business`.
    subject: Option<Subject>,
}

/// Observations of a metric, newest first.
#[utoipa::path(
    get, path = "/metrics/{name}/observations", tag = "metrics", operation_id = "listObservations",
    params(("name" = String, Path, description = "The metric"), ObservationsFilter, PageParams),
    responses((status = 200, description = "A page of observations", body = Page<Observation>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(metric): Target<String>,
    listing: Listing<ObservationsFilter, ObservationId>,
) -> Result<Json<Page<Observation>>, Problem> {
    let found =
        site.store.list_observations(&metric, listing.filter.subject, listing.after, listing.probe()).await?;
    if found.is_empty()
        && listing.after.is_none()
        && !site.host.metrics().iter().any(|known| known.name == metric)
    {
        return Err(Problem::not_found("metric", metric));
    }
    Ok(Json(listing.page(found, |observation| observation.id)))
}

/// An observation and what it rests on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Explanation {
    /// The observation.
    observation: Observation,
    /// The run that it came from: evaluator, digest, parameters, window, currency.
    evaluation: Evaluation,
    /// The interactions that the evaluator read for this subject.
    inputs: Inputs,
}

/// The interactions behind an observation.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
struct Inputs {
    /// How many there are.
    count: u64,
    /// Whether there are more than were counted.
    more: bool,
    /// When the first of them occurred; unknown for the whole business.
    first: Option<Timestamp>,
    /// When the last of them occurred.
    last: Option<Timestamp>,
    /// The latest ones, at most 100, latest first.
    items: Vec<Interaction>,
}

/// Explains an observation: the run that it came from, and the interactions that led to it.
#[utoipa::path(
    get, path = "/observations/{id}/explain", tag = "metrics", operation_id = "explainObservation",
    params(("id" = ObservationId, Path, description = "The observation")),
    responses((status = 200, description = "The explanation", body = Explanation)),
)]
async fn explain(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<ObservationId>,
) -> Result<Json<Explanation>, Problem> {
    let observation =
        site.store.find_observation(id).await?.ok_or_else(|| Problem::not_found("observation", id))?;
    let evaluation = site.store.find_evaluation(observation.evaluation).await?.ok_or_else(|| {
        Problem::internal(format!(
            "{id} names the evaluation {}, which is not stored",
            observation.evaluation
        ))
    })?;
    let metric = site.host.metrics().into_iter().find(|known| known.name == observation.metric);
    let inputs = inputs(&site, observation.subject, &evaluation, metric.as_ref()).await?;
    Ok(Json(Explanation { observation, evaluation, inputs }))
}

/// Reads again what the run read for `subject`.
async fn inputs(
    site: &Site,
    subject: Subject,
    evaluation: &Evaluation,
    metric: Option<&Metric>,
) -> Result<Inputs, Problem> {
    let filter = InteractionFilter {
        customer: match subject {
            Subject::Customer(id) => Some(id),
            Subject::Business => None,
        },
        // With a single kind the store narrows; with several, what is read is narrowed here.
        kind: metric
            .and_then(|metric| <&[String; 1]>::try_from(metric.kinds.as_slice()).ok())
            .map(|[kind]| kind.clone()),
        since: evaluation.window.start,
        until: Some(evaluation.window.end),
        ..InteractionFilter::default()
    };
    let mut inputs = Inputs::default();
    let (mut before, mut looked_at) = (None, 0);
    loop {
        let page = site.store.list_interactions(&filter, before, PAGE_ROWS).await?;
        before = page.last().map(position);
        looked_at += page.len();
        let is_last = page.len() < PAGE_ROWS as usize;
        for interaction in page.into_iter().filter(|interaction| counts(interaction, evaluation, metric)) {
            inputs.count += 1;
            inputs.first = Some(interaction.occurred_at);
            inputs.last = inputs.last.or(Some(interaction.occurred_at));
            if inputs.items.len() < SHOWN_MAX {
                inputs.items.push(interaction);
            }
        }
        if is_last {
            return Ok(inputs);
        }
        if subject == Subject::Business && inputs.items.len() == SHOWN_MAX {
            // The run itself counted what it read for the whole business.
            return Ok(Inputs { count: evaluation.rows, first: None, ..inputs });
        }
        if looked_at >= COUNTED_MAX {
            return Ok(Inputs { more: true, ..inputs });
        }
    }
}

/// Whether the run took the interaction into account, by the same rules as the warehouse's frame.
fn counts(interaction: &Interaction, evaluation: &Evaluation, metric: Option<&Metric>) -> bool {
    let was_there = evaluation.watermark.is_none_or(|watermark| interaction.id <= watermark);
    let has_customer = interaction.customer.is_some();
    let Some(metric) = metric else { return was_there && has_customer };
    let is_of_kind =
        metric.kinds.is_empty() || metric.kinds.iter().any(|kind| kind == interaction.kind.as_str());
    let amount = metric.inputs.iter().find(|input| input.column == "amount");
    let amount_fits = match (amount, interaction.amount) {
        (None, _) => true,
        (Some(input), None) => !input.required,
        (Some(_), Some(amount)) => evaluation.currency.as_deref() == Some(amount.currency.code()),
    };
    was_there && has_customer && is_of_kind && amount_fits
}
