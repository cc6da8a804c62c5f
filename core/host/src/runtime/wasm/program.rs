//! What the registry calls: each call gets an instance of its own, which is dropped after it, unless the manifest asks
//! for one that serves several calls.

use std::sync::Arc;

use async_trait::async_trait;
use regard_engine::Fault;
use regard_engine::ports::{
    Effects, Event, Features, Handed, Outbound, Outcome, Polled, Webhook, WebhookReply,
};
use regard_model::{Channel, Metric};

use super::accumulator::{Open, WasmAccumulator};
use super::convert;
use super::guest::{Code, Guest, within};
use super::idle::Idle;
use crate::call::CallContext;
use crate::executor::Executor;
use crate::runtime::{Failure, Program, Session};

/// A loaded component.
pub(crate) struct WasmProgram {
    code: Arc<Code>,
    idle: Arc<Idle>,
    executor: Arc<Executor>,
}

impl WasmProgram {
    pub(super) fn new(code: Arc<Code>, executor: Arc<Executor>) -> Self {
        Self { code, idle: Arc::default(), executor }
    }
}

/// Calls an exported function in an instance on a plugin thread; gives its answer and the call's effects. The instance
/// is out of everybody's reach while it is called, and only one that was left whole is kept.
macro_rules! fresh {
    ($self:ident, $call:ident, $exports:ident, |$guest:ident, $plugin:ident| $work:expr, $settle:ident) => {{
        let (code, idle) = ($self.code.clone(), $self.idle.clone());
        let run = async move {
            let (mut $guest, calls) = idle.take(code, $call).await?;
            let $plugin = $guest.$exports()?;
            let (bounds, running) = $guest.clock();
            let ended = within(bounds, $work).await;
            drop(running);
            let answer = $guest.$settle(ended)?;
            let effects = $guest.store.data_mut().call.take_effects();
            idle.put_back($guest, calls);
            Ok::<_, Failure>((answer, effects))
        };
        $self.executor.run(run).await?
    }};
}

#[async_trait]
impl Program for WasmProgram {
    async fn set_up(&self, call: CallContext) -> Result<(), Failure> {
        let (code, idle) = (self.code.clone(), self.idle.clone());
        let run = async move {
            let (guest, calls) = idle.take(code, call).await?;
            idle.put_back(guest, calls);
            Ok(())
        };
        self.executor.run(run).await?
    }

    async fn features(&self, call: CallContext) -> Result<Features, Failure> {
        let (features, _) = fresh!(
            self,
            call,
            connector,
            |guest, plugin| plugin.regard_connector_connector().call_describe(&mut guest.store),
            settle
        )?;
        Ok(convert::features(features))
    }

    async fn metrics(&self, call: CallContext) -> Result<Vec<Metric>, Failure> {
        let (metrics, _) = fresh!(
            self,
            call,
            kpi,
            |guest, plugin| plugin.regard_kpi_evaluator().call_describe(&mut guest.store),
            settle
        )?;
        metrics.into_iter().map(convert::metric).collect()
    }

    async fn handle(&self, call: CallContext, events: &[Event]) -> Result<Effects, Failure> {
        let events: Vec<_> = events.iter().map(convert::event).collect();
        let ((), effects) = fresh!(
            self,
            call,
            hook,
            |guest, plugin| plugin.regard_hook_hook().call_handle(&mut guest.store, &events),
            settle_reported
        )?;
        Ok(effects)
    }

    async fn receive(
        &self,
        call: CallContext,
        channel: &Channel,
        webhook: Webhook,
    ) -> Result<((Vec<Handed>, WebhookReply), Effects), Failure> {
        let (channel, webhook) = (convert::channel(channel), convert::webhook(webhook));
        let (received, effects) = fresh!(
            self,
            call,
            connector,
            |guest, plugin| plugin.regard_connector_connector().call_receive(
                &mut guest.store,
                &channel,
                &webhook
            ),
            settle_reported
        )?;
        let items = convert::items(received.items)?;
        Ok(((items, convert::reply(received.reply)), effects))
    }

    async fn poll(
        &self,
        call: CallContext,
        channel: &Channel,
        cursor: Option<Vec<u8>>,
        limit: u32,
    ) -> Result<(Polled, Effects), Failure> {
        let channel = convert::channel(channel);
        let (page, effects) = fresh!(
            self,
            call,
            connector,
            |guest, plugin| plugin.regard_connector_connector().call_poll(
                &mut guest.store,
                &channel,
                cursor.as_deref(),
                limit
            ),
            settle_reported
        )?;
        let items = convert::items(page.items)?;
        Ok((Polled { items, cursor: page.cursor, more: page.more }, effects))
    }

    async fn send(
        &self,
        call: CallContext,
        channel: &Channel,
        message: Outbound,
    ) -> Result<(Outcome, Effects), Failure> {
        let (channel, message) = (convert::channel(channel), convert::outbound(message));
        let (outcome, effects) = fresh!(
            self,
            call,
            connector,
            |guest, plugin| plugin.regard_connector_connector().call_send(
                &mut guest.store,
                &channel,
                &message
            ),
            settle
        )?;
        Ok((convert::outcome(outcome), effects))
    }

    fn migrates(&self) -> bool {
        self.code.migrates()
    }

    async fn upgrade(&self, call: CallContext, from: &str) -> Result<Effects, Failure> {
        let from = from.to_owned();
        let ((), effects) = fresh!(
            self,
            call,
            migration,
            |guest, plugin| plugin.regard_core_migration().call_upgrade(&mut guest.store, &from),
            settle_reported
        )?;
        Ok(effects)
    }

    async fn downgrade(&self, call: CallContext, to: &str) -> Result<Effects, Failure> {
        let to = to.to_owned();
        let ((), effects) = fresh!(
            self,
            call,
            migration,
            |guest, plugin| plugin.regard_core_migration().call_downgrade(&mut guest.store, &to),
            settle_reported
        )?;
        Ok(effects)
    }

    async fn open(
        &self,
        call: CallContext,
        metric: &str,
        parameters: &str,
    ) -> Result<Box<dyn Session>, Failure> {
        let (code, metric, parameters) = (self.code.clone(), metric.to_owned(), parameters.to_owned());
        let run = async move {
            let mut guest = Guest::new(code, call).await?;
            let exports = guest.kpi()?;
            let (bounds, running) = guest.clock();
            let ended = {
                let evaluator = exports.regard_kpi_evaluator().accumulator();
                within(bounds, evaluator.call_open(&mut guest.store, &metric, &parameters)).await
            };
            drop(running);
            let accumulator = guest.settle_reported(ended)?;
            Open::new(guest, exports, accumulator)
                .map_err(|why| Failure::new(Fault::Unsupported, format!("{why:#}")))
        };
        let open = self.executor.run(run).await??;
        Ok(Box::new(WasmAccumulator::new(open, self.executor.clone())))
    }
}
