//! What the registry calls.

use std::sync::Arc;

use async_trait::async_trait;
use regard_engine::Fault;
use regard_engine::ports::{
    Effects, Event, Features, Handed, Outbound, Outcome, Polled, Webhook, WebhookReply,
};
use regard_model::{Channel, Metric};
use serde_json::{Value, json};

use super::accumulator::{NativeAccumulator, Open};
use super::current::during;
use super::forms as bytes;
use super::library::{Function, Library};
use crate::call::CallContext;
use crate::runtime::{Failure, Program, Session, forms, records};

/// A loaded library.
pub(super) struct NativeProgram {
    library: Arc<Library>,
}

impl NativeProgram {
    pub(super) fn new(library: Arc<Library>) -> Self {
        Self { library }
    }

    /// Sets the library up.
    pub(super) async fn configure(&self, call: CallContext) -> Result<(), Failure> {
        if !self.library.has(Function::Configure) {
            return Ok(());
        }
        self.run(call, Function::Configure, || json!({}), |_| Ok(())).await.map(drop)
    }

    /// Calls `function` on a thread of the library's. `arguments` makes what it is given, `convert` takes over what it
    /// writes; both run on that thread.
    async fn run<T: Send + 'static>(
        &self,
        call: CallContext,
        function: Function,
        arguments: impl FnOnce() -> Value + Send + 'static,
        convert: impl FnOnce(Value) -> Result<T, String> + Send + 'static,
    ) -> Result<(T, Effects), Failure> {
        let library = self.library.clone();
        let (role, name, within) = (call.role, call.name, (call.deadline, call.limits.call));
        let work = move || {
            let arguments = arguments().to_string();
            let mut has = true;
            let (ended, mut call) = during(call, library.threads.host(), |handle| {
                library.ask(function, handle, &arguments).unwrap_or_else(|| {
                    has = false;
                    regard_abi::Status::ERROR
                })
            });
            if !has {
                let message = format!("the library has no {}", function.as_str());
                return Err(Failure::new(Fault::Unsupported, message));
            }
            let wrong = |why: String| Failure::new(Fault::Failed, format!("what {name} returns: {why}"));
            let value = match ended?.bytes {
                nothing if nothing.is_empty() => Value::Null,
                text => serde_json::from_slice(&text).map_err(|why| wrong(format!("no JSON: {why}")))?,
            };
            Ok((convert(value).map_err(wrong)?, call.take_effects()))
        };
        self.library.threads.run(role, name, within, work).await?
    }
}

#[async_trait]
impl Program for NativeProgram {
    fn stuck(&self) -> Option<String> {
        self.library.threads.stuck()
    }

    async fn features(&self, call: CallContext) -> Result<Features, Failure> {
        Ok(self.run(call, Function::ConnectorDescribe, || json!({}), forms::features).await?.0)
    }

    async fn metrics(&self, call: CallContext) -> Result<Vec<Metric>, Failure> {
        Ok(self.run(call, Function::KpiDescribe, || json!({}), forms::metrics).await?.0)
    }

    async fn handle(&self, call: CallContext, events: &[Event]) -> Result<Effects, Failure> {
        let events = events.to_vec();
        let arguments = move || json!({ "events": events.iter().map(records::event).collect::<Vec<_>>() });
        Ok(self.run(call, Function::HookHandle, arguments, |_| Ok(())).await?.1)
    }

    async fn receive(
        &self,
        call: CallContext,
        channel: &Channel,
        webhook: Webhook,
    ) -> Result<((Vec<Handed>, WebhookReply), Effects), Failure> {
        let channel = records::channel(channel);
        let arguments = move || json!({ "channel": channel, "request": bytes::webhook(&webhook) });
        self.run(call, Function::ConnectorReceive, arguments, bytes::received).await
    }

    async fn poll(
        &self,
        call: CallContext,
        channel: &Channel,
        cursor: Option<Vec<u8>>,
        limit: u32,
    ) -> Result<(Polled, Effects), Failure> {
        let channel = records::channel(channel);
        let arguments = move || bytes::poll(channel, cursor.as_deref(), limit);
        self.run(call, Function::ConnectorPoll, arguments, bytes::polled).await
    }

    async fn send(
        &self,
        call: CallContext,
        channel: &Channel,
        message: Outbound,
    ) -> Result<(Outcome, Effects), Failure> {
        let channel = records::channel(channel);
        let arguments = move || json!({ "channel": channel, "message": records::outbound(&message) });
        self.run(call, Function::ConnectorSend, arguments, forms::outcome).await
    }

    fn migrates(&self) -> bool {
        self.library.has(Function::MigrationUpgrade)
    }

    async fn upgrade(&self, call: CallContext, from: &str) -> Result<Effects, Failure> {
        let arguments = json!({ "version": from });
        Ok(self.run(call, Function::MigrationUpgrade, || arguments, |_| Ok(())).await?.1)
    }

    async fn downgrade(&self, call: CallContext, to: &str) -> Result<Effects, Failure> {
        let arguments = json!({ "version": to });
        Ok(self.run(call, Function::MigrationDowngrade, || arguments, |_| Ok(())).await?.1)
    }

    async fn open(
        &self,
        call: CallContext,
        metric: &str,
        parameters: &str,
    ) -> Result<Box<dyn Session>, Failure> {
        let library = self.library.clone();
        let (metric, parameters) = (metric.to_owned(), parameters.to_owned());
        let (role, name, within) = (call.role, call.name, (call.deadline, call.limits.call));
        let opening = move || Open::new(&library, call, &metric, &parameters);
        let open = self.library.threads.run(role, name, within, opening).await??;
        Ok(Box::new(NativeAccumulator::new(open, self.library.clone())))
    }
}
