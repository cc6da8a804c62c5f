//! Schedule: what hooks do for no other reason than the time.
//!
//! An instant of a schedule becomes an interaction of the kind [`DUE`] on a channel of its own, and takes the way of all
//! others: it is stored, handed to its plugin with the plugin's effects and progress in one transaction, and tried again
//! when that fails. Its external id is made of plugin, schedule and instant, so of several nodes that see it come one
//! stores it. What fell due while no node ran is made up for once, however often it would have been.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regard_model::interaction::Provenance;
use regard_model::schedule::DUE;
use regard_model::{Attributes, Channel, Schedule, Timestamp};
use serde_json::json;

use crate::error::StoreError;
use crate::pipeline::Pipeline;
use crate::ports::{Effects, Incoming};

/// How often to see whether a schedule is due, in milliseconds.
const LOOK_EVERY_MS: u64 = 1000;
/// The channel of all that is due, made when the first schedule is seen.
pub const CHANNEL: &str = "schedule";

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

    /// Stores what has fallen due.
    pub(crate) async fn look(&self, pipeline: &Pipeline) -> Result<(), StoreError> {
        let now = pipeline.parts().clock.now();
        for (plugin, schedules) in pipeline.parts().hooks.schedules() {
            for schedule in schedules {
                let Some(last) = schedule.last(now) else { continue };
                let key = (plugin.clone(), schedule.name.clone());
                if self.stored.lock().get(&key).is_none_or(|&stored| stored < last) {
                    turn(pipeline, &plugin, &schedule, last).await?;
                    self.stored.lock().insert(key, last);
                }
            }
        }
        Ok(())
    }
}

/// Stores that `schedule` is due since `last`, unless that is known. A schedule that is seen for the first time begins to
/// count now.
async fn turn(
    pipeline: &Pipeline,
    plugin: &str,
    schedule: &Schedule,
    last: Timestamp,
) -> Result<(), StoreError> {
    let parts = pipeline.parts();
    let key = format!("~schedule/{}", schedule.name);
    let kept = parts.reads.kept(plugin, &key).await?;
    let seen =
        kept.and_then(|kept| Some(Timestamp::from_millis(std::str::from_utf8(&kept).ok()?.parse().ok()?)));
    if seen.is_some_and(|seen| seen >= last) {
        return Ok(());
    }
    if seen.is_some() {
        let channel = channel(pipeline).await?;
        pipeline.append(vec![due(&channel, plugin, schedule, last)?]).await?;
    }
    // Moved on after what is due is durable: a crash in between stores it a second time, which changes nothing.
    let place = last.as_millis().to_string().into_bytes();
    let effects = Effects { origin: plugin.to_owned(), kept: vec![(key, Some(place))], ..Effects::default() };
    parts.feed.commit(None, effects).await
}

fn due(channel: &Channel, plugin: &str, schedule: &Schedule, at: Timestamp) -> Result<Incoming, StoreError> {
    let kind = DUE.parse().map_err(StoreError::Invalid)?;
    Ok(Incoming {
        channel: channel.id,
        external_id: format!("{plugin}/{}/{at}", schedule.name),
        customer: None,
        identifiers: Vec::new(),
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
