//! What the registry calls.

use std::sync::Arc;

use async_trait::async_trait;
use mlua::{IntoLua, Value as LuaValue};
use regard_engine::Fault;
use regard_engine::ports::{
    Effects, Event, Features, Handed, Outbound, Outcome, Polled, Webhook, WebhookReply,
};
use regard_model::{Channel, Metric};

use super::accumulator::{LuauAccumulator, Open};
use super::pool::Pool;
use super::{forms, records, values};
use crate::call::CallContext;
use crate::executor::Executor;
use crate::limits::LimitHit;
use crate::runtime::{Failure, Program, Session};

/// A loaded Luau program.
pub(super) struct LuauProgram {
    pool: Arc<Pool>,
    executor: Arc<Executor>,
    migrates: bool,
}

impl LuauProgram {
    pub(super) fn new(pool: Pool, executor: Arc<Executor>, migrates: bool) -> Self {
        Self { pool: Arc::new(pool), executor, migrates }
    }

    async fn migrate(
        &self,
        call: CallContext,
        function: &'static str,
        version: &str,
    ) -> Result<Effects, Failure> {
        let version = version.to_owned();
        let arguments = move |lua: &mlua::Lua| Ok(vec![version.into_lua(lua)?]);
        Ok(self.run(call, ("migration", function), arguments, |_| Ok(())).await?.1)
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
        let pool = self.pool.clone();
        self.executor.block(move || run(&pool, call, table, function, arguments, convert)).await?
    }
}

fn run<T>(
    pool: &Pool,
    call: CallContext,
    table: &str,
    function: &str,
    arguments: impl FnOnce(&mlua::Lua) -> mlua::Result<Vec<LuaValue>>,
    convert: impl FnOnce(&LuaValue) -> Result<T, String>,
) -> Result<(T, Effects), Failure> {
    let role = call.role;
    let (kept, call) = if role.serves() { pool.take(call) } else { pool.take_anew(call) }?;
    let Some(called) = kept.machine.function(table, function) else {
        pool.put_back(kept);
        return Err(Failure::new(
            Fault::Unsupported,
            format!("the handler has no function {table}.{function}"),
        ));
    };
    let (ended, mut call) = kept.machine.call(call, &pool.ticker, &called, arguments);
    let most = call.limits.output_bytes;
    let ended = ended.and_then(|value| {
        if values::is_within(&value, most) { Ok(value) } else { Err(LimitHit::OutputBytes(most).into()) }
    });
    let broke = ended.as_ref().is_err_and(|failure| failure.fault.breaks_instance());
    let ended = ended.and_then(|value| {
        convert(&value).map_err(|why| Failure::new(Fault::Failed, format!("what {function} returns: {why}")))
    });
    if !broke && role.serves() {
        pool.put_back(kept);
    } else if !broke {
        pool.put_back_used(kept);
    }
    ended.map(|value| (value, call.take_effects()))
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

    fn migrates(&self) -> bool {
        self.migrates
    }

    async fn upgrade(&self, call: CallContext, from: &str) -> Result<Effects, Failure> {
        self.migrate(call, "upgrade", from).await
    }

    async fn downgrade(&self, call: CallContext, to: &str) -> Result<Effects, Failure> {
        self.migrate(call, "downgrade", to).await
    }

    async fn open(
        &self,
        call: CallContext,
        metric: &str,
        parameters: &str,
    ) -> Result<Box<dyn Session>, Failure> {
        let (pool, metric, parameters) = (self.pool.clone(), metric.to_owned(), parameters.to_owned());
        let open = move || Open::new(&pool, call, &metric, &parameters);
        let opened = self.executor.block(open).await??;
        Ok(Box::new(LuauAccumulator::new(opened, self.executor.clone(), self.pool.clone())))
    }
}
