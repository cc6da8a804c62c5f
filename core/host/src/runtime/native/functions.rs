//! The host's functions by the contract's names: JSON in, JSON out. One line of the table below is one function.

use regard_engine::Fault;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::forms::{self as bytes, Bytes, HttpRequest};
use crate::call::CallContext;
use crate::hostcalls::{CallError, Stop};
use crate::runtime::forms::{self as forms, PAGE_DEFAULT};
use crate::runtime::records;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keep {
    key: String,
    value_base64: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    scheme: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    id: String,
    version: u64,
    #[serde(default)]
    set: regard_model::Attributes,
    #[serde(default)]
    add_tags: Vec<String>,
    #[serde(default)]
    remove_tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Latest {
    metric: String,
    subject: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordId {
    kind: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsOf {
    kind: String,
    #[serde(default)]
    filter: forms::RecordQuery,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordCreate {
    kind: String,
    #[serde(default)]
    customer_id: Option<String>,
    data: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordUpdate {
    kind: String,
    id: String,
    version: u64,
    data: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordDelete {
    kind: String,
    id: String,
    version: u64,
}

/// Calls the function `name`; its result as JSON.
pub(super) async fn answer(call: &mut CallContext, name: &str, arguments: &[u8]) -> Result<Value, Stop> {
    Ok(match name {
        "config.json" => {
            let Nothing {} = read(call, arguments)?;
            call.config_json()?;
            call.scope.config.clone()
        }
        "config.secret" => {
            let Named { name } = read(call, arguments)?;
            call.secret(&name).await?.into()
        }
        "clock.now_ms" => {
            let Nothing {} = read(call, arguments)?;
            call.now_ms().await?.into()
        }
        "kv.get" => {
            let Key { key } = read(call, arguments)?;
            let kept = call.kept(&key).await?;
            kept.map_or(Value::Null, |kept| json!({ "value_base64": bytes::base64(&kept) }))
        }
        "kv.set" => {
            let Keep { key, value_base64 } = read(call, arguments)?;
            call.keep(&key, Some(value_base64.0)).await?;
            Value::Null
        }
        "kv.delete" => {
            let Key { key } = read(call, arguments)?;
            call.keep(&key, None).await?;
            Value::Null
        }
        "kv.keys" => {
            let Keys { prefix, after, limit } = read(call, arguments)?;
            call.kept_keys(&prefix, after.as_deref(), limit.unwrap_or(PAGE_DEFAULT)).await?.into()
        }
        "http.send" => {
            let request: HttpRequest = read(call, arguments)?;
            bytes::response(&Box::pin(call.send_http(request.into())).await?)
        }
        "customers.get" => {
            let Id { id } = read(call, arguments)?;
            call.customer(&id).await?.as_ref().map_or(Value::Null, records::customer)
        }
        "customers.find" => {
            let Identifier { scheme, value } = read(call, arguments)?;
            call.customer_by(&scheme, &value).await?.as_ref().map_or(Value::Null, records::customer)
        }
        "customers.update" => {
            let Update { id, version, set, add_tags, remove_tags } = read(call, arguments)?;
            records::customer(&call.update_customer(&id, version, set, add_tags, remove_tags).await?)
        }
        "interactions.query" => {
            let query: forms::Query = read(call, arguments)?;
            records::page(&call.interactions(query.into()).await?)
        }
        "metrics.latest" => {
            let Latest { metric, subject } = read(call, arguments)?;
            call.latest(&metric, &subject).await?.as_ref().map_or(Value::Null, records::observation)
        }
        "records.get" => {
            let RecordId { kind, id } = read(call, arguments)?;
            call.record(&kind, &id).await?.as_ref().map_or(Value::Null, records::entry)
        }
        "records.query" => {
            let RecordsOf { kind, filter } = read(call, arguments)?;
            records::entries(&call.records(&kind, filter.into()).await?)
        }
        "records.create" => {
            let RecordCreate { kind, customer_id, data } = read(call, arguments)?;
            records::entry(&call.create_record(&kind, customer_id.as_deref(), &data.to_string()).await?)
        }
        "records.update" => {
            let RecordUpdate { kind, id, version, data } = read(call, arguments)?;
            records::entry(&call.update_record(&kind, &id, version, &data.to_string()).await?)
        }
        "records.delete" => {
            let RecordDelete { kind, id, version } = read(call, arguments)?;
            call.delete_record(&kind, &id, version).await?;
            Value::Null
        }
        "messages.enqueue" => {
            let message: forms::NewMessage = read(call, arguments)?;
            call.enqueue(message.into()).await?.to_string().into()
        }
        unknown => {
            call.count()?;
            let message = format!("this host has no function `{unknown}`");
            return Err(CallError::new(Fault::Unsupported, message).into());
        }
    })
}

/// The contract's error as JSON.
pub(super) fn error(error: &CallError) -> Value {
    let mut value = json!({ "code": error.fault.as_str(), "message": error.message });
    if let Some(wait) = error.retry_after {
        value["retry_after_ms"] = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).into();
    }
    value
}

/// The arguments, nothing being an empty object. What cannot be read counts as a call too: somebody may try for ever.
fn read<T: DeserializeOwned>(call: &mut CallContext, arguments: &[u8]) -> Result<T, Stop> {
    let arguments: &[u8] = if arguments.is_empty() { b"{}" } else { arguments };
    match serde_json::from_slice(arguments) {
        Ok(read) => Ok(read),
        Err(why) => {
            call.count()?;
            Err(CallError::new(Fault::Invalid, format!("arguments: {why}")).into())
        }
    }
}
