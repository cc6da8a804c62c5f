//! A scenario's steps, one after the other: each goes the way that it goes on a server.

use anyhow::Result;
use regard_engine::deliver::broken;
use regard_engine::inbound::Submission;
use regard_engine::pipeline::WebhookError;
use regard_engine::ports::{
    Appended, Clock as _, Connectors as _, Effects, Event, Feed as _, Outbound, Outcome,
};
use regard_engine::{Fault, PluginError, StoreError};
use regard_model::customer::CustomerChange;
use regard_model::{Attributes, Evaluation, Subject, Window};
use regard_warehouse::EvaluateRequest;
use serde_json::Value;

use crate::scenario::Scenario;
use crate::scenario::parts::{
    Action, ChangePart, EvaluatePart, InteractionPart, ObservationPart, OutcomeWord, PollPart, SendPart,
    StepExpect, ValuePart, WebhookCall,
};
use crate::watched::Noted;
use crate::world::World;

/// Who hands things in.
const SOURCE: &str = "scenario";

/// What a step found, before it is compared.
#[derive(Debug, Default)]
struct Found {
    /// Differences from what was expected.
    differences: Vec<String>,
    /// What went wrong, unless it was expected.
    error: Option<String>,
}

impl Found {
    fn error(why: impl ToString) -> Self {
        Self { error: Some(why.to_string()), ..Self::default() }
    }

    fn differs(&mut self, what: &str, wanted: impl std::fmt::Display, found: impl std::fmt::Display) {
        self.differences.push(different(what, wanted, found));
    }
}

/// One difference, for people.
pub(crate) fn different(what: &str, wanted: impl std::fmt::Display, found: impl std::fmt::Display) -> String {
    format!("{what}: wanted {wanted}, found {found}")
}

/// Plays the first `count` steps. Every line of the answer names a step and what is wrong with it.
pub async fn steps(world: &mut World, scenario: &Scenario, count: usize) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for (at, step) in scenario.steps.iter().take(count).enumerate() {
        let mut found = act(world, &step.action, &step.expect, at).await?;
        let noted = world.watched.take_errors();
        let missing = world.recorded.take_missing();
        // The engine goes on when a hook fails; a test does not. What nobody recorded says more than what came of it.
        let error = missing.into_iter().next().or(found.error).or_else(|| {
            // A refused webhook or a message that was not sent is told by status and outcome.
            let is_told = matches!(step.action, Action::Webhook(_) | Action::Send(_));
            noted.first().filter(|_| !is_told).map(ToString::to_string)
        });
        match (&step.expect.fails, error) {
            (None, None) => {}
            (None, Some(error)) => found.differences.insert(0, error),
            (Some(wanted), Some(error)) if error.contains(wanted.as_str()) => {}
            (Some(wanted), Some(error)) => {
                found.differences.push(different(
                    "the error",
                    format!("words `{wanted}`"),
                    format!("`{error}`"),
                ));
            }
            (Some(wanted), None) => {
                found.differences.push(different("the step", format!("to fail with `{wanted}`"), "no error"));
            }
        }
        let place = format!("{}:{}: step {} ({})", scenario.place(), step.line, at + 1, step.action.name());
        told.extend(found.differences.into_iter().map(|one| format!("{place}: {one}")));
    }
    Ok(told)
}

/// What a plugin was called with while a scenario was played, whatever was expected of it.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// The batches that the hook was handed.
    pub(crate) batches: Vec<Vec<Event>>,
    /// Answers that differed, when batches were handed twice.
    pub(crate) unlike: Vec<(String, String)>,
    /// What failed.
    pub(crate) errors: Vec<PluginError>,
    /// Whether the plugin was called at all.
    pub(crate) called: bool,
}

/// Plays a scenario without comparing anything.
pub(crate) async fn raw(world: &mut World, scenario: &Scenario) -> Result<Played> {
    let calls = |world: &World| world.stats().map_or(0, |stats| stats.calls());
    let before = calls(world);
    for (at, step) in scenario.steps.iter().enumerate() {
        act(world, &step.action, &StepExpect::default(), at).await?;
    }
    world.recorded.take_missing();
    let noted = world.watched.take();
    let Noted { batches, unlike, errors, .. } = noted;
    Ok(Played { batches, unlike, errors, called: calls(world) > before })
}

