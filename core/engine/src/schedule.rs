//! Schedule: what hooks do for no other reason than the time.
//!
//! An instant of a schedule becomes an interaction of the kind [`DUE`] on a channel of its own, and takes the way of all
//! others: it is stored, handed to its plugin with the plugin's effects and progress in one transaction, and tried again
//! when that fails. Its external id is made of plugin, schedule and instant, so of several nodes that see it come one
//! stores it. What fell due while no node ran is made up for once, however often it would have been.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regard_model::interaction::Provenance;
use regard_model::schedule::DUE;
use regard_model::{Attributes, Channel, Schedule, Timestamp};
use serde_json::json;

use crate::error::StoreError;
use crate::pipeline::Pipeline;
use crate::ports::{Appended, Effects, Incoming};

/// How often to see whether a schedule is due, in milliseconds.
const LOOK_EVERY_MS: u64 = 1000;
/// The channel of all that is due, made when the first schedule falls due; nobody else may hand in anything there.
pub const CHANNEL: &str = "regard.schedule";

/// The last instant of each schedule, by plugin and name, that is known to be stored.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    stored: Mutex<HashMap<(String, String), Timestamp>>,
}

impl Scheduler {
    /// Runs until the task is dropped.
    pub(crate) async fn run(&self, pipeline: &Pipeline) {
        loop {
            if let Err(error) = self.look(pipeline).await {
                tracing::warn!(%error, "schedule: will be tried again");
            }
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
        }
    }

    /// Stores what has fallen due. A schedule that cannot be looked after does not keep the others waiting; the last
    /// failure is returned.
    pub(crate) async fn look(&self, pipeline: &Pipeline) -> Result<(), StoreError> {
        let now = pipeline.parts().clock.now();
        let mut outcome = Ok(());
        let mut there = HashSet::new();
        for (plugin, schedules) in pipeline.parts().hooks.schedules() {
            for schedule in schedules {
                let Some(last) = schedule.last(now) else { continue };
                let key = (plugin.clone(), schedule.name.clone());
                let stored = self.stored.lock().get(&key).copied();
                if stored.is_none_or(|stored| stored < last) {
                    match turn(pipeline, &plugin, &schedule, last, stored).await {
                        Ok(()) => drop(self.stored.lock().insert(key.clone(), last)),
                        Err(error) => outcome = Err(error),
                    }
                }
                there.insert(key);
            }
        }
        self.stored.lock().retain(|key, _| there.contains(key));
        outcome
    }
}

/// Stores that `schedule` is due since `last`, unless that is known. A schedule that is seen for the first time, or with
/// another rule than before, begins to count now. `stored` is what this node remembers.
async fn turn(
    pipeline: &Pipeline,
    plugin: &str,
    schedule: &Schedule,
    last: Timestamp,
    stored: Option<Timestamp>,
) -> Result<(), StoreError> {
    let parts = pipeline.parts();
    let (key, rule) = (format!("~schedule/{}", schedule.name), schedule.rule());
    let kept = parts.reads.kept(plugin, &key).await?;
    let seen = match kept.as_deref().map(std::str::from_utf8) {
        Some(Ok(mark)) => mark
            .split_once(' ')
            .filter(|(_, known)| *known == rule)
            .and_then(|(at, _)| at.parse().ok().map(Timestamp::from_millis)),
        _ => stored,
    };
    if seen.is_some_and(|seen| seen >= last) {
        return Ok(());
    }
    if seen.is_some() {
        let channel = channel(pipeline).await?;
        let outcomes = pipeline.append(vec![due(&channel, plugin, schedule, last)?]).await?;
        if let Some(Appended::Rejected(invalid)) = outcomes.into_iter().next() {
            return Err(StoreError::Invalid(invalid));
        }
    }
    // Moved on after what is due is durable: a crash in between stores it a second time, which changes nothing.
    let mark = format!("{} {rule}", last.as_millis()).into_bytes();
    let effects = Effects { origin: plugin.to_owned(), kept: vec![(key, Some(mark))], ..Effects::default() };
    parts.feed.commit(None, effects).await
}

fn due(channel: &Channel, plugin: &str, schedule: &Schedule, at: Timestamp) -> Result<Incoming, StoreError> {
    let kind = DUE.parse().map_err(StoreError::Invalid)?;
    Ok(Incoming {
        channel: channel.id,
        external_id: format!("{plugin}/{}/{at}", schedule.name),
        customer: None,
        identifiers: Vec::new(),
        customer_name: String::new(),
        kind,
        occurred_at: at,
        thread: None,
        amount: None,
        attributes: Attributes::from([("plugin", json!(plugin)), ("schedule", json!(schedule.name))]),
        provenance: Provenance::Of,
        causation_id: None,
        source: CHANNEL.to_owned(),
    })
}

async fn channel(pipeline: &Pipeline) -> Result<Arc<Channel>, StoreError> {
    let channels = &pipeline.parts().channels;
    match channels.by_name(CHANNEL) {
        Some(channel) => Ok(channel),
        None => channels.make(CHANNEL).await,
    }
}
