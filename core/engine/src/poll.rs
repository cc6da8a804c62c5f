//! Poll: ask connectors for what is new at providers that do not call us.
//!
//! The cursor moves only after everything before it is durable, so a crash repeats a page instead of losing one; the
//! repeat is harmless because (channel, external id) is unique.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use regard_model::channel::{POLL_EVERY_S, POLL_EVERY_S_MAX};
use regard_model::{Channel, ChannelId, Timestamp};

use crate::error::Fault;
use crate::inbound;
use crate::outbox::backoff;
use crate::pipeline::{Pipeline, WebhookError};
use crate::ports::Appended;

/// How often to see whether a channel is due, in milliseconds.
const LOOK_EVERY_MS: u64 = 1000;
/// How often a channel is polled unless its setting `poll_every_s` says otherwise, in milliseconds.
const POLL_EVERY_MS: i64 = 60_000;
/// Items asked for at a time.
const PAGE_ITEMS_MAX: u32 = 200;
/// Pages taken in a row before other channels get their turn.
const PAGES_PER_TURN_MAX: usize = 20;
/// Longest wait after failures, in milliseconds.
const RETRY_DELAY_MS_MAX: u64 = 15 * 60_000;

/// When each channel is polled next, and how often it failed in a row.
#[derive(Debug, Default)]
pub(crate) struct Poller {
    next: Mutex<HashMap<ChannelId, (Timestamp, u32)>>,
}

impl Poller {
    /// Runs until the task is dropped.
    pub(crate) async fn run(&self, pipeline: &Pipeline) {
        loop {
            let now = pipeline.parts().clock.now();
            for channel in pipeline.parts().channels.all() {
                let due = self.next.lock().get(&channel.id).is_none_or(|&(at, _)| at <= now);
                if channel.enabled && due && polls(pipeline, &channel) {
                    let outcome = turn(pipeline, &channel).await;
                    self.schedule(&channel, now, outcome);
                }
            }
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
        }
    }

    fn schedule(&self, channel: &Channel, now: Timestamp, outcome: Result<Turn, WebhookError>) {
        let every = channel
            .settings
            .get(POLL_EVERY_S)
            .and_then(serde_json::Value::as_i64)
            .map_or(POLL_EVERY_MS, |seconds| seconds.clamp(1, POLL_EVERY_S_MAX) * 1000);
        let mut next = self.next.lock();
        let tries = next.get(&channel.id).map_or(0, |&(_, tries)| tries);
        match outcome {
            Ok(_) => next.insert(channel.id, (now.plus_millis(every), 0)),
            Err(error) => {
                tracing::warn!(channel = channel.name, %error, "poll: will be tried again");
                let wait = backoff(tries + 1, u64::try_from(every).unwrap_or(0), RETRY_DELAY_MS_MAX);
                next.insert(channel.id, (now.plus_millis(i64::try_from(wait).unwrap_or(i64::MAX)), tries + 1))
            }
        };
    }
}

fn polls(pipeline: &Pipeline, channel: &Channel) -> bool {
    let features = channel.connector.as_ref().and_then(|plugin| pipeline.parts().connectors.features(plugin));
    features.is_some_and(|features| features.polls)
}

/// What a turn brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// Pages taken.
    pub pages: usize,
    /// Interactions stored; those that were there already are not counted.
    pub stored: usize,
    /// What the connector handed in and nobody could take, with the reason.
    pub refused: Vec<String>,
    /// Whether the connector has more, which the next turn takes.
    pub more: bool,
}

/// Takes pages from where the channel stands until nothing more is there, or its turn is over.
pub(crate) async fn turn(pipeline: &Pipeline, channel: &Channel) -> Result<Turn, WebhookError> {
    let parts = pipeline.parts();
    let mut turn = Turn::default();
    let Some(plugin) = channel.connector.as_deref() else { return Ok(turn) };
    let key = cursor_key(channel.id);
    for _ in 0..PAGES_PER_TURN_MAX {
        let cursor = parts.reads.kept(plugin, &key).await?;
        let (page, mut effects) = match parts.connectors.poll(channel, cursor, PAGE_ITEMS_MAX).await {
            Err(error) if error.fault == Fault::Unsupported => return Ok(Turn::default()),
            outcome => outcome?,
        };
        let mut submissions = Vec::with_capacity(page.items.len());
        for (at, item) in page.items.into_iter().enumerate() {
            match inbound::read_handed(item, channel) {
                Ok(submission) => submissions.push(submission),
                // One bad item must not stop the channel for ever; the provider will not change it.
                Err(invalid) => {
                    tracing::warn!(channel = channel.name, at, %invalid, "poll: item refused");
                    turn.refused.push(format!("item {at}: {invalid}"));
                }
            }
        }
        for outcome in pipeline.receive(submissions, None).await? {
            match outcome {
                Appended::Accepted { .. } => turn.stored += 1,
                Appended::Duplicate { .. } => {}
                Appended::Rejected(invalid) => {
                    tracing::warn!(channel = channel.name, %invalid, "poll: item refused");
                    turn.refused.push(invalid.to_string());
                }
            }
        }
        if let Some(cursor) = page.cursor {
            effects.origin = plugin.to_owned();
            effects.kept.push((key.clone(), Some(cursor)));
        }
        if !effects.is_empty() {
            parts.feed.commit(None, effects).await?;
        }
        turn.pages += 1;
        turn.more = page.more;
        if !page.more {
            break;
        }
    }
    Ok(turn)
}

/// Under which key a channel's cursor is kept. The tilde keeps it apart from the plugin's own keys, which cannot begin with one.
fn cursor_key(channel: ChannelId) -> String {
    format!("~poll/{channel}")
}
