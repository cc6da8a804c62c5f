//! Tables that a program gives, as ours: the forms of `runtime/forms`, and here what carries bytes, which JSON cannot.

use std::time::Duration;

use mlua::{LuaString, Table, Value as LuaValue};
use regard_engine::ports::{Features, Handed, Outcome, Polled, WebhookReply};
use regard_model::Metric;

use super::values;
use crate::http::Request;
use crate::runtime::forms;

pub(super) use crate::runtime::forms::{Change, NewMessage, Query};

pub(super) fn features(value: &LuaValue) -> Result<Features, String> {
    forms::features(values::to_json(value)?)
}

pub(super) fn metrics(value: &LuaValue) -> Result<Vec<Metric>, String> {
    forms::metrics(values::to_json(value)?)
}

pub(super) fn outcome(value: &LuaValue) -> Result<Outcome, String> {
    forms::outcome(values::to_json(value)?)
}

fn items(value: &LuaValue) -> Result<Vec<Handed>, String> {
    forms::items(values::to_json(value).map_err(|why| format!("items: {why}"))?)
}

/// `{ items, reply }`; without a reply the provider gets 200 and nothing else.
pub(super) fn received(value: &LuaValue) -> Result<(Vec<Handed>, WebhookReply), String> {
    let LuaValue::Table(table) = value else { return Err("receive returns a table with items".to_owned()) };
    let items = items(&raw(table, "items")?)?;
    let reply = match raw(table, "reply")? {
        LuaValue::Nil => WebhookReply { status: 200, ..WebhookReply::default() },
        LuaValue::Table(reply) => WebhookReply {
            status: reply
                .raw_get::<Option<u16>>("status")
                .map_err(|_| "reply.status: is not a number")?
                .unwrap_or(200),
            headers: headers(&reply).map_err(|why| format!("reply.{why}"))?,
            body: body(&reply).map_err(|why| format!("reply.{why}"))?,
        },
        _ => return Err("reply: is not a table".to_owned()),
    };
    Ok((items, reply))
}

/// `{ items, cursor, more }`.
pub(super) fn polled(value: &LuaValue) -> Result<Polled, String> {
    let LuaValue::Table(table) = value else { return Err("poll returns a table with items".to_owned()) };
    let cursor: Option<LuaString> = table.raw_get("cursor").map_err(|_| "cursor: is not a text")?;
    let more: Option<bool> = table.raw_get("more").map_err(|_| "more: is not a boolean")?;
    Ok(Polled {
        items: items(&raw(table, "items")?)?,
        cursor: cursor.map(|cursor| cursor.as_bytes().to_vec()),
        more: more.unwrap_or(false),
    })
}

pub(super) fn request(table: &Table) -> Result<Request, String> {
    let text = |key: &str| -> Result<Option<String>, String> {
        table.raw_get(key).map_err(|_| format!("{key}: is not a text"))
    };
    let timeout: Option<f64> = table.raw_get("timeout_ms").map_err(|_| "timeout_ms: is not a number")?;
    Ok(Request {
        method: text("method")?.unwrap_or_else(|| "GET".to_owned()),
        url: text("url")?.ok_or("url: is missing")?,
        headers: headers(table)?,
        body: body(table)?.into(),
        timeout: timeout.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok()),
    })
}

fn raw(table: &Table, key: &str) -> Result<LuaValue, String> {
    table.raw_get(key).map_err(|why| why.to_string())
}

fn headers(table: &Table) -> Result<Vec<(String, String)>, String> {
    match raw(table, "headers")? {
        LuaValue::Nil => Ok(Vec::new()),
        LuaValue::Table(headers) => {
            let pairs = headers.pairs::<String, String>();
            pairs.map(|pair| pair.map_err(|_| "headers: names and values are texts".to_owned())).collect()
        }
        _ => Err("headers: is not a table".to_owned()),
    }
}

fn body(table: &Table) -> Result<Vec<u8>, String> {
    let body: Option<LuaString> = table.raw_get("body").map_err(|_| "body: is not a text")?;
    Ok(body.map(|body| body.as_bytes().to_vec()).unwrap_or_default())
}
