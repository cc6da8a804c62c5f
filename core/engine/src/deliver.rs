//! Deliver: hand due messages to their connectors and write down what became of them.
//!
//! An entry is leased to one node, sent under its idempotency key and settled. A node that dies in between leaves the
//! lease to run out; the next node sends again under the same key where the provider takes a key once, and asks a person
//! where it does not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use regard_model::interaction::Provenance;
use regard_model::{Attributes, DeliveryAttempt, OutboxEntry, OutboxState};
use tokio::sync::Notify;

use crate::error::{Fault, PluginError, StoreError};
use crate::outbox::{ATTEMPTS_MAX, RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN, Route, Stop, backoff, route};
use crate::ports::{
    Channels, Claimed, Clock, Connectors, Effects, Features, Feed, Incoming, Outbound, Outbox, Outcome,
    Settlement,
};

/// Entries leased at a time.
const CLAIM_MAX: usize = 256;
/// Sends under way at a time; providers and this machine's sockets bound it.
const IN_FLIGHT_MAX: usize = 32;
/// How long a node may keep an entry, in milliseconds: longer than the longest send with all that waits before it.
const LEASE_MS: i64 = 120_000;
/// How often to look for entries that another process stored, in milliseconds.
const LOOK_EVERY_MS: u64 = 1000;
/// Longest text kept of what a provider said, in bytes.
const DETAIL_BYTES_MAX: usize = 2000;
/// Kind of the receipt.
const SENT_KIND: &str = "message.sent";

/// Carries messages to connectors.
pub struct Deliverer {
    outbox: Arc<dyn Outbox>,
    feed: Arc<dyn Feed>,
    channels: Arc<dyn Channels>,
    connectors: Arc<dyn Connectors>,
    clock: Arc<dyn Clock>,
    woken: Notify,
}

impl Deliverer {
    /// A deliverer that does nothing until it is run.
    pub fn new(
        outbox: Arc<dyn Outbox>,
        feed: Arc<dyn Feed>,
        channels: Arc<dyn Channels>,
        connectors: Arc<dyn Connectors>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { outbox, feed, channels, connectors, clock, woken: Notify::new() }
    }

    /// Says that there is something new.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Runs until the task is dropped; calls `after_receipts` whenever messages were settled.
    pub async fn run(&self, after_receipts: impl Fn()) {
        loop {
            match self.drain().await {
                Ok(0) => {}
                Ok(_) => after_receipts(),
                Err(error) => tracing::error!(%error, "deliver: cannot reach the outbox"),
            }
            let _ = tokio::time::timeout(Duration::from_millis(LOOK_EVERY_MS), self.woken.notified()).await;
        }
    }

