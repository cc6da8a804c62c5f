//! The host's functions with the signatures of the generated bindings: to the host that has loaded this library, else to
//! the one in memory that tests have.

use super::forms::{self, base64};
use super::host::{self, ask};
use crate::testing::imports as testing;
use crate::{Customer, Error, Observation};

/// `null` is none.
fn optional<T>(
    answer: serde_json::Value,
    read: impl FnOnce(serde_json::Value) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if answer.is_null() { Ok(None) } else { read(answer).map(Some) }
}

pub mod log {
    use super::*;
    use crate::log::Level;

    /// A line for the host's structured log.
    pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
        let grave = match level {
            Level::Trace => regard_abi::Level::TRACE,
            Level::Debug => regard_abi::Level::DEBUG,
            Level::Info => regard_abi::Level::INFO,
            Level::Warn => regard_abi::Level::WARN,
            Level::Error => regard_abi::Level::ERROR,
        };
        if !host::log(grave, message, fields) {
            testing::log::write(level, message, fields);
        }
    }
}

pub mod clock {
    use super::*;

    /// Milliseconds since the Unix epoch. A component traps where there is no clock; so does this.
    pub fn now_ms() -> i64 {
        match ask("clock.now_ms", || serde_json::json!({})) {
            None => testing::clock::now_ms(),
            Some(Ok(now)) => now.as_i64().unwrap_or_default(),
            Some(Err(error)) => panic!("{}", error.message),
        }
    }
}

pub mod config {
    use super::*;

    /// The plugin's configuration as JSON.
    pub fn json() -> String {
        match ask("config.json", || serde_json::json!({})) {
            None => testing::config::json(),
            Some(Ok(config)) => config.to_string(),
            Some(Err(error)) => panic!("{}", error.message),
        }
    }

    /// A secret of the channel in whose name the call runs, else one of the plugin itself.
    pub fn secret(name: &str) -> Result<String, Error> {
        match ask("config.secret", || serde_json::json!({ "name": name })) {
            None => testing::config::secret(name),
            Some(answer) => forms::text(answer?),
        }
    }
}

pub mod kv {
    use super::*;

    /// The bytes under a key.
    pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        match ask("kv.get", || serde_json::json!({ "key": key })) {
            None => testing::kv::get(key),
            Some(answer) => optional(answer?, |kept| forms::bytes(&kept, "value_base64")),
        }
    }

    /// Keeps bytes under a key.
    pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        match ask("kv.set", || serde_json::json!({ "key": key, "value_base64": base64::encode(value) })) {
            None => testing::kv::set(key, value),
            Some(answer) => answer.map(drop),
        }
    }

    /// Keys that begin with `prefix`, ascending, from the one after `after` on.
    pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        match ask("kv.keys", || serde_json::json!({ "prefix": prefix, "after": after, "limit": limit })) {
            None => testing::kv::keys(prefix, after, limit),
            Some(answer) => Ok(serde_json::from_value(answer?)?),
        }
    }

    /// Forgets a key.
    pub fn delete(key: &str) -> Result<(), Error> {
        match ask("kv.delete", || serde_json::json!({ "key": key })) {
            None => testing::kv::delete(key),
            Some(answer) => answer.map(drop),
        }
    }
}

pub mod http {
    use super::*;
    use crate::http::{Request, Response};

    /// Makes a request.
    pub fn send(request: &Request) -> Result<Response, Error> {
        match ask("http.send", || forms::request(request)) {
            None => testing::http::send(request),
            Some(answer) => forms::response(answer?),
        }
    }
}

pub mod customers {
    use super::*;
    use crate::{Identifier, Value};

    /// A customer by id.
    pub fn get(id: &str) -> Result<Option<Customer>, Error> {
        match ask("customers.get", || serde_json::json!({ "id": id })) {
            None => testing::customers::get(id),
            Some(answer) => optional(answer?, forms::customer),
        }
    }

    /// A customer by an identifier.
    pub fn find(by: &Identifier) -> Result<Option<Customer>, Error> {
        match ask("customers.find", || serde_json::json!({ "scheme": by.scheme, "value": by.value })) {
            None => testing::customers::find(by),
            Some(answer) => optional(answer?, forms::customer),
        }
    }

