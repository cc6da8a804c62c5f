//! One run of an evaluator: read facts, hand them over in batches, take the answer apart into observations.

use std::time::Instant;

use regard_engine::columns::{Batch, ColumnValues};
use regard_engine::ports::{Clock, Evaluators, FactQuery, FactSource, Facts};
use regard_engine::{Fault, PluginError, StoreError};
use regard_model::{Attributes, Evaluation, EvaluationId, Metric, Subject, SubjectKind, Timestamp, Window};

use crate::frame::{Frame, UnknownColumn, main_currency};
use crate::summary::summarise;

/// What to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateRequest {
    /// Name of the metric.
    pub metric: String,
    /// Its parameters; what is left out takes the default of the metric's schema.
    pub parameters: serde_json::Value,
    /// First instant that counts.
    pub since: Option<Timestamp>,
    /// First instant that no longer counts; now when left out.
    pub until: Option<Timestamp>,
    /// Currency of the amounts that count; the most frequent one when left out.
    pub currency: Option<String>,
}

/// A run and its answer, not stored yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The run; its id is given by the store.
    pub evaluation: Evaluation,
    /// Unit of the values.
    pub unit: String,
    /// Value and further columns per subject.
    pub rows: Vec<(Subject, Option<f64>, Attributes)>,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// No evaluator in service computes it.
    #[error("there is no metric `{name}`; {known}")]
    UnknownMetric {
        /// The name asked for.
        name: String,
        /// The names there are, or how to get one.
        known: String,
    },
    /// The window ends before it begins.
    #[error("the window ends at {until}, before it begins at {since}")]
    EmptyWindow {
        /// Its begin.
        since: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// The metric reads what nobody delivers.
    #[error(transparent)]
    Column(#[from] UnknownColumn),
    /// The evaluator failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The facts could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs the evaluator of `request.metric` over the log.
pub async fn evaluate(
    request: EvaluateRequest,
    facts: &dyn FactSource,
    evaluators: &dyn Evaluators,
    clock: &dyn Clock,
) -> Result<Evaluated, EvaluateError> {
    let started = Instant::now();
    let metric = find(evaluators, &request.metric)?;
    let window = Window { start: request.since, end: request.until.unwrap_or_else(|| clock.now()) };
    if let Some(since) = window.start.filter(|since| *since >= window.end) {
        return Err(EvaluateError::EmptyWindow { since, until: window.end });
    }
    // Parameters are checked before a single row is read.
    let (mut accumulator, parameters) = evaluators.open(&metric.name, request.parameters).await?;
    let facts: Facts = facts.facts(&FactQuery { kinds: metric.kinds.clone(), window }).await?;
    let watermark = facts.watermark;
    let currency = request.currency.or_else(|| main_currency(&facts));
    let reads_amount = metric.inputs.iter().any(|input| input.column == "amount");
    let frame = Frame::new(facts, &metric, currency.as_deref());
    for batch in frame.batches(&metric) {
        let (groups, group_count, batch) = batch?;
        accumulator.update(groups, group_count, &batch).await?;
    }
    let result = accumulator.finish(window.end).await?;
    let model = accumulator.model().await?;
    let broken = |message: String| PluginError {
        plugin: metric.evaluator.clone(),
        capability: "kpi",
        call: "finish",
        fault: Fault::Failed,
        message,
        retry_after: None,
    };
    let rows = observations(&result, &metric, &frame).map_err(broken)?;
    let (evaluator_digest, evaluator) = evaluators.lineage(&metric.name).unwrap_or_default();
    let evaluation = Evaluation {
        id: EvaluationId::from_i64(0),
        metric: metric.name.clone(),
        metric_version: metric.version,
        evaluator,
        evaluator_digest,
        parameters,
        window,
        currency: currency.filter(|_| reads_amount),
        rows: frame.len() as u64,
        rows_other_currency: frame.rows_other_currency,
        subjects: frame.customers.len() as u64,
        watermark,
        model,
        summary: summarise(&result),
        evaluated_at: clock.now(),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    Ok(Evaluated { evaluation, unit: metric.unit, rows })
}

fn find(evaluators: &dyn Evaluators, name: &str) -> Result<Metric, EvaluateError> {
    let all = evaluators.metrics();
    all.iter().find(|metric| metric.name == name).cloned().ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|metric| metric.name.as_str()).collect();
        let known = match names.as_slice() {
            [] => "no evaluator is in service: install one with `regard plugin install`".to_owned(),
            names => format!("known are: {}", names.join(", ")),
        };
        EvaluateError::UnknownMetric { name: name.to_owned(), known }
    })
}

/// One row per group becomes one observation per customer; the business has one row.
fn observations(
    result: &Batch,
    metric: &Metric,
    frame: &Frame,
) -> Result<Vec<(Subject, Option<f64>, Attributes)>, String> {
    result.check()?;
    let expected = match metric.subject {
        SubjectKind::Customer => frame.customers.len(),
        SubjectKind::Business => 1,
    };
    if result.rows as usize != expected {
        return Err(format!("returned {} rows, {expected} were expected", result.rows));
    }
    let values = result.column("value").ok_or("returned no column `value`")?;
    let ColumnValues::Float64(numbers) = &values.values else {
        return Err("returned a column `value` that is not float64".into());
    };
    Ok((0..expected)
        .map(|row| {
            let subject = match metric.subject {
                SubjectKind::Customer => Subject::Customer(frame.customers[row]),
                SubjectKind::Business => Subject::Business,
            };
            // NaN and infinity are no answers: the metric is undefined for this subject.
            let value = Some(numbers[row]).filter(|value| values.is_valid(row) && value.is_finite());
            let details = result.columns.iter().filter(|column| column.name != "value");
            (
                subject,
                value,
                Attributes(details.map(|column| (column.name.clone(), column.json(row))).collect()),
            )
        })
        .collect())
}
