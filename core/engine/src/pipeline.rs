//! The whole way of an interaction on one screen.
//!
//! ```text
//! connector.receive / poll / POST /interactions
//!   -> inbound     validate, normalise, deduplicate on (channel, external id)
//!   -> identity    identifiers -> customer, creating or linking; never rewrites history
//!   -> log         append, durable before the caller gets its answer (group commit)
//!   -> dispatch    hooks, each event once, in order
//!   -> outbox      effect rows, in the same transaction as the step that caused them
//!   -> deliver     consent, address, retry with backoff, dead letter
//!   -> connector.send(idempotency key) -> the receipt is an interaction again
//! ```

use std::sync::Arc;

use regard_model::{Channel, Invalid};
use tokio_util::sync::CancellationToken;

use crate::deliver::Deliverer;
use crate::dispatch::Dispatcher;
use crate::error::{Fault, PluginError, StoreError};
use crate::import::ImportMark;
use crate::inbound::{self, Submission};
use crate::log::LogWriter;
use crate::poll::{self, Poller, Turn};
use crate::ports::{
    Appended, Channels, Clock, Connectors, Feed, Hooks, Incoming, Log, Outbox, Reads, Webhook, WebhookReply,
};
use crate::schedule::Scheduler;

/// Everything the way needs, put together by the server.
#[derive(Clone)]
pub struct Parts {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The streams of what happened.
    pub feed: Arc<dyn Feed>,
    /// Messages on their way out.
    pub outbox: Arc<dyn Outbox>,
    /// The channels.
    pub channels: Arc<dyn Channels>,
    /// Hooks.
    pub hooks: Arc<dyn Hooks>,
    /// Connectors.
    pub connectors: Arc<dyn Connectors>,
    /// What poll cursors are read from.
    pub reads: Arc<dyn Reads>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Why a webhook call was not taken.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The connector refused it or failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// What the connector handed in is wrong, at this place in its list.
    #[error("item {at}: {invalid}")]
    Invalid {
        /// Place in the list, from 0.
        at: usize,
        /// What is wrong.
        invalid: Invalid,
    },
    /// The store could not take it; the sender should try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WebhookError {
    /// The HTTP status that the caller sees.
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Plugin(error) => match error.fault {
                // A wrong signature: whoever calls is not the provider that the channel knows.
                Fault::Denied => 401,
                Fault::Invalid => 400,
                Fault::Unsupported => 422,
                Fault::NotFound => 404,
                Fault::Conflict => 409,
                Fault::Throttled => 429,
                Fault::Unavailable | Fault::OutOfService => 503,
                Fault::Failed | Fault::Timeout | Fault::Memory | Fault::Exhausted | Fault::Trap => 502,
            },
            Self::Invalid { .. } => 400,
            Self::Store(_) => 503,
        }
    }
}

/// The way, ready to be used.
pub struct Pipeline {
    parts: Parts,
    log: LogWriter,
    dispatcher: Arc<Dispatcher>,
    deliverer: Deliverer,
    poller: Poller,
    scheduler: Scheduler,
}

impl Pipeline {
    /// Puts the stages together. Must be called within a tokio runtime: the log's task starts here.
    pub fn new(parts: Parts) -> Arc<Self> {
        let dispatcher =
            Arc::new(Dispatcher::new(parts.feed.clone(), parts.hooks.clone(), parts.clock.clone()));
        let woken = dispatcher.clone();
        Arc::new(Self {
            log: LogWriter::start(parts.log.clone(), move || woken.wake()),
            dispatcher,
            deliverer: Deliverer::new(
                parts.outbox.clone(),
                parts.feed.clone(),
                parts.channels.clone(),
                parts.connectors.clone(),
                parts.clock.clone(),
            ),
            poller: Poller::default(),
            scheduler: Scheduler::default(),
            parts,
        })
    }

