//! Stands between the engine and the host, and notes what the plugin is called with and what it answers.
//!
//! The engine swallows what a plugin does wrong, because a server must go on; a test has to see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use regard_engine::PluginError;
use regard_engine::ports::{
    Connectors, Effects, Event, Features, Handed, Hooks, Outbound, Outcome, Polled, Subscription, Webhook,
    WebhookReply,
};
use regard_host::Host;
use regard_model::record::RecordChange;
use regard_model::{Channel, Schedule};

use crate::recorded::Recorded;

/// A host that is watched.
pub struct Watched {
    host: Host,
    recorded: Arc<Recorded>,
    twice: AtomicBool,
    noted: Mutex<Noted>,
}

/// What was noted.
#[derive(Debug, Default)]
pub struct Noted {
    /// The batches that the hook was handed.
    pub batches: Vec<Vec<Event>>,
    /// What failed.
    pub errors: Vec<PluginError>,
    /// Batches on which a hook that was called twice answered differently, with both answers.
    pub unlike: Vec<(String, String)>,
    /// The external ids that the connector made of webhooks, one list per call.
    pub received: Vec<Vec<String>>,
}

impl Watched {
    /// Watches `host`.
    pub fn new(host: Host, recorded: Arc<Recorded>) -> Self {
        Self { host, recorded, twice: AtomicBool::new(false), noted: Mutex::default() }
    }

    /// From now on every batch is handed to the hook twice, and the answers are compared.
    pub fn hand_twice(&self) {
        self.twice.store(true, Ordering::Relaxed);
    }

    /// What was noted since this was last asked.
    pub fn take(&self) -> Noted {
        std::mem::take(&mut self.noted.lock())
    }

    /// The errors since this or [`take`](Self::take) was last asked.
    pub fn take_errors(&self) -> Vec<PluginError> {
        std::mem::take(&mut self.noted.lock().errors)
    }

    fn note<T>(&self, ended: Result<T, PluginError>) -> Result<T, PluginError> {
        ended.inspect_err(|error| self.noted.lock().errors.push(error.clone()))
    }
}

/// What a call changes, as text. Ids that the host gives out are numbered, since they differ from call to call.
pub fn told(effects: &Effects) -> String {
    let Effects { customers, messages, records, kept, .. } = effects;
    let mut text = format!("{customers:?} {messages:?} {records:?} {kept:?}");
    let made = records.iter().filter_map(|change| match change {
        RecordChange::Create(id, _) => Some(id.to_string()),
        _ => None,
    });
    let ids: Vec<String> = messages.iter().map(|(id, _)| id.to_string()).chain(made).collect();
    for (number, id) in ids.iter().enumerate() {
        text = text.replace(id, &format!("<id {number}>"));
    }
    text
}

#[async_trait]
impl Hooks for Watched {
    fn subscribers(&self) -> Vec<(String, Vec<Subscription>)> {
        self.host.subscribers()
    }

    fn schedules(&self) -> Vec<(String, Vec<Schedule>)> {
        self.host.schedules()
    }

    async fn handle(&self, plugin: &str, events: &[Event]) -> Result<Effects, PluginError> {
        self.noted.lock().batches.push(events.to_vec());
        let mark = self.recorded.mark();
        let effects = self.note(self.host.handle(plugin, events).await)?;
        if self.twice.load(Ordering::Relaxed) {
            self.recorded.rewind(&mark);
            let again = self.note(self.host.handle(plugin, events).await)?;
            let (first, second) = (told(&effects), told(&again));
            if first != second {
                self.noted.lock().unlike.push((first, second));
            }
        }
        Ok(effects)
    }
}

#[async_trait]
impl Connectors for Watched {
    fn features(&self, plugin: &str) -> Option<Features> {
        Connectors::features(&self.host, plugin)
    }

    async fn receive(
        &self,
        channel: &Channel,
        webhook: Webhook,
    ) -> Result<(Vec<Handed>, WebhookReply, Effects), PluginError> {
        let received = self.note(self.host.receive(channel, webhook).await)?;
        let ids = received.0.iter().map(|item| item.external_id.clone()).collect();
        self.noted.lock().received.push(ids);
        Ok(received)
    }

    async fn poll(
        &self,
        channel: &Channel,
        cursor: Option<Vec<u8>>,
        limit: u32,
    ) -> Result<(Polled, Effects), PluginError> {
        self.note(self.host.poll(channel, cursor, limit).await)
    }

    async fn send(&self, channel: &Channel, message: Outbound) -> Result<(Outcome, Effects), PluginError> {
        self.note(self.host.send(channel, message).await)
    }
}
