//! The contract's records as tables that a program is given: those of `runtime/records`, and here what differs in Luau:
//! an undefined value is NaN, and bodies are bytes.

use mlua::{Lua, Value as LuaValue};
use regard_engine::ports::{Event, Webhook};
use regard_model::Observation;
use serde_json::{Map, Value, json};

use super::values;
use crate::http::Response;
use crate::runtime::records;

pub(super) use crate::runtime::records::{channel, customer, outbound, page};

/// Headers with several values are one text in Luau, as in HTTP.
const HEADER_SEPARATOR: &str = ", ";

/// An undefined value is NaN, as for components: every comparison with a threshold is then false.
pub(super) fn observation(lua: &Lua, observation: &Observation) -> mlua::Result<LuaValue> {
    let table = values::to_luau(lua, &records::observation(observation))?;
    if let LuaValue::Table(table) = &table {
        table.raw_set("value", observation.value.unwrap_or(f64::NAN))?;
    }
    Ok(table)
}

/// The events as `runtime/records` has them, observations as above.
pub(super) fn events(lua: &Lua, events: &[Event]) -> mlua::Result<LuaValue> {
    let list = lua.create_table_with_capacity(events.len(), 0)?;
    for event in events {
        let table = values::to_luau(lua, &records::event(event))?;
        if let (LuaValue::Table(table), Event::MetricObserved(observed)) = (&table, event) {
            table.raw_set("observation", observation(lua, observed)?)?;
        }
        list.raw_push(table)?;
    }
    Ok(LuaValue::Table(list))
}

pub(super) fn webhook(lua: &Lua, webhook: &Webhook) -> mlua::Result<LuaValue> {
    let fields = json!({ "method": webhook.method, "path": webhook.path, "query": webhook.query });
    with_body(lua, fields, &webhook.headers, &webhook.body)
}

pub(super) fn response(lua: &Lua, response: Response) -> mlua::Result<LuaValue> {
    with_body(lua, json!({ "status": response.status }), &response.headers, &response.body)
}

/// Bodies are bytes, which JSON cannot carry.
fn with_body(lua: &Lua, fields: Value, headers: &[(String, String)], body: &[u8]) -> mlua::Result<LuaValue> {
    let mut joined = Map::new();
    for (name, value) in headers {
        let earlier = joined.get(name).and_then(Value::as_str);
        let value =
            earlier.map_or_else(|| value.clone(), |earlier| format!("{earlier}{HEADER_SEPARATOR}{value}"));
        joined.insert(name.clone(), value.into());
    }
    let table = values::to_luau(lua, &fields)?;
    if let LuaValue::Table(table) = &table {
        table.raw_set("headers", values::to_luau(lua, &Value::Object(joined))?)?;
        table.raw_set("body", lua.create_string(body)?)?;
    }
    Ok(table)
}
