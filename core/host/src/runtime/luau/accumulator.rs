//! An open accumulator: a machine of its own that is kept until the run ends.

use std::sync::Arc;

use async_trait::async_trait;
use mlua::{Buffer, IntoLua, Lua, Value as LuaValue};
use regard_engine::Fault;
use regard_engine::columns::Batch;
use regard_model::Timestamp;

use super::columns::{self, Trouble};
use super::machine::failure;
use super::pool::{Kept, Pool};
use super::values;
use crate::call::CallContext;
use crate::executor::Executor;
use crate::limits::LimitHit;
use crate::runtime::{Failure, Session};
use crate::ticker::Ticker;

/// An open accumulator of a Luau program. It is taken out for a call and put back when the call has left it whole.
pub(super) struct LuauAccumulator {
    open: Option<Open>,
    executor: Arc<Executor>,
    pool: Arc<Pool>,
}

/// The machine, the accumulator in it, and the call that is charged.
pub(super) struct Open {
    kept: Kept,
    object: LuaValue,
    call: CallContext,
}

impl Open {
    /// Opens an accumulator of `metric` in a machine of its own; blocks.
    pub(super) fn new(
        pool: &Pool,
        call: CallContext,
        metric: &str,
        parameters: &str,
    ) -> Result<Self, Failure> {
        let (kept, call) = pool.take_anew(call)?;
        let function = kept.machine.function("kpi", "open");
        let function =
            function.ok_or_else(|| Failure::new(Fault::Unsupported, "the handler has no kpi.open"))?;
        let parameters: serde_json::Value =
            serde_json::from_str(parameters).map_err(|why| Failure::new(Fault::Invalid, why.to_string()))?;
        let (opened, call) = kept.machine.call(call, &pool.ticker, &function, |lua| {
            Ok(vec![metric.into_lua(lua)?, values::to_luau(lua, &parameters)?])
        });
        let object = opened?;
        if !matches!(object, LuaValue::Table(_)) {
            let message = format!("kpi.open returns a {}, not an accumulator", object.type_name());
            return Err(Failure::new(Fault::Failed, message));
        }
        Ok(Self { kept, object, call })
    }
}

impl Drop for LuauAccumulator {
    fn drop(&mut self) {
        // What broke is not here any more: `method` puts back only what is whole.
        if let Some(Open { kept, object, .. }) = self.open.take() {
            drop(object);
            self.pool.put_back_used(kept);
        }
    }
}

impl LuauAccumulator {
    pub(super) fn new(open: Open, executor: Arc<Executor>, pool: Arc<Pool>) -> Self {
        Self { open: Some(open), executor, pool }
    }

    /// Calls a method. `arguments` runs here, so that columns are copied into the machine straight from the caller's.
    async fn method<T: Send + 'static>(
        &mut self,
        name: &'static str,
        arguments: impl FnOnce(&Lua) -> mlua::Result<Vec<LuaValue>>,
        convert: impl FnOnce(&Open, &LuaValue) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let open = self.open.take().ok_or_else(Failure::broken)?;
        let limits = open.call.limits;
        let given = arguments(open.kept.machine.lua()).map_err(|why| failure(&why, limits))?;
        let pool = self.pool.clone();
        let work = move || open.method(&pool.ticker, name, given, convert);
        let (open, ended) = if Executor::may_block() { work() } else { self.executor.block(work).await? };
        if !ended.as_ref().is_err_and(|failure| failure.fault.breaks_instance()) {
            self.open = Some(open);
        }
        ended
    }
}

impl Open {
    fn method<T>(
        mut self,
        ticker: &Ticker,
        name: &'static str,
        given: Vec<LuaValue>,
        convert: impl FnOnce(&Self, &LuaValue) -> Result<T, Failure>,
    ) -> (Self, Result<T, Failure>) {
        self.call.begin(name);
        let (ended, call) =
            self.kept.machine.call_method(self.call, ticker, &self.object, name, |_| Ok(given));
        self.call = call;
        let ended = ended.and_then(|value| convert(&self, &value));
        (self, ended)
    }
}

fn bytes(open: &Open, value: &LuaValue) -> Result<Vec<u8>, Failure> {
    let bytes = match value {
        LuaValue::Buffer(buffer) => buffer.to_vec(),
        LuaValue::String(text) => text.as_bytes().to_vec(),
        other => {
            let message = format!("state returns a {}, not a buffer", other.type_name());
            return Err(Failure::new(Fault::Failed, message));
        }
    };
    let most = open.call.limits.output_bytes;
    if bytes.len() as u64 > most { Err(LimitHit::OutputBytes(most).into()) } else { Ok(bytes) }
}

#[async_trait]
impl Session for LuauAccumulator {
    async fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Failure> {
        let arguments = |lua: &Lua| {
            let groups: Buffer = columns::words(lua, groups)?;
            let batch = LuaValue::Table(columns::to_luau(lua, rows)?);
            Ok(vec![LuaValue::Buffer(groups), LuaValue::Number(f64::from(group_count)), batch])
        };
        self.method("update", arguments, |_, _| Ok(())).await
    }

    async fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Failure> {
        let arguments = |lua: &Lua| {
            Ok(vec![
                LuaValue::Buffer(lua.create_buffer(state)?),
                LuaValue::Buffer(columns::words(lua, remap)?),
            ])
        };
        self.method("merge", arguments, |_, _| Ok(())).await
    }

    async fn state(&mut self) -> Result<Vec<u8>, Failure> {
        self.method("state", |_| Ok(Vec::new()), bytes).await
    }

    async fn finish(&mut self, as_of: Timestamp) -> Result<Batch, Failure> {
        let as_of_ms = as_of.as_millis() as f64;
        self.method(
            "finish",
            |_| Ok(vec![LuaValue::Number(as_of_ms)]),
            |open, value| {
                let most = open.call.limits.output_bytes;
                columns::from_luau(value, most).map_err(|trouble| match trouble {
                    Trouble::Wrong(why) => Failure::new(Fault::Failed, format!("what finish returns: {why}")),
                    Trouble::TooLarge => LimitHit::OutputBytes(most).into(),
                })
            },
        )
        .await
    }

    /// An accumulator without a model has no such method.
    async fn model(&mut self) -> Result<Option<String>, Failure> {
        let Some(open) = &self.open else { return Err(Failure::broken()) };
        let has_model = match &open.object {
            LuaValue::Table(object) => has_method(object, "model"),
            _ => false,
        };
        if !has_model {
            return Ok(None);
        }
        self.method(
            "model",
            |_| Ok(Vec::new()),
            |_, value| match value {
                LuaValue::Nil => Ok(None),
                value => {
                    let json = values::to_json(value);
                    let json = json
                        .map_err(|why| Failure::new(Fault::Failed, format!("what model returns: {why}")))?;
                    Ok(Some(json.to_string()))
                }
            },
        )
        .await
    }
}

/// Looks the object and its metatable's `__index` table through, raw, so that no code of the plugin runs here.
fn has_method(object: &mlua::Table, name: &str) -> bool {
    let own = object.raw_get::<LuaValue>(name).is_ok_and(|found| found.is_function());
    let index = object.metatable().and_then(|meta| meta.raw_get::<mlua::Table>("__index").ok());
    own || index.is_some_and(|index| index.raw_get::<LuaValue>(name).is_ok_and(|found| found.is_function()))
}