    /// Delivers all that is due now; returns how many entries were settled.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let mut settled = 0;
        loop {
            let now = self.clock.now();
            let claimed = self.outbox.claim(now, now.plus_millis(LEASE_MS), CLAIM_MAX).await?;
            if claimed.is_empty() {
                return Ok(settled);
            }
            let settlements: Vec<Settlement> = stream::iter(claimed)
                .map(|one| self.deliver(one))
                .buffer_unordered(IN_FLIGHT_MAX)
                .collect()
                .await;
            settled += settlements.len();
            self.outbox.settle(settlements).await?;
        }
    }

    async fn deliver(&self, claimed: Claimed) -> Settlement {
        match route(&claimed, &self.channels.all(), self.connectors.as_ref()) {
            Ok(route) => self.send(claimed.entry, route).await,
            Err(Stop::Suppress(reason)) => stopped(&claimed.entry, OutboxState::Suppressed, reason),
            Err(Stop::Ask(reason)) => stopped(&claimed.entry, OutboxState::Uncertain, reason),
            Err(Stop::Wait(reason)) => self.later(&claimed.entry, reason, None),
        }
    }

    async fn send(&self, entry: OutboxEntry, route: Route) -> Settlement {
        let text_of =
            |name: &str| entry.parameters.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let message = Outbound {
            idempotency_key: entry.idempotency_key.clone(),
            recipient: route.recipient.clone(),
            thread: text_of("thread"),
            subject: text_of("subject"),
            text: entry.body.clone(),
            attributes: entry.parameters.clone(),
        };
        let started_at = self.clock.now();
        let outcome = match self.connectors.send(&route.channel, message).await {
            Ok((outcome, effects)) => {
                self.keep(effects).await;
                outcome
            }
            Err(error) => broken(&error, &route.features),
        };
        let (word, detail) = match &outcome {
            Outcome::Sent(id) => ("sent", id.clone()),
            Outcome::Rejected(reason) => ("rejected", reason.clone()),
            Outcome::Retry { reason, .. } => ("retry", reason.clone()),
            Outcome::Uncertain(reason) => ("uncertain", reason.clone()),
        };
        let attempt = DeliveryAttempt {
            entry: entry.id,
            number: entry.attempts + 1,
            channel: route.channel.name.clone(),
            started_at,
            elapsed_ms: u64::try_from(self.clock.now().as_millis() - started_at.as_millis()).unwrap_or(0),
            outcome: word.to_owned(),
            detail: shorten(detail),
        };
        let mut settlement = match outcome {
            Outcome::Sent(id) => Settlement {
                provider_id: Some(shorten(id)),
                receipt: receipt(&entry, &route, self.clock.now()),
                ..stopped(&entry, OutboxState::Delivered, String::new())
            },
            Outcome::Rejected(reason) => stopped(&entry, OutboxState::Dead, reason),
            Outcome::Uncertain(reason) => stopped(&entry, OutboxState::Uncertain, reason),
            Outcome::Retry { reason, after } => self.later(&entry, reason, after),
        };
        settlement.attempt = Some(attempt);
        settlement
    }

    /// Another try later, or a dead letter after too many.
    fn later(&self, entry: &OutboxEntry, reason: String, after: Option<Duration>) -> Settlement {
        let tries = entry.attempts + 1;
        if tries >= ATTEMPTS_MAX {
            return stopped(entry, OutboxState::Dead, format!("given up after {tries} tries: {reason}"));
        }
        let own = backoff(tries, RETRY_DELAY_MS_MIN, RETRY_DELAY_MS_MAX);
        // The provider knows best, within reason.
        let wished = after
            .map_or(own, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(RETRY_DELAY_MS_MAX));
        let due_at = self.clock.now().plus_millis(i64::try_from(wished).unwrap_or(i64::MAX));
        Settlement { due_at: Some(due_at), ..stopped(entry, OutboxState::Pending, reason) }
    }

    /// Bytes that the connector keeps between calls.
    async fn keep(&self, effects: Effects) {
        if !effects.is_empty()
            && let Err(error) = self.feed.commit(None, effects).await
        {
            tracing::warn!(%error, "deliver: what the connector wanted to keep is lost");
        }
    }
}

/// A connector that broke in the middle of a send may have sent. Where the provider takes a key once, sending again is
/// safe; elsewhere a person decides. A connector that could not even start has sent nothing.
pub fn broken(error: &PluginError, features: &Features) -> Outcome {
    let reason = error.to_string();
    if error.fault == Fault::OutOfService || error.fault == Fault::Denied || features.idempotent {
        Outcome::Retry { reason, after: error.retry_after }
    } else {
        Outcome::Uncertain(reason)
    }
}

fn stopped(entry: &OutboxEntry, state: OutboxState, reason: String) -> Settlement {
    Settlement {
        entry: entry.id,
        state,
        reason: (!reason.is_empty()).then(|| shorten(reason)),
        provider_id: None,
        due_at: None,
        attempt: None,
        receipt: None,
    }
}

/// What we sent is an interaction of the customer like any other; the entry's id makes it unique on its channel.
fn receipt(entry: &OutboxEntry, route: &Route, now: regard_model::Timestamp) -> Option<Incoming> {
    let mut attributes = Attributes::from([
        ("outbox_id", entry.id.to_string().into()),
        ("purpose", entry.purpose.clone().into()),
        ("origin", entry.origin.clone().into()),
        ("text", entry.body.clone().into()),
    ]);
    if let Some(subject) = entry.parameters.get("subject") {
        attributes.set("subject", subject.clone());
    }
    Some(Incoming {
        channel: route.channel.id,
        external_id: entry.id.to_string(),
        customer: Some(entry.customer),
        identifiers: Vec::new(),
        customer_name: String::new(),
        kind: SENT_KIND.parse().ok()?,
        occurred_at: now,
        thread: entry.parameters.get("thread").and_then(|value| value.as_str()).map(str::to_owned),
        amount: None,
        attributes,
        provenance: Provenance::For,
        causation_id: entry.causation_id,
        source: route.channel.name.clone(),
    })
}

fn shorten(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        let end = text.floor_char_boundary(DETAIL_BYTES_MAX);
        text.truncate(end);
        text.push('\u{2026}');
    }
    text
}
