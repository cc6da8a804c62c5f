//! The host's functions for Luau programs. Each gives `true` and its results, or `false` and an error's code, message
//! and time to wait; the bootstrap turns the latter into raised tables.

mod entries;

use std::sync::Arc;
use std::time::Instant;

use mlua::{Error, IntoLua, Lua, LuaString, MultiValue, Table, Value as LuaValue};
use regard_engine::Fault;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Handle;

use super::machine::Slot;
use super::{Code, forms, interrupt, json, records, require, values};
use crate::call::CallContext;
use crate::hostcalls::{self, CallError, Stop};
use crate::limits::LimitHit;
use crate::runtime::forms::PAGE_DEFAULT;

/// The table of host functions that the bootstrap takes.
pub(super) fn native(lua: &Lua, code: Arc<Code>) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    native.raw_set("null", LuaValue::NULL)?;
    basics(lua, &native)?;
    require::modules(lua, &native, code)?;
    config_and_kv(lua, &native)?;
    crm(lua, &native)?;
    entries::functions(lua, &native)?;
    Ok(native)
}

fn basics(lua: &Lua, native: &Table) -> mlua::Result<()> {
    native.raw_set(
        "out_of_memory",
        lua.create_function(|lua, ()| {
            let most = with_call(lua, |call| call.limits.memory_bytes)?;
            interrupt::stop(LimitHit::Memory(most));
            Ok(())
        })?,
    )?;
    native.raw_set(
        "log",
        lua.create_function(|lua, (level, message, fields): (String, LuaString, LuaValue)| {
            let level = match level.as_str() {
                "trace" => hostcalls::Level::Trace,
                "debug" => hostcalls::Level::Debug,
                "warn" => hostcalls::Level::Warn,
                "error" => hostcalls::Level::Error,
                _ => hostcalls::Level::Info,
            };
            let fields = log_fields(&fields);
            let message = message.to_string_lossy();
            with_call(lua, |call| call.log(level, &message, &fields))?.map_err(stopped)
        })?,
    )?;
    native.raw_set(
        "json_encode",
        lua.create_function(|lua, value: LuaValue| match values::to_json(&value) {
            Ok(value) => good(lua, value.to_string()),
            Err(why) => bad(lua, CallError::new(Fault::Invalid, why)),
        })?,
    )?;
    native.raw_set(
        "json_decode",
        lua.create_function(|lua, text: LuaString| match json::decode(lua, &text.as_bytes())? {
            Ok(value) => good(lua, value),
            Err(why) => bad(lua, CallError::new(Fault::Invalid, format!("no JSON: {why}"))),
        })?,
    )
}

fn config_and_kv(lua: &Lua, native: &Table) -> mlua::Result<()> {
    native.raw_set(
        "now_ms",
        lua.create_function(|lua, ()| {
            let now = host(lua, async |call| call.now_ms().await)?;
            answer(lua, now, |_, now| Ok(LuaValue::Number(now as f64)))
        })?,
    )?;
    native.raw_set(
        "config",
        lua.create_function(|lua, ()| {
            let config = with_call(lua, |call| call.config_json().map(|_| call.scope.config.clone()))?
                .map_err(stopped)?;
            good(lua, values::to_luau(lua, &config)?)
        })?,
    )?;
    native.raw_set(
        "secret",
        lua.create_function(|lua, name: String| {
            let secret = host(lua, async |call| call.secret(&name).await)?;
            answer(lua, secret, |lua, secret| secret.into_lua(lua))
        })?,
    )?;
    native.raw_set(
        "kv_get",
        lua.create_function(|lua, key: String| {
            let kept = host(lua, async |call| call.kept(&key).await)?;
            answer(lua, kept, |lua, kept| match kept {
                Some(bytes) => lua.create_string(bytes)?.into_lua(lua),
                None => Ok(LuaValue::Nil),
            })
        })?,
    )?;
    native.raw_set(
        "kv_set",
        lua.create_function(|lua, (key, value): (String, LuaString)| {
            let bytes = value.as_bytes().to_vec();
            let kept = host(lua, async |call| call.keep(&key, Some(bytes)).await)?;
            answer(lua, kept, |_, ()| Ok(LuaValue::Nil))
        })?,
    )?;
    native.raw_set(
        "kv_delete",
        lua.create_function(|lua, key: String| {
            let kept = host(lua, async |call| call.keep(&key, None).await)?;
            answer(lua, kept, |_, ()| Ok(LuaValue::Nil))
        })?,
    )?;
    native.raw_set(
        "kv_keys",
        lua.create_function(|lua, (prefix, after, limit): (String, Option<String>, Option<u32>)| {
            let limit = limit.unwrap_or(PAGE_DEFAULT);
            let keys = host(lua, async |call| call.kept_keys(&prefix, after.as_deref(), limit).await)?;
            answer(lua, keys, |lua, keys| keys.into_lua(lua))
        })?,
    )?;
    native.raw_set(
        "http_send",
        lua.create_function(|lua, request: Table| {
            let most = with_call(lua, |call| call.limits.output_bytes)?;
            if !values::is_within(&LuaValue::Table(request.clone()), most) {
                return Err(stopped(LimitHit::OutputBytes(most)));
            }
            let request = match forms::request(&request) {
                Ok(request) => request,
                Err(why) => return bad(lua, CallError::new(Fault::Invalid, why)),
            };
            let response = host(lua, async |call| call.send_http(request).await)?;
            answer(lua, response, records::response)
        })?,
    )
}