async fn act(world: &mut World, action: &Action, expect: &StepExpect, at: usize) -> Result<Found> {
    let found = match action {
        Action::Interaction(part) => interaction(world, part, at).await?,
        Action::Observation(part) => observation(world, part).await?,
        Action::Customer(part) => change(world, part).await?,
        Action::Wait(wait) => {
            world.clock.advance(wait.0);
            Found::default()
        }
        Action::Webhook(call) => webhook(world, call, expect).await?,
        Action::Poll(part) => poll(world, part, expect).await?,
        Action::Send(part) => send(world, part, expect, at).await?,
        Action::Evaluate(part) => evaluate(world, part, expect).await?,
    };
    world.pipeline.settle().await?;
    Ok(found)
}

/// The interaction as a caller of the API hands it in.
pub(crate) fn submission(world: &World, part: &InteractionPart, at: usize) -> Submission {
    Submission {
        channel: part.channel.clone(),
        external_id: part.external_id.clone().unwrap_or_else(|| format!("step-{}", at + 1)),
        customer_id: part.customer.as_ref().and_then(|key| world.customers.get(key).copied()),
        identifier: None,
        identifiers: Vec::new(),
        kind: part.kind.clone(),
        occurred_at: part.occurred_at.unwrap_or_else(|| world.clock.now()),
        thread: part.thread.clone(),
        amount: part.amount.map(|amount| amount.0),
        attributes: part.attributes.clone(),
        provenance: None,
        causation_id: None,
    }
}

async fn interaction(world: &World, part: &InteractionPart, at: usize) -> Result<Found> {
    let outcomes = world.pipeline.receive(vec![submission(world, part, at)], None).await?;
    Ok(match outcomes.into_iter().next() {
        Some(Appended::Rejected(invalid)) => Found::error(invalid),
        _ => Found::default(),
    })
}

async fn observation(world: &World, part: &ObservationPart) -> Result<Found> {
    let subject = match part.customer.as_ref().and_then(|key| world.customers.get(key)) {
        Some(&id) => Subject::Customer(id),
        None => Subject::Business,
    };
    let now = world.clock.now();
    let evaluation = Evaluation {
        id: world.store.next_id(),
        metric: part.metric.clone(),
        metric_version: 1,
        evaluator: SOURCE.to_owned(),
        evaluator_digest: String::new(),
        parameters: Value::Object(Default::default()),
        window: Window { start: None, end: now },
        currency: None,
        rows: 0,
        rows_other_currency: 0,
        subjects: 1,
        watermark: None,
        model: None,
        summary: Value::Null,
        evaluated_at: now,
        elapsed_ms: 0,
    };
    world.store.store_evaluation(evaluation, "", vec![(subject, part.value, Attributes::new())]).await?;
    Ok(Found::default())
}

async fn change(world: &World, part: &ChangePart) -> Result<Found> {
    let id = world.customers[&part.customer];
    let change = CustomerChange {
        attributes: part.set.clone(),
        add_tags: part.add_tags.iter().cloned().collect(),
        ..CustomerChange::default()
    };
    Ok(match world.store.change_customer(id, change).await {
        Ok(_) => Found::default(),
        Err(StoreError::Invalid(invalid)) => Found::error(invalid),
        Err(error) => return Err(error.into()),
    })
}

/// The status that the server answers a webhook call with.
pub(crate) fn status_of(ended: &Result<regard_engine::ports::WebhookReply, WebhookError>) -> u16 {
    match ended {
        Ok(reply) if reply.status == 0 => 200,
        Ok(reply) => reply.status,
        Err(WebhookError::Plugin(error)) => match error.fault {
            Fault::Denied => 401,
            Fault::Invalid => 400,
            Fault::Unsupported => 422,
            Fault::NotFound => 404,
            Fault::Conflict => 409,
            Fault::Throttled => 429,
            Fault::Unavailable | Fault::OutOfService => 503,
            _ => 502,
        },
        Err(WebhookError::Invalid { .. }) => 400,
        Err(WebhookError::Store(_)) => 503,
    }
}

