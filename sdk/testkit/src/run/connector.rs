//! The steps of a connector: a provider calls, the connector asks for what is new, it sends.

use anyhow::Result;
use regard_engine::PluginError;
use regard_engine::deliver::broken;
use regard_engine::pipeline::WebhookError;
use regard_engine::ports::{Connectors as _, Effects, Feed as _, Outbound, Outcome, WebhookReply};

use super::Found;
use crate::scenario::parts::{OutcomeWord, PollPart, SendPart, StepExpect, WebhookCall};
use crate::world::World;

/// Turns of polling in one step; each takes up to twenty pages.
const TURNS_MAX: usize = 10;

/// The status that the server answers a webhook call with.
pub(crate) fn status_of(ended: &Result<WebhookReply, WebhookError>) -> u16 {
    match ended {
        Ok(reply) => reply.http_status(),
        Err(error) => error.http_status(),
    }
}

pub(super) async fn webhook(world: &World, call: &WebhookCall, expect: &StepExpect) -> Result<Found> {
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

pub(super) async fn poll(world: &World, part: &PollPart, expect: &StepExpect) -> Result<Found> {
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

pub(super) async fn send(world: &World, part: &SendPart, expect: &StepExpect, at: usize) -> Result<Found> {
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
