//! Evaluate a metric and keep the answer.

use regard_model::Evaluation;
use regard_warehouse::{EvaluateError, EvaluateRequest};

use crate::app::App;

/// Runs an evaluator over the log, stores the run and its observations, and lets hooks know.
pub async fn evaluate(app: &App, request: EvaluateRequest) -> Result<Evaluation, EvaluateError> {
    let (store, host, clock) = (app.store.clone(), app.host.clone(), app.clock.clone());
    let work = async move { regard_warehouse::evaluate(request, &*store, &*host, &*clock).await };
    let mut evaluated = app.host.drive(work).await?;
    evaluated.evaluation.id = app.store.next_id();
    app.store.store_evaluation(evaluated.evaluation.clone(), &evaluated.unit, evaluated.rows).await?;
    app.pipeline.wake();
    Ok(evaluated.evaluation)
}
