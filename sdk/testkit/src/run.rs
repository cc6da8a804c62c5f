//! A scenario's steps, one after the other: each goes the way that it goes on a server.
//!
//! - [`connector`] has webhooks, polls and sends
//! - [`evaluate`] has the metrics

pub(crate) mod connector;
pub(crate) mod evaluate;

use anyhow::Result;
use regard_engine::inbound::Submission;
use regard_engine::ports::{Appended, Clock as _, Event};
use regard_engine::{PluginError, StoreError};
use regard_model::customer::CustomerChange;
use regard_model::{Attributes, Evaluation, Subject, Window};
use serde_json::Value;

use crate::scenario::Scenario;
use crate::scenario::parts::{Action, ChangePart, InteractionPart, ObservationPart, StepExpect};
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
        let mut found = Box::pin(act(world, &step.action, &step.expect, at)).await?;
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
        Box::pin(act(world, &step.action, &StepExpect::default(), at)).await?;
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
        Action::Webhook(call) => connector::webhook(world, call, expect).await?,
        Action::Poll(part) => connector::poll(world, part, expect).await?,
        Action::Send(part) => connector::send(world, part, expect, at).await?,
        Action::Evaluate(part) => Box::pin(evaluate::evaluate(world, part, expect)).await?,
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
        customer_name: None,
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
