//! Evaluate a metric and keep the answer.

use regard_model::Evaluation;
use regard_warehouse::{EvaluateError, EvaluateRequest};

use crate::app::App;

/// Runs an evaluator over the log, stores the run and its observations, and lets hooks know.
pub async fn evaluate(app: &App, request: EvaluateRequest) -> Result<Evaluation, EvaluateError> {
    let mut evaluated =
        regard_warehouse::evaluate(request, app.store.as_ref(), app.host.as_ref(), app.clock.as_ref())
            .await?;
    evaluated.evaluation.id = app.store.next_id();
    app.store.store_evaluation(evaluated.evaluation.clone(), &evaluated.unit, evaluated.rows).await?;
    app.pipeline.wake();
    Ok(evaluated.evaluation)
}