    /// Changes a customer; `conflict` when `version` is not the stored one.
    pub fn update(
        id: &str,
        version: u64,
        set: &[(String, Value)],
        add_tags: &[String],
        remove_tags: &[String],
    ) -> Result<Customer, Error> {
        let attributes = forms::from_attributes(set)?;
        let arguments = || {
            serde_json::json!({
                "id": id,
                "version": version,
                "set": attributes,
                "add_tags": add_tags,
                "remove_tags": remove_tags,
            })
        };
        match ask("customers.update", arguments) {
            None => testing::customers::update(id, version, set, add_tags, remove_tags),
            Some(answer) => forms::customer(answer?),
        }
    }
}

pub mod interactions {
    use super::*;
    use crate::interactions::{Filter, Page};

    /// Interactions, newest first.
    pub fn query(filter: &Filter, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
        match ask("interactions.query", || forms::query(filter, cursor, limit)) {
            None => testing::interactions::query(filter, cursor, limit),
            Some(answer) => forms::interactions(answer?),
        }
    }
}

pub mod metrics {
    use super::*;

    /// The latest observation of a metric for a subject.
    pub fn latest(metric: &str, subject: &str) -> Result<Option<Observation>, Error> {
        match ask("metrics.latest", || serde_json::json!({ "metric": metric, "subject": subject })) {
            None => testing::metrics::latest(metric, subject),
            Some(answer) => optional(answer?, forms::observation),
        }
    }
}

pub mod records {
    use super::*;
    use crate::records::{Entry, Filter, Page};

    /// A record by id.
    pub fn get(kind: &str, id: &str) -> Result<Option<Entry>, Error> {
        match ask("records.get", || serde_json::json!({ "kind": kind, "id": id })) {
            None => testing::records::get(kind, id),
            Some(answer) => optional(answer?, forms::entry),
        }
    }

    /// Records, newest first.
    pub fn query(kind: &str, filter: &Filter, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
        let equal = forms::from_attributes(&filter.equal)?;
        let arguments = || forms::record_query(kind, filter, equal, cursor, limit);
        match ask("records.query", arguments) {
            None => testing::records::query(kind, filter, cursor, limit),
            Some(answer) => forms::entries(answer?),
        }
    }

    /// Makes a record.
    pub fn create(kind: &str, customer_id: Option<&str>, data: &str) -> Result<Entry, Error> {
        let object: serde_json::Value = serde_json::from_str(data)?;
        let arguments = || serde_json::json!({ "kind": kind, "customer_id": customer_id, "data": object });
        match ask("records.create", arguments) {
            None => testing::records::create(kind, customer_id, data),
            Some(answer) => forms::entry(answer?),
        }
    }

    /// Replaces a record's data; `conflict` when `version` is not the stored one.
    pub fn update(kind: &str, id: &str, version: u64, data: &str) -> Result<Entry, Error> {
        let object: serde_json::Value = serde_json::from_str(data)?;
        let arguments = || serde_json::json!({ "kind": kind, "id": id, "version": version, "data": object });
        match ask("records.update", arguments) {
            None => testing::records::update(kind, id, version, data),
            Some(answer) => forms::entry(answer?),
        }
    }

    /// Deletes a record; `conflict` when `version` is not the stored one.
    pub fn delete(kind: &str, id: &str, version: u64) -> Result<(), Error> {
        match ask("records.delete", || serde_json::json!({ "kind": kind, "id": id, "version": version })) {
            None => testing::records::delete(kind, id, version),
            Some(answer) => answer.map(drop),
        }
    }
}

pub mod messages {
    use super::*;
    use crate::messages::Message;

    /// Enqueues a message and returns the entry's id.
    pub fn enqueue(message: &Message) -> Result<String, Error> {
        let parameters = forms::from_attributes(&message.parameters)?;
        match ask("messages.enqueue", || forms::message(message, parameters)) {
            None => testing::messages::enqueue(message),
            Some(answer) => forms::text(answer?),
        }
    }
}