async fn webhook(world: &World, call: &WebhookCall, expect: &StepExpect) -> Result<Found> {
    let channel = world.channel(&call.channel)?;
    let ended = world.pipeline.receive_webhook(&channel, call.webhook.clone()).await;
    let status = status_of(&ended);
    let mut found = Found::default();
    let told = match &ended {
        Ok(reply) => String::from_utf8_lossy(&reply.body).into_owned(),
        Err(error) => error.to_string(),
    };
    match expect.status {
        Some(wanted) if wanted != status => found.differs("status", wanted, format!("{status} ({told})")),
        Some(_) if expect.fails.is_none() => {}
        _ => found.error = ended.err().map(|error| error.to_string()),
    }
    Ok(found)
}

async fn poll(world: &World, part: &PollPart, expect: &StepExpect) -> Result<Found> {
    let channel = world.channel(&part.channel)?;
    let mut found = Found::default();
    let mut stored = 0;
    // A turn is bounded; a connector that never comes to an end is what the law of polling is for.
    for _ in 0..TURNS_MAX {
        match world.pipeline.poll(&channel).await {
            Ok(turn) => {
                stored += turn.stored;
                found.differences.extend(turn.refused.into_iter().map(|why| format!("refused: {why}")));
                if !turn.more {
                    break;
                }
            }
            Err(error) => {
                found.error = Some(error.to_string());
                break;
            }
        }
    }
    if let Some(wanted) = expect.received.filter(|&wanted| wanted != stored) {
        found.differs("received", wanted, stored);
    }
    Ok(found)
}

/// Turns of polling in one step; each takes up to twenty pages.
const TURNS_MAX: usize = 10;

/// The message of a step.
pub(crate) fn message(part: &SendPart, at: usize) -> Outbound {
    Outbound {
        idempotency_key: part.idempotency_key.clone().unwrap_or_else(|| format!("step-{}", at + 1)),
        recipient: part.recipient.clone(),
        thread: part.thread.clone(),
        subject: part.subject.clone(),
        text: part.text.clone(),
        attributes: part.attributes.clone(),
    }
}

/// Has the connector send, and says what the engine makes of it.
pub(crate) async fn sent(
    world: &World,
    channel: &str,
    message: Outbound,
) -> Result<(Outcome, Option<PluginError>)> {
    let channel = world.channel(channel)?;
    match world.watched.send(&channel, message).await {
        Ok((outcome, effects)) => {
            keep(world, effects).await?;
            Ok((outcome, None))
        }
        Err(error) => {
            let features = world.status.features.clone();
            let outcome = match features {
                Some(features) => broken(&error, &features),
                None => Outcome::Uncertain(error.to_string()),
            };
            Ok((outcome, Some(error)))
        }
    }
}

async fn keep(world: &World, effects: Effects) -> Result<()> {
    if !effects.is_empty() {
        world.store.commit(None, effects).await?;
    }
    Ok(())
}

/// The word and the reason of an outcome.
pub(crate) fn word(outcome: &Outcome) -> (OutcomeWord, &str) {
    match outcome {
        Outcome::Sent(id) => (OutcomeWord::Sent, id),
        Outcome::Rejected(why) => (OutcomeWord::Rejected, why),
        Outcome::Retry { reason, .. } => (OutcomeWord::Retry, reason),
        Outcome::Uncertain(why) => (OutcomeWord::Uncertain, why),
    }
}

async fn send(world: &World, part: &SendPart, expect: &StepExpect, at: usize) -> Result<Found> {
    let (outcome, error) = sent(world, &part.channel, message(part, at)).await?;
    let (found_word, why) = word(&outcome);
    let mut found = Found::default();
    match expect.outcome {
        Some(wanted) if wanted != found_word => {
            found.differs("outcome", wanted.as_str(), format!("{} ({why})", found_word.as_str()));
        }
        None => found.error = error.map(|error| error.to_string()),
        Some(_) => {}
    }
    if expect.fails.is_some() && found_word != OutcomeWord::Sent {
        found.error = Some(why.to_owned());
    }
    Ok(found)
}

async fn evaluate(world: &World, part: &EvaluatePart, expect: &StepExpect) -> Result<Found> {
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
