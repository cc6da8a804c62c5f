//! The step that evaluates a metric, and how its numbers are compared.

use anyhow::Result;
use regard_engine::ports::Clock as _;
use regard_model::Subject;
use regard_warehouse::EvaluateRequest;
use serde_json::Value;

use super::Found;
use crate::scenario::parts::{EvaluatePart, StepExpect, ValuePart};
use crate::world::World;

pub(super) async fn evaluate(world: &World, part: &EvaluatePart, expect: &StepExpect) -> Result<Found> {
    let request = EvaluateRequest {
        metric: part.metric.clone(),
        parameters: Value::Object(part.parameters.clone()),
        since: part.since,
        // The clock stands, and the end of a window is outside it: what has just happened is to count.
        until: Some(part.until.unwrap_or_else(|| world.clock.now().plus_millis(1))),
        currency: part.currency.clone(),
    };
    let evaluated = regard_warehouse::evaluate(request, &*world.store, &world.host, &*world.clock).await;
    let mut evaluated = match evaluated {
        Ok(evaluated) => evaluated,
        Err(error) => return Ok(Found::error(error)),
    };
    let mut found = Found::default();
    let row = |key: &str| {
        let id = world.customers.get(key).copied();
        evaluated.rows.iter().find(|(subject, ..)| id.is_some_and(|id| *subject == Subject::Customer(id)))
    };
    let tolerance = expect.tolerance.unwrap_or_default();
    for (key, wanted) in expect.values.iter().flatten() {
        match row(key) {
            Some((_, value, _)) => {
                compare(&mut found, &format!("value of {key}"), *wanted, *value, tolerance)
            }
            None => found.differs(&format!("value of {key}"), shown(wanted.0), "no row"),
        }
    }
    if let Some(wanted) = expect.value {
        match evaluated.rows.iter().find(|(subject, ..)| *subject == Subject::Business) {
            Some((_, value, _)) => compare(&mut found, "value", wanted, *value, tolerance),
            None => found.differs("value", shown(wanted.0), "a metric of customers: expect `values`"),
        }
    }
    for (key, wanted) in expect.details.iter().flatten() {
        for (column, wanted) in wanted {
            let value = row(key).and_then(|(.., details)| details.get(column)).cloned().unwrap_or_default();
            if !alike(wanted, &value, tolerance) {
                found.differs(&format!("{column} of {key}"), wanted, value);
            }
        }
    }
    evaluated.evaluation.id = world.store.next_id();
    world.store.store_evaluation(evaluated.evaluation, &evaluated.unit, evaluated.rows).await?;
    Ok(found)
}

fn compare(found: &mut Found, what: &str, wanted: ValuePart, value: Option<f64>, tolerance: f64) {
    let fits = match (wanted.0, value) {
        (None, None) => true,
        (Some(wanted), Some(value)) => (wanted - value).abs() <= tolerance,
        _ => false,
    };
    if !fits {
        found.differs(what, shown(wanted.0), shown(value));
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| value.to_string())
}

/// Whether two values are the same; numbers within the tolerance, whichever way they are written.
pub(crate) fn alike(wanted: &Value, found: &Value, tolerance: f64) -> bool {
    match (wanted.as_f64(), found.as_f64()) {
        (Some(wanted), Some(found)) => (wanted - found).abs() <= tolerance,
        _ => wanted == found,
    }
}