    /// Interactions from a caller: inbound, identity, log. One outcome per submission, in order; accepted ones are
    /// durable. `mark` says how far an import has come and is stored with the rows.
    pub async fn receive(
        &self,
        submissions: Vec<Submission>,
        mark: Option<ImportMark>,
    ) -> Result<Vec<Appended>, StoreError> {
        let now = self.parts.clock.now();
        let mut outcomes: Vec<Option<Appended>> = Vec::with_capacity(submissions.len());
        let mut rows = Vec::with_capacity(submissions.len());
        for submission in submissions {
            match inbound::check(submission, self.parts.channels.as_ref(), now) {
                Ok(row) => {
                    rows.push(row);
                    outcomes.push(None);
                }
                Err(invalid) => outcomes.push(Some(Appended::Rejected(invalid))),
            }
        }
        let mut appended = self.log.append(rows, mark).await?.into_iter();
        outcomes
            .into_iter()
            .map(|outcome| {
                outcome.or_else(|| appended.next()).ok_or_else(|| StoreError::Damaged {
                    during: "append interactions",
                    why: "the store answered for fewer rows than it was given".into(),
                })
            })
            .collect()
    }

    /// A webhook call: connector.receive, then the same way. The reply goes out after everything is durable.
    pub async fn receive_webhook(
        &self,
        channel: &Channel,
        webhook: Webhook,
    ) -> Result<WebhookReply, WebhookError> {
        let (handed, reply, effects) = self.parts.connectors.receive(channel, webhook).await?;
        let submissions = handed
            .into_iter()
            .enumerate()
            .map(|(at, one)| {
                inbound::read_handed(one, channel).map_err(|invalid| WebhookError::Invalid { at, invalid })
            })
            .collect::<Result<Vec<_>, _>>()?;
        for (at, outcome) in self.receive(submissions, None).await?.into_iter().enumerate() {
            if let Appended::Rejected(invalid) = outcome {
                return Err(WebhookError::Invalid { at, invalid });
            }
        }
        if !effects.is_empty() {
            self.parts.feed.commit(None, effects).await.map_err(|error| match error {
                // Another version of the connector serves by now, on another node: the sender may try again there or here.
                StoreError::Conflict(why) => {
                    StoreError::Unavailable { during: "keep what a connector keeps", why }
                }
                error => error,
            })?;
        }
        Ok(reply)
    }

    /// Asks a channel's connector for what is new, at once; a turn ends when there is nothing more or it was long.
    pub async fn poll(&self, channel: &Channel) -> Result<Turn, WebhookError> {
        poll::turn(self, channel).await
    }

    /// Runs polling, schedules, dispatch and delivery until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let stages = async {
            tokio::join!(
                self.poller.run(&self),
                self.scheduler.run(&self),
                self.dispatcher.run(|| self.deliverer.wake()),
                self.deliverer.run(|| self.dispatcher.wake()),
            )
        };
        tokio::select! {
            _ = stages => {}
            () = stop.cancelled() => {}
        }
    }

    /// Runs schedules, dispatch and delivery until there is nothing left to do now; returns how many events and messages
    /// it took.
    pub async fn settle(&self) -> Result<(usize, usize), StoreError> {
        self.scheduler.look(self).await?;
        let (mut events, mut messages) = (0, 0);
        loop {
            let handled = self.dispatcher.drain().await?;
            let settled = self.deliverer.drain().await?;
            if handled == 0 && settled == 0 {
                return Ok((events, messages));
            }
            events += handled;
            messages += settled;
        }
    }

    /// Says that something happened outside the way: a customer changed, a metric was observed, a message was enqueued.
    pub fn wake(&self) {
        self.dispatcher.wake();
        self.deliverer.wake();
    }

    /// Stores what the engine itself has to say.
    pub(crate) async fn append(&self, rows: Vec<Incoming>) -> Result<Vec<Appended>, StoreError> {
        self.log.append(rows, None).await
    }

    pub(crate) const fn parts(&self) -> &Parts {
        &self.parts
    }
}
