//! Dispatch: every hook hears of every event that it wants, and its effects happen once.
//!
//! Each hook follows each stream at its own pace, from a position kept in the store. Its effects and its new position
//! commit together: after a crash the same events come again, and the effects of the first time are either stored
//! together with the position (then they do not come again) or not at all. A hook that fails stays where it is and is
//! tried again later; the others go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regard_model::Timestamp;
use tokio::sync::Notify;

use crate::error::{Fault, PluginError, StoreError};
use crate::outbox::backoff;
use crate::ports::{Clock, Event, Feed, Hooks, Progress, Stream, Subscription};

/// Events in one call: enough to make the call's cost small, few enough that a repeated call repeats little.
const EVENTS_PER_CALL_MAX: usize = 256;
/// Tries of one batch when customers change under the hook, before it waits for the next round.
const CONFLICT_TRIES_MAX: usize = 5;
/// Tries of a batch that the hook itself fails on; then the batch is split, and a single bad event is passed over.
const FAILED_TRIES_MAX: u32 = 4;
/// How long a failing hook waits at least, in milliseconds.
const RETRY_DELAY_MS_MIN: u64 = 1000;
/// How long a failing hook waits at most, in milliseconds.
const RETRY_DELAY_MS_MAX: u64 = 60_000;
/// How often to look for events that another process stored, in milliseconds.
const LOOK_EVERY_MS: u64 = 1000;
/// Rest between two rounds, in milliseconds: under load events gather, and a call carries many of them.
const REST_MS: u64 = 10;

/// Why a batch was not handled.
#[derive(Debug, thiserror::Error)]
enum DispatchError {
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A hook that failed: how often in a row, and when it may be called again.
#[derive(Debug, Clone, Copy)]
struct Failing {
    tries: u32,
    until: Timestamp,
}

/// Carries events to hooks.
pub struct Dispatcher {
    feed: Arc<dyn Feed>,
    hooks: Arc<dyn Hooks>,
    clock: Arc<dyn Clock>,
    woken: Notify,
    failing: Mutex<HashMap<(String, Stream), Failing>>,
}

impl Dispatcher {
    /// A dispatcher that does nothing until it is run.
    pub fn new(feed: Arc<dyn Feed>, hooks: Arc<dyn Hooks>, clock: Arc<dyn Clock>) -> Self {
        Self { feed, hooks, clock, woken: Notify::new(), failing: Mutex::default() }
    }

    /// Says that there is something new.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Runs until the task is dropped; calls `after_effects` whenever a hook changed something.
    pub async fn run(&self, after_effects: impl Fn()) {
        loop {
            match self.drain().await {
                Ok(0) => {}
                Ok(_) => after_effects(),
                Err(error) => tracing::error!(%error, "dispatch: cannot read what happened"),
            }
            tokio::time::sleep(Duration::from_millis(REST_MS)).await;
            let _ = tokio::time::timeout(Duration::from_millis(LOOK_EVERY_MS), self.woken.notified()).await;
        }
    }

    /// Hands out all that is there now; returns how many events hooks handled.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let mut handled = 0;
        for (plugin, wanted) in self.hooks.subscribers() {
            for stream in Stream::ALL {
                let wanted: Vec<&Subscription> = wanted.iter().filter(|one| one.stream == stream).collect();
                if !wanted.is_empty() {
                    handled += self.follow(&plugin, stream, &wanted).await?;
                }
            }
        }
        Ok(handled)
    }

