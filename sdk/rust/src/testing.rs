//! A host in memory, for native tests of plugins.
//!
//! Each thread has its own, so tests do not disturb each other. It keeps no permissions and no limits: that
//! a plugin stays within its manifest is what `regard plugin test` checks with the real host.
//!
//! ```
//! use regard_sdk::{config, testing};
//!
//! testing::set(|host| {
//!     host.config = serde_json::json!({ "greeting": "hello" });
//!     host.secrets.insert("token".into(), "s3cret".into());
//! });
//! assert_eq!(config::secret("token").unwrap(), "s3cret");
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use crate::http::{Request, Response};
use crate::log::Level;
use crate::messages::Message;
use crate::records::Entry;
use crate::{Customer, Error, Interaction, Observation};

/// What the plugin under test sees of the world and what it did to it.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The plugin's configuration; an empty object while it is null.
    pub config: serde_json::Value,
    /// Secrets by name.
    pub secrets: BTreeMap<String, String>,
    /// What `clock::now_ms` answers.
    pub now_ms: i64,
    /// Bytes the plugin keeps.
    pub kv: BTreeMap<String, Vec<u8>>,
    /// Answers to the next HTTP requests, in order; without any, a request is `unavailable`.
    pub responses: VecDeque<Result<Response, Error>>,
    /// The HTTP requests made.
    pub requests: Vec<Request>,
    /// Customers by id.
    pub customers: BTreeMap<String, Customer>,
    /// The interaction log, oldest first.
    pub interactions: Vec<Interaction>,
    /// Observations, oldest first.
    pub observations: Vec<Observation>,
    /// Messages enqueued.
    pub messages: Vec<Message>,
    /// Records with the names of their types, oldest first. Their schemas are not known here, so data of any form and
    /// equal values of unique fields are taken.
    pub records: Vec<(String, Entry)>,
    /// Lines logged.
    pub lines: Vec<Line>,
}

/// A line in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// How grave it is.
    pub level: Level,
    /// The text.
    pub message: String,
    /// The fields after the semicolon.
    pub fields: Vec<(String, String)>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Replaces this thread's host by a fresh one that `prepare` fills.
pub fn set(prepare: impl FnOnce(&mut Host)) {
    let mut host = Host::default();
    prepare(&mut host);
    HOST.set(host);
}

/// Looks at this thread's host, or changes it.
pub fn with<T>(look: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(look)
}

/// The contract's functions with the signatures of the generated bindings.
pub(crate) mod imports {
    use super::*;

    pub mod log {
        use super::*;

