//! The host's functions for components: each converts, asks the runtime-independent one, and converts back.

use regard_model::Record;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::host::Imports;
use super::bindings::host::regard::core::{
    clock, config, customers, http, interactions, kv, log, messages, metrics, records, types,
};
use super::convert;
use super::guest::State;
use crate::hostcalls::{self, Stop};

/// A linker with `regard:core` and nothing else.
pub(super) fn link(engine: &Engine) -> anyhow::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    Imports::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)
        .map_err(|why| anyhow::anyhow!("cannot link the contract: {why:#}"))?;
    Ok(linker)
}

/// An error of the contract goes to the guest, a spent bound ends the call.
fn reported<T>(ended: Result<T, Stop>) -> wasmtime::Result<Result<T, types::Error>> {
    match ended {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Reported(error)) => Ok(Err(convert::error(error))),
        Err(Stop::Limit(hit)) => Err(wasmtime::Error::new(hit)),
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => hostcalls::Level::Trace,
            log::Level::Debug => hostcalls::Level::Debug,
            log::Level::Info => hostcalls::Level::Info,
            log::Level::Warn => hostcalls::Level::Warn,
            log::Level::Error => hostcalls::Level::Error,
        };
        self.call.log(level, &message, &fields).map_err(wasmtime::Error::new)
    }
}

impl clock::Host for State {
    async fn now_ms(&mut self) -> wasmtime::Result<i64> {
        match self.call.now_ms().await {
            Ok(now) => Ok(now),
            Err(Stop::Reported(error)) => Err(wasmtime::Error::msg(error.message)),
            Err(Stop::Limit(hit)) => Err(wasmtime::Error::new(hit)),
        }
    }
}

impl config::Host for State {
    fn json(&mut self) -> wasmtime::Result<String> {
        self.call.config_json().map_err(wasmtime::Error::new)
    }

    async fn secret(&mut self, name: String) -> wasmtime::Result<Result<String, types::Error>> {
        reported(self.call.secret(&name).await)
    }
}

impl kv::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Error>> {
        reported(self.call.kept(&key).await)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), types::Error>> {
        reported(self.call.keep(&key, Some(value)).await)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), types::Error>> {
        reported(self.call.keep(&key, None).await)
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        reported(self.call.kept_keys(&prefix, after.as_deref(), limit).await)
    }
}

impl http::Host for State {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, types::Error>> {
        let request = convert::request(request);
        reported(Box::pin(self.call.send_http(request)).await.map(convert::response))
    }
}

impl customers::Host for State {
    async fn get(&mut self, id: String) -> wasmtime::Result<Result<Option<types::Customer>, types::Error>> {
        let found = self.call.customer(&id).await;
        reported(found.map(|customer| customer.map(|customer| convert::customer(&customer))))
    }

    async fn find(
        &mut self,
        by: types::Identifier,
    ) -> wasmtime::Result<Result<Option<types::Customer>, types::Error>> {
        let found = self.call.customer_by(&by.scheme, &by.value).await;
        reported(found.map(|customer| customer.map(|customer| convert::customer(&customer))))
    }

    async fn update(
        &mut self,
        id: String,
        version: u64,
        set: Vec<(String, types::Value)>,
        add_tags: Vec<String>,
        remove_tags: Vec<String>,
    ) -> wasmtime::Result<Result<types::Customer, types::Error>> {
        let changed = match convert::attributes(set) {
            Ok(set) => self.call.update_customer(&id, version, set, add_tags, remove_tags).await,
            Err(error) => Err(error.into()),
        };
        reported(changed.map(|customer| convert::customer(&customer)))
    }
}

impl interactions::Host for State {
    async fn query(
        &mut self,
        filter: interactions::Filter,
        cursor: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<interactions::Page, types::Error>> {
        let request = hostcalls::PageRequest {
            customer: filter.customer_id,
            channel: filter.channel,
            kind: filter.kind,
            since_ms: filter.since_ms,
            until_ms: filter.until_ms,
            cursor,
            limit,
        };
        let page = self.call.interactions(request).await;
        reported(page.map(|page| interactions::Page {
            items: page.items.iter().map(convert::interaction).collect(),
            next_cursor: page.next_cursor,
        }))
    }
}

impl metrics::Host for State {
    async fn latest(
        &mut self,
        metric: String,
        subject: String,
    ) -> wasmtime::Result<Result<Option<types::Observation>, types::Error>> {
        let found = self.call.latest(&metric, &subject).await;
        reported(found.map(|observation| observation.map(|observation| convert::observation(&observation))))
    }
}

impl messages::Host for State {
    async fn enqueue(
        &mut self,
        message: messages::Message,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let enqueued = match convert::attributes(message.parameters) {
            Ok(parameters) => {
                let message = hostcalls::Message {
                    customer: message.customer_id,
                    purpose: message.purpose,
                    channel: message.channel,
                    body: message.body,
                    parameters,
                    idempotency_key: message.idempotency_key,
                    not_before_ms: message.not_before_ms,
                };
                self.call.enqueue(message).await
            }
            Err(error) => Err(error.into()),
        };
        reported(enqueued.map(|id| id.to_string()))
    }
}

impl records::Host for State {
    async fn get(
        &mut self,
        kind: String,
        id: String,
    ) -> wasmtime::Result<Result<Option<records::Entry>, types::Error>> {
        let found = self.call.record(&kind, &id).await;
        reported(found.map(|record| record.map(entry)))
    }

    async fn query(
        &mut self,
        kind: String,
        filter: records::Filter,
        cursor: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<records::Page, types::Error>> {
        let page = match convert::attributes(filter.equal) {
            Ok(equal) => {
                let request = hostcalls::RecordRequest { customer: filter.customer_id, equal, cursor, limit };
                self.call.records(&kind, request).await
            }
            Err(error) => Err(error.into()),
        };
        reported(page.map(|page| records::Page {
            items: page.items.into_iter().map(entry).collect(),
            next_cursor: page.next_cursor,
        }))
    }

    async fn create(
        &mut self,
        kind: String,
        customer_id: Option<String>,
        data: String,
    ) -> wasmtime::Result<Result<records::Entry, types::Error>> {
        reported(self.call.create_record(&kind, customer_id.as_deref(), &data).await.map(entry))
    }

    async fn update(
        &mut self,
        kind: String,
        id: String,
        version: u64,
        data: String,
    ) -> wasmtime::Result<Result<records::Entry, types::Error>> {
        reported(self.call.update_record(&kind, &id, version, &data).await.map(entry))
    }

    async fn delete(
        &mut self,
        kind: String,
        id: String,
        version: u64,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        reported(self.call.delete_record(&kind, &id, version).await)
    }
}

fn entry(record: Record) -> records::Entry {
    records::Entry {
        id: record.id.to_string(),
        customer_id: record.customer_id.map(|id| id.to_string()),
        data: record.data.to_string(),
        version: u64::try_from(record.version).unwrap_or_default(),
        created_at_ms: record.created_at.as_millis(),
        updated_at_ms: record.updated_at.as_millis(),
    }
}
