//! What the registry calls. Machines are kept for further calls, since making one costs more than most calls; one that
//! broke, or has served long enough, is dropped.

use std::sync::Arc;

use async_trait::async_trait;
use mlua::Value as LuaValue;
use parking_lot::Mutex;
use regard_engine::Fault;
use regard_engine::ports::{
    Effects, Event, Features, Handed, Outbound, Outcome, Polled, Webhook, WebhookReply,
};
use regard_model::{Channel, Metric};

use super::accumulator::LuauAccumulator;
use super::machine::Machine;
use super::{Code, forms, records, values};
use crate::call::CallContext;
use crate::executor::Executor;
use crate::limits::LimitHit;
use crate::runtime::{Failure, Program, Session};
use crate::ticker::Ticker;

/// Idle machines kept per plugin; each takes about a megabyte, and more than so many rarely run at a time.
const IDLE_MAX: usize = 4;
/// Calls that one machine serves: a plugin that leaks into its module variables starts afresh after so many.
const CALLS_MAX: u32 = 1_000;

/// A loaded Luau program.
pub(super) struct LuauProgram {
    shared: Arc<Shared>,
    executor: Arc<Executor>,
}

struct Shared {
    code: Arc<Code>,
    idle: Mutex<Vec<Kept>>,
    ticker: Arc<Ticker>,
}

/// An idle machine and how many calls it has served.
struct Kept {
    machine: Machine,
    calls: u32,
}

impl LuauProgram {
    /// A program whose first machine is made already.
    pub(super) fn new(
        code: Arc<Code>,
        machine: Machine,
        executor: Arc<Executor>,
        ticker: Arc<Ticker>,
    ) -> Self {
        let idle = Mutex::new(vec![Kept { machine, calls: 0 }]);
        Self { shared: Arc::new(Shared { code, idle, ticker }), executor }
    }

    /// Calls `table.function` on a thread that may block. `arguments` makes what it is given, `convert` takes over what
    /// it returns.
    async fn run<T: Send + 'static>(
        &self,
        call: CallContext,
        (table, function): (&'static str, &'static str),
        arguments: impl FnOnce(&mlua::Lua) -> mlua::Result<Vec<LuaValue>> + Send + 'static,
        convert: impl FnOnce(&LuaValue) -> Result<T, String> + Send + 'static,
    ) -> Result<(T, Effects), Failure> {
        let shared = self.shared.clone();
        self.executor.block(move || shared.run(call, table, function, arguments, convert)).await?
    }
}

impl Shared {
    fn run<T>(
        &self,
        call: CallContext,
        table: &str,
        function: &str,
        arguments: impl FnOnce(&mlua::Lua) -> mlua::Result<Vec<LuaValue>>,
        convert: impl FnOnce(&LuaValue) -> Result<T, String>,
    ) -> Result<(T, Effects), Failure> {
        let (kept, call) = self.take(call)?;
        let Some(called) = kept.machine.function(table, function) else {
            self.put_back(kept);
            return Err(Failure::new(
                Fault::Unsupported,
                format!("the handler has no function {table}.{function}"),
            ));
        };
        let (ended, mut call) = kept.machine.call(call, &self.ticker, &called, arguments);
        let most = call.limits.output_bytes;
        let ended = ended.and_then(|value| {
            if values::is_within(&value, most) { Ok(value) } else { Err(LimitHit::OutputBytes(most).into()) }
        });
        let broke = ended.as_ref().is_err_and(|failure| failure.fault.breaks_instance());
        let ended = ended.and_then(|value| {
            convert(&value)
                .map_err(|why| Failure::new(Fault::Failed, format!("what {function} returns: {why}")))
        });
        if !broke {
            self.put_back(kept);
        }
        ended.map(|value| (value, call.take_effects()))
    }

    /// An idle machine, or a new one.
    fn take(&self, call: CallContext) -> Result<(Kept, CallContext), Failure> {
        if call.remaining().is_zero() {
            return Err(Failure::new(
                Fault::Throttled,
                "all threads of plugins were busy for the whole time of the call",
            ));
        }
        let idle = self.idle.lock().pop();
        // An idle machine was made for interactive calls and has their bound on memory.
        match idle {
            Some(kept) => Ok((kept, call)),
            None => {
                let (machine, call) = Machine::new(&self.code, call, &self.ticker);
                Ok((Kept { machine: machine?, calls: 0 }, call))
            }
        }
    }

    fn put_back(&self, mut kept: Kept) {
        kept.calls += 1;
        let mut idle = self.idle.lock();
        if kept.calls < CALLS_MAX && idle.len() < IDLE_MAX {
            idle.push(kept);
        }
    }
}

#[async_trait]
impl Program for LuauProgram {
    async fn features(&self, call: CallContext) -> Result<Features, Failure> {
        let described = self.run(call, ("connector", "describe"), |_| Ok(Vec::new()), forms::features);
        Ok(described.await?.0)
    }

    async fn metrics(&self, call: CallContext) -> Result<Vec<Metric>, Failure> {
        Ok(self.run(call, ("kpi", "describe"), |_| Ok(Vec::new()), forms::metrics).await?.0)
    }

    async fn handle(&self, call: CallContext, events: &[Event]) -> Result<Effects, Failure> {
        let events = events.to_vec();
        let arguments = move |lua: &mlua::Lua| Ok(vec![records::events(lua, &events)?]);
        Ok(self.run(call, ("hook", "handle"), arguments, |_| Ok(())).await?.1)
    }

    async fn receive(
        &self,
        call: CallContext,
        channel: &Channel,
        webhook: Webhook,
    ) -> Result<((Vec<Handed>, WebhookReply), Effects), Failure> {
        let channel = records::channel(channel);
        let arguments = move |lua: &mlua::Lua| {
            Ok(vec![values::to_luau(lua, &channel)?, records::webhook(lua, &webhook)?])
        };
        self.run(call, ("connector", "receive"), arguments, forms::received).await
    }

    async fn poll(
        &self,
        call: CallContext,
        channel: &Channel,
        cursor: Option<Vec<u8>>,
        limit: u32,
    ) -> Result<(Polled, Effects), Failure> {
        let channel = records::channel(channel);
        let arguments = move |lua: &mlua::Lua| {
            let cursor = match cursor {
                Some(cursor) => LuaValue::String(lua.create_string(cursor)?),
                None => LuaValue::Nil,
            };
            Ok(vec![values::to_luau(lua, &channel)?, cursor, LuaValue::Number(f64::from(limit))])
        };
        self.run(call, ("connector", "poll"), arguments, forms::polled).await
    }

    async fn send(
        &self,
        call: CallContext,
        channel: &Channel,
        message: Outbound,
    ) -> Result<(Outcome, Effects), Failure> {
        let channel = records::channel(channel);
        let message = records::outbound(&message);
        let arguments =
            move |lua: &mlua::Lua| Ok(vec![values::to_luau(lua, &channel)?, values::to_luau(lua, &message)?]);
        self.run(call, ("connector", "send"), arguments, forms::outcome).await
    }

    async fn open(
        &self,
        call: CallContext,
        metric: &str,
        parameters: &str,
    ) -> Result<Box<dyn Session>, Failure> {
        let code = self.shared.code.clone();
        let ticker = self.shared.ticker.clone();
        let (metric, parameters) = (metric.to_owned(), parameters.to_owned());
        let open = move || LuauAccumulator::open(&code, call, &ticker, &metric, &parameters);
        let opened = self.executor.block(open).await??;
        Ok(Box::new(LuauAccumulator::new(opened, self.executor.clone(), self.shared.ticker.clone())))
    }
}