fn crm(lua: &Lua, native: &Table) -> mlua::Result<()> {
    native.raw_set(
        "customers_get",
        lua.create_function(|lua, id: String| {
            let found = host(lua, async |call| call.customer(&id).await)?;
            answer(lua, found, |lua, found| optional(lua, found.as_ref().map(records::customer)))
        })?,
    )?;
    native.raw_set(
        "customers_find",
        lua.create_function(|lua, (scheme, value): (String, String)| {
            let found = host(lua, async |call| call.customer_by(&scheme, &value).await)?;
            answer(lua, found, |lua, found| optional(lua, found.as_ref().map(records::customer)))
        })?,
    )?;
    native.raw_set(
        "customers_update",
        lua.create_function(|lua, (id, version, change): (String, f64, LuaValue)| {
            let change: forms::Change = match parse(&change) {
                Ok(change) => change,
                Err(error) => return bad(lua, error),
            };
            let changed = host(lua, async |call| {
                // Versions count changes and stay far below 2^53.
                call.update_customer(&id, version as u64, change.set, change.add_tags, change.remove_tags)
                    .await
            })?;
            answer(lua, changed, |lua, customer| values::to_luau(lua, &records::customer(&customer)))
        })?,
    )?;
    native.raw_set(
        "interactions_query",
        lua.create_function(|lua, request: LuaValue| {
            let request: forms::Query = match parse(&request) {
                Ok(request) => request,
                Err(error) => return bad(lua, error),
            };
            let page = host(lua, async |call| call.interactions(request.into()).await)?;
            answer(lua, page, |lua, page| values::to_luau(lua, &records::page(&page)))
        })?,
    )?;
    native.raw_set(
        "metrics_latest",
        lua.create_function(|lua, (metric, subject): (String, String)| {
            let found = host(lua, async |call| call.latest(&metric, &subject).await)?;
            answer(lua, found, |lua, found| match found {
                Some(observation) => records::observation(lua, &observation),
                None => Ok(LuaValue::Nil),
            })
        })?,
    )?;
    native.raw_set(
        "messages_enqueue",
        lua.create_function(|lua, message: LuaValue| {
            let message: forms::NewMessage = match parse(&message) {
                Ok(message) => message,
                Err(error) => return bad(lua, error),
            };
            let enqueued = host(lua, async |call| call.enqueue(message.into()).await)?;
            answer(lua, enqueued, |lua, id| id.to_string().into_lua(lua))
        })?,
    )
}

/// Runs an asynchronous host function to its end; its time does not count as the program's computing.
fn host<T>(
    lua: &Lua,
    work: impl AsyncFnOnce(&mut CallContext) -> Result<T, Stop>,
) -> mlua::Result<Result<T, CallError>> {
    let started = Instant::now();
    let ended = with_call(lua, |call| {
        let (deadline, limits) = (call.deadline, call.limits);
        let within = async { tokio::time::timeout_at(deadline.into(), work(call)).await };
        // The thread may wait: see `Executor::may_block`. When a task is driven on it, that one has to step aside.
        let ended = tokio::task::block_in_place(|| Handle::current().block_on(within));
        ended.unwrap_or(Err(Stop::Limit(LimitHit::Wall(limits.call))))
    })?;
    interrupt::give_back(started);
    match ended {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Reported(error)) => Ok(Err(error)),
        Err(Stop::Limit(hit)) => Err(stopped(hit)),
    }
}

fn with_call<T>(lua: &Lua, work: impl FnOnce(&mut CallContext) -> T) -> mlua::Result<T> {
    let mut slot =
        lua.app_data_mut::<Slot>().ok_or_else(|| Error::runtime("the host is busy with this machine"))?;
    match &mut slot.0 {
        Some(call) => Ok(work(call)),
        None => Err(Error::runtime("host functions are not there while the schema is read")),
    }
}

/// Ends the call: the error may be caught, but the interrupt raises from now on.
fn stopped(hit: LimitHit) -> Error {
    interrupt::stop(hit);
    Error::runtime(hit)
}

pub(super) fn good(lua: &Lua, value: impl IntoLua) -> mlua::Result<MultiValue> {
    Ok(MultiValue::from_iter([LuaValue::Boolean(true), value.into_lua(lua)?]))
}

pub(super) fn bad(lua: &Lua, error: CallError) -> mlua::Result<MultiValue> {
    let wait = error.retry_after.map_or(LuaValue::Nil, |wait| LuaValue::Number(wait.as_secs_f64() * 1000.0));
    let (code, message) = (error.fault.as_str().into_lua(lua)?, error.message.into_lua(lua)?);
    Ok(MultiValue::from_iter([LuaValue::Boolean(false), code, message, wait]))
}

fn answer<T>(
    lua: &Lua,
    ended: Result<T, CallError>,
    convert: impl FnOnce(&Lua, T) -> mlua::Result<LuaValue>,
) -> mlua::Result<MultiValue> {
    match ended {
        Ok(value) => good(lua, convert(lua, value)?),
        Err(error) => bad(lua, error),
    }
}

fn optional(lua: &Lua, value: Option<Value>) -> mlua::Result<LuaValue> {
    value.map_or(Ok(LuaValue::Nil), |value| values::to_luau(lua, &value))
}

/// A table of the program as one of our forms; the error names the field.
fn parse<T: DeserializeOwned>(value: &LuaValue) -> Result<T, CallError> {
    let invalid = |why: String| CallError::new(Fault::Invalid, why);
    let json = values::to_json(value).map_err(invalid)?;
    serde_json::from_value(json).map_err(|why| invalid(why.to_string()))
}

fn log_fields(fields: &LuaValue) -> Vec<(String, String)> {
    let Ok(Value::Object(fields)) = values::to_json(fields) else { return Vec::new() };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    fields.into_iter().map(|(name, value)| (name, text(value))).collect()
}