    /// Takes one hook as far along one stream as it goes.
    async fn follow(
        &self,
        plugin: &str,
        stream: Stream,
        wanted: &[&Subscription],
    ) -> Result<usize, StoreError> {
        let key = (plugin.to_owned(), stream);
        if self.failing.lock().get(&key).is_some_and(|failing| failing.until > self.clock.now()) {
            return Ok(0);
        }
        // One subscription without a name wants everything, whatever the others say.
        let names: Vec<String> = if wanted.iter().any(|one| one.name.is_none()) {
            Vec::new()
        } else {
            wanted.iter().filter_map(|one| one.name.clone()).collect()
        };
        let mut position = self.feed.position(plugin, stream).await?;
        let mut handled = 0;
        loop {
            let (events, last) = self.feed.after(stream, position, &names, EVENTS_PER_CALL_MAX).await?;
            if last == position {
                return Ok(handled);
            }
            let tries = self.failing.lock().get(&key).map_or(0, |failing| failing.tries);
            let outcome = if tries < FAILED_TRIES_MAX {
                let progress = Progress { subscriber: plugin.to_owned(), stream, position: last };
                self.hand_over(plugin, &events, &progress).await
            } else {
                self.one_by_one(plugin, stream, &names, position, last).await
            };
            match outcome {
                Ok(()) => {
                    self.failing.lock().remove(&key);
                    handled += events.len();
                    position = last;
                }
                Err(DispatchError::Store(error)) => return Err(error),
                Err(DispatchError::Plugin(error)) => {
                    // A hook that rests was not called, so it has not failed once more.
                    let tries = tries + u32::from(error.fault != Fault::OutOfService);
                    let wait = backoff(tries.max(1), RETRY_DELAY_MS_MIN, RETRY_DELAY_MS_MAX);
                    let wait = error.retry_after.map_or(wait, |rest| {
                        u64::try_from(rest.as_millis()).unwrap_or(u64::MAX).min(RETRY_DELAY_MS_MAX)
                    });
                    tracing::warn!(%error, tries, wait_ms = wait, "dispatch: the hook will be called again");
                    let until = self.clock.now().plus_millis(i64::try_from(wait).unwrap_or(i64::MAX));
                    self.failing.lock().insert(key, Failing { tries, until });
                    return Ok(handled);
                }
            }
        }
    }

    /// One call, its effects and the new position; again when a customer or a record changed meanwhile.
    async fn hand_over(
        &self,
        plugin: &str,
        events: &[Event],
        progress: &Progress,
    ) -> Result<(), DispatchError> {
        for attempt in 1.. {
            let effects = if events.is_empty() {
                Default::default()
            } else {
                self.hooks.handle(plugin, events).await?
            };
            match self.feed.commit(Some(progress), effects).await {
                Err(StoreError::Conflict(what)) if attempt < CONFLICT_TRIES_MAX => {
                    tracing::debug!(
                        plugin,
                        what,
                        "dispatch: something changed under the hook, calling it again"
                    );
                }
                outcome => return Ok(outcome?),
            }
        }
        Ok(())
    }

    /// After too many failures of a batch: each event after `position` alone, up to `end`, so that one that the hook cannot
    /// take is passed over, named in the log, instead of stopping the hook for ever. A hook that rests meanwhile has not
    /// seen its event: that one waits.
    async fn one_by_one(
        &self,
        plugin: &str,
        stream: Stream,
        names: &[String],
        mut position: i64,
        end: i64,
    ) -> Result<(), DispatchError> {
        while position < end {
            let (events, last) = self.feed.after(stream, position, names, 1).await?;
            if last == position {
                break;
            }
            let progress = Progress { subscriber: plugin.to_owned(), stream, position: last };
            match self.hand_over(plugin, &events, &progress).await {
                Err(DispatchError::Plugin(error)) if error.fault != Fault::OutOfService => {
                    let event = events.first().map(name).unwrap_or_default();
                    tracing::error!(
                        plugin,
                        stream = stream.as_str(),
                        event,
                        %error,
                        "dispatch: event passed over"
                    );
                    self.feed.commit(Some(&progress), Default::default()).await?;
                }
                outcome => outcome?,
            }
            position = last;
        }
        Ok(())
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::InteractionAppended(interaction) => interaction.id.to_string(),
        Event::CustomerChanged(customer) => customer.id.to_string(),
        Event::MetricObserved(observation) => observation.id.to_string(),
    }
}