        /// A line for the host's structured log.
        pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
            with(|host| host.lines.push(Line { level, message: message.into(), fields: fields.into() }));
        }
    }

    pub mod clock {
        use super::*;

        /// Milliseconds since the Unix epoch.
        pub fn now_ms() -> i64 {
            with(|host| host.now_ms)
        }
    }

    pub mod config {
        use super::*;

        /// The plugin's configuration as JSON.
        pub fn json() -> String {
            with(|host| if host.config.is_null() { "{}".to_owned() } else { host.config.to_string() })
        }

        /// A secret of the channel in whose name the call runs, else one of the plugin itself.
        pub fn secret(name: &str) -> Result<String, Error> {
            let missing = || Error::not_found(format!("secret `{name}` is not set"));
            with(|host| host.secrets.get(name).cloned()).ok_or_else(missing)
        }
    }

    pub mod kv {
        use super::*;

        /// The bytes under a key.
        pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
            Ok(with(|host| host.kv.get(key).cloned()))
        }

        /// Keeps bytes under a key.
        pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
            with(|host| host.kv.insert(key.into(), value.into()));
            Ok(())
        }

        /// Keys that begin with `prefix`, ascending, from the one after `after` on.
        pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
            let asked =
                |key: &&String| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
            Ok(with(|host| host.kv.keys().filter(asked).take(limit as usize).cloned().collect()))
        }

        /// Forgets a key.
        pub fn delete(key: &str) -> Result<(), Error> {
            with(|host| host.kv.remove(key));
            Ok(())
        }
    }

    pub mod http {
        use super::*;

        /// Makes a request.
        pub fn send(request: &Request) -> Result<Response, Error> {
            with(|host| {
                host.requests.push(request.clone());
                host.responses
                    .pop_front()
                    .unwrap_or_else(|| Err(Error::unavailable("no response was prepared")))
            })
        }
    }

    pub mod customers {
        use super::*;
        use crate::{Identifier, Value};

        /// A customer by id.
        pub fn get(id: &str) -> Result<Option<Customer>, Error> {
            Ok(with(|host| host.customers.get(id).cloned()))
        }

        /// A customer by an identifier.
        pub fn find(by: &Identifier) -> Result<Option<Customer>, Error> {
            Ok(with(|host| {
                host.customers.values().find(|customer| customer.identifiers.contains(by)).cloned()
            }))
        }

        /// Changes a customer; `conflict` when `version` is not the stored one.
        pub fn update(
            id: &str,
            version: u64,
            set: &[(String, Value)],
            add_tags: &[String],
            remove_tags: &[String],
        ) -> Result<Customer, Error> {
            with(|host| {
                let missing = || Error::not_found(format!("there is no customer `{id}`"));
                let customer = host.customers.get_mut(id).ok_or_else(missing)?;
                if customer.version != version {
                    return Err(Error::conflict(format!("version {version} is not {}", customer.version)));
                }
                for (name, value) in set {
                    customer.attributes.retain(|(found, _)| found != name);
                    if *value != Value::Null {
                        customer.attributes.push((name.clone(), value.clone()));
                    }
                }
                customer.tags.retain(|tag| !remove_tags.contains(tag) && !add_tags.contains(tag));
                customer.tags.extend_from_slice(add_tags);
                customer.version += 1;
                Ok(customer.clone())
            })
        }
    }

    pub mod interactions {
        use super::*;
        use crate::interactions::{Filter, Page};

        /// Interactions, newest first; the cursor counts those already seen.
        pub fn query(filter: &Filter, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
            let seen =
                cursor.map_or(Ok(0), str::parse::<usize>).map_err(|_| Error::invalid("unknown cursor"))?;
            let is =
                |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
            with(|host| {
                let wanted = host.interactions.iter().rev().filter(|one| {
                    is(&filter.customer_id, one.customer_id.as_deref().unwrap_or_default())
                        && is(&filter.channel, &one.channel)
                        && is(&filter.kind, &one.kind)
                        && filter.since_ms.is_none_or(|since| one.occurred_at_ms >= since)
                        && filter.until_ms.is_none_or(|until| one.occurred_at_ms < until)
                });
                let mut rest = wanted.skip(seen);
                let items: Vec<_> = rest.by_ref().take(limit as usize).cloned().collect();
                let next_cursor = rest.next().map(|_| (seen + items.len()).to_string());
                Ok(Page { items, next_cursor })
            })
        }
    }

    pub mod metrics {
        use super::*;

        /// The latest observation of a metric for a subject.
        pub fn latest(metric: &str, subject: &str) -> Result<Option<Observation>, Error> {
            let is = |one: &&Observation| one.metric == metric && one.subject == subject;
            Ok(with(|host| host.observations.iter().rev().find(is).cloned()))
        }
    }

    pub mod records {
        use super::*;
        use crate::records::{Filter, Page};
        use crate::{Error, Value};

        /// A record by id.
        pub fn get(kind: &str, id: &str) -> Result<Option<Entry>, Error> {
            Ok(with(|host| place(host, kind, id).map(|at| host.records[at].1.clone())))
        }

        /// Records, newest first; the cursor counts those already seen.
        pub fn query(kind: &str, filter: &Filter, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
            let seen =
                cursor.map_or(Ok(0), str::parse::<usize>).map_err(|_| Error::invalid("unknown cursor"))?;
            with(|host| {
                let wanted = host.records.iter().rev().filter(|(of, entry)| {
                    let data: serde_json::Value = serde_json::from_str(&entry.data).unwrap_or_default();
                    of == kind
                        && (filter.customer_id.is_none() || filter.customer_id == entry.customer_id)
                        && filter.equal.iter().all(|(field, value)| data[field] == json(value))
                });
                let mut rest = wanted.skip(seen).map(|(_, entry)| entry.clone());
                let items: Vec<_> = rest.by_ref().take(limit as usize).collect();
                let next_cursor = rest.next().map(|_| (seen + items.len()).to_string());
                Ok(Page { items, next_cursor })
            })
        }

        /// Makes a record.
        pub fn create(kind: &str, customer_id: Option<&str>, data: &str) -> Result<Entry, Error> {
            let _: serde_json::Value = serde_json::from_str(data)?;
            with(|host| {
                let entry = Entry {
                    id: format!("rec_{}", host.records.len() + 1),
                    customer_id: customer_id.map(Into::into),
                    data: data.into(),
                    version: 1,
                    created_at_ms: host.now_ms,
                    updated_at_ms: host.now_ms,
                };
                host.records.push((kind.into(), entry.clone()));
                Ok(entry)
            })
        }

        /// Replaces a record's data; `conflict` when `version` is not the stored one.
        pub fn update(kind: &str, id: &str, version: u64, data: &str) -> Result<Entry, Error> {
            let _: serde_json::Value = serde_json::from_str(data)?;
            with(|host| {
                let at = at_version(host, kind, id, version)?;
                let now = host.now_ms;
                let entry = &mut host.records[at].1;
                entry.data = data.into();
                entry.version += 1;
                entry.updated_at_ms = now;
                Ok(entry.clone())
            })
        }

        /// Deletes a record; `conflict` when `version` is not the stored one.
        pub fn delete(kind: &str, id: &str, version: u64) -> Result<(), Error> {
            with(|host| {
                let at = at_version(host, kind, id, version)?;
                host.records.remove(at);
                Ok(())
            })
        }

        fn place(host: &Host, kind: &str, id: &str) -> Option<usize> {
            host.records.iter().position(|(of, entry)| of == kind && entry.id == id)
        }

        fn at_version(host: &Host, kind: &str, id: &str, version: u64) -> Result<usize, Error> {
            let missing = || Error::not_found(format!("there is no {kind} `{id}`"));
            let at = place(host, kind, id).ok_or_else(missing)?;
            let found = host.records[at].1.version;
            if found == version {
                Ok(at)
            } else {
                Err(Error::conflict(format!("version {version} is not {found}")))
            }
        }

        fn json(value: &Value) -> serde_json::Value {
            match value {
                Value::Null => serde_json::Value::Null,
                Value::Boolean(value) => (*value).into(),
                Value::Integer(value) | Value::TimestampMs(value) => (*value).into(),
                Value::Number(value) => (*value).into(),
                Value::Text(text) => text.as_str().into(),
                Value::Json(text) => serde_json::from_str(text).unwrap_or_default(),
            }
        }
    }

    pub mod messages {
        use super::*;

        /// Enqueues a message; the same idempotency key enqueues once.
        pub fn enqueue(message: &Message) -> Result<String, Error> {
            with(|host| {
                if !host.messages.iter().any(|one| one.idempotency_key == message.idempotency_key) {
                    host.messages.push(message.clone());
                }
                Ok(format!("entry:{}", message.idempotency_key))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Value, config, customers, info, records, testing};

    #[test]
    fn the_log_keeps_text_and_fields() {
        testing::set(|_| {});
        let name = "x";
        info!("fitted {name}"; rows = 3, converged = true);
        info!("plain");
        let lines = testing::with(|host| host.lines.clone());
        assert_eq!(lines[0].message, "fitted x");
        assert_eq!(lines[0].fields, [("rows".into(), "3".into()), ("converged".into(), "true".into())]);
        assert!(lines[1].fields.is_empty());
    }

    #[test]
    fn secrets_may_be_missing() {
        testing::set(|_| {});
        assert_eq!(config::optional_secret("token"), Ok(None));
        assert_eq!(config::settings::<serde_json::Value>(), Ok(serde_json::json!({})));
    }

    #[test]
    fn records_are_found_by_their_fields_and_change_once_per_version() {
        testing::set(|_| {});
        let open = records::create("case", Some("c1"), r#"{"state":"open","n":1}"#).expect("made");
        records::create("case", None, r#"{"state":"closed","n":2}"#).expect("made");
        let filter = records::Filter {
            customer_id: None,
            equal: vec![("state".into(), Value::Text("open".into())), ("n".into(), Value::Integer(1))],
        };
        let page = records::query("case", &filter, None, 10).expect("a page");
        assert_eq!((page.items, page.next_cursor), (vec![open.clone()], None));
        assert_eq!(records::get("other", &open.id), Ok(None));
        let changed = records::update("case", &open.id, 1, "{}").expect("changed");
        assert_eq!(changed.version, 2);
        assert_eq!(records::delete("case", &open.id, 1).expect_err("stale").code, "conflict");
        assert_eq!(records::delete("case", &open.id, 2), Ok(()));
    }

    #[test]
    fn customers_change_once_per_version() {
        let customer = crate::Customer {
            id: "c1".into(),
            kind: "person".into(),
            name: "Ada".into(),
            stage: "prospect".into(),
            tags: vec![],
            identifiers: vec![],
            attributes: vec![],
            version: 1,
        };
        testing::set(|host| {
            host.customers.insert("c1".into(), customer);
        });
        let changed = customers::update("c1", 1, &[], &["vip".into()], &[]).expect("first change");
        assert_eq!((changed.version, changed.tags), (2, vec!["vip".to_owned()]));
        assert_eq!(customers::update("c1", 1, &[], &[], &[]).expect_err("stale").code, "conflict");
    }
}
