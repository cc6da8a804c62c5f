//! The contract's records as tables that a program is given: the same names with underscores. What is absent is nil.

use mlua::{Lua, Value as LuaValue};
use regard_engine::ports::{Event, Outbound, Webhook};
use regard_model::{Channel, Customer, Interaction, Observation};
use serde_json::{Map, Value, json};

use super::values;
use crate::hostcalls::Page;
use crate::http::Response;

/// Headers with several values are one text in Luau, as in HTTP.
const HEADER_SEPARATOR: &str = ", ";

/// An object without its nulls: nil in Luau is absence.
fn sparse(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
    }
    value
}

pub(super) fn customer(customer: &Customer) -> Value {
    json!({
        "id": customer.id,
        "kind": customer.kind.as_str(),
        "name": customer.name,
        "stage": customer.stage.as_str(),
        "tags": customer.tags,
        "identifiers": customer.identifiers,
        "attributes": customer.attributes,
        "version": customer.version,
    })
}

pub(super) fn interaction(interaction: &Interaction) -> Value {
    sparse(json!({
        "id": interaction.id,
        "customer_id": interaction.customer,
        "channel": interaction.channel,
        "external_id": interaction.external_id,
        "kind": interaction.kind.as_str(),
        "occurred_at_ms": interaction.occurred_at.as_millis(),
        "thread": interaction.thread,
        "amount": interaction.amount.map(|amount| json!({ "minor": amount.minor, "currency": amount.currency.code() })),
        "attributes": interaction.attributes,
        "causation_id": interaction.causation_id,
    }))
}

/// An undefined value is NaN, as for components: every comparison with a threshold is then false.
pub(super) fn observation(lua: &Lua, observation: &Observation) -> mlua::Result<LuaValue> {
    let table = values::to_luau(
        lua,
        &sparse(json!({
            "id": observation.id,
            "metric": observation.metric,
            "subject": observation.subject,
            "window_start_ms": observation.window.start.map(|start| start.as_millis()),
            "window_end_ms": observation.window.end.as_millis(),
            "unit": observation.unit,
        })),
    )?;
    if let LuaValue::Table(table) = &table {
        table.raw_set("value", observation.value.unwrap_or(f64::NAN))?;
    }
    Ok(table)
}

pub(super) fn page(page: &Page) -> Value {
    let items: Vec<_> = page.items.iter().map(interaction).collect();
    sparse(json!({ "items": items, "next_cursor": page.next_cursor }))
}

/// `{ type, interaction }`, `{ type, customer }` or `{ type, observation, previous }`.
pub(super) fn events(lua: &Lua, events: &[Event]) -> mlua::Result<LuaValue> {
    let list = lua.create_table_with_capacity(events.len(), 0)?;
    for event in events {
        let table = lua.create_table_with_capacity(0, 3)?;
        match event {
            Event::InteractionAppended(appended) => {
                table.raw_set("type", "interaction-appended")?;
                table.raw_set("interaction", values::to_luau(lua, &interaction(appended))?)?;
            }
            Event::CustomerChanged(changed) => {
                table.raw_set("type", "customer-changed")?;
                table.raw_set("customer", values::to_luau(lua, &customer(changed))?)?;
            }
            Event::MetricObserved(observed) => {
                table.raw_set("type", "metric-observed")?;
                table.raw_set("observation", observation(lua, observed)?)?;
                table.raw_set("previous", observed.previous)?;
            }
        }
        list.raw_push(table)?;
    }
    Ok(LuaValue::Table(list))
}

pub(super) fn channel(channel: &Channel) -> Value {
    json!({ "id": channel.id, "name": channel.name, "settings": channel.settings })
}

pub(super) fn outbound(message: &Outbound) -> Value {
    sparse(json!({
        "idempotency_key": message.idempotency_key,
        "recipient": message.recipient,
        "thread": message.thread,
        "subject": message.subject,
        "text": message.text,
        "attributes": message.attributes,
    }))
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
