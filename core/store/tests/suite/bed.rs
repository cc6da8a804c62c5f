//! What a case stands on: a fresh database, a clock that it moves, and a few values to store.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result};
use regard_engine::ports::{Appended, Clock, Incoming, Log};
use regard_model::channel::NewChannel;
use regard_model::customer::NewCustomer;
use regard_model::{
    Attributes, Channel, ChannelId, Customer, Identifier, InteractionId, Provenance, Timestamp,
};
use regard_store::{Store, StoreOptions};
use regard_tests::postgres::Database;

/// When every case begins: 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;
/// Text with everything that a careless store trips over: quotes, comments, wildcards, four-byte characters.
pub const NASTY: &str =
    "Robert'); DROP TABLE customer;-- \"%_\\ $1 ?1 :a \u{1f389}\u{10ffff} \u{fc}\u{df} \u{202e}x";
/// A key for secrets, 32 bytes in base64.
pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub struct Bed {
    pub backend: Backend,
    pub clock: Arc<HandClock>,
    pub directory: tempfile::TempDir,
    database: Option<Database>,
}

/// Runs a case on a fresh database.
pub fn run<F, C>(backend: Backend, case: C) -> Result<()>
where
    C: FnOnce(Bed) -> F,
    F: Future<Output = Result<()>>,
{
    let database = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(Database::fresh()?),
    };
    let clock = Arc::new(HandClock(AtomicI64::new(START_MS)));
    let bed = Bed { backend, clock, directory: tempfile::tempdir()?, database };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(Box::pin(case(bed)))
}

impl Bed {
    /// Where the store is.
    pub fn location(&self) -> String {
        match &self.database {
            Some(database) => database.url(),
            None => self.directory.path().join("data").display().to_string(),
        }
    }

    /// Opens the store, as one node of possibly several.
    pub async fn open(&self) -> Result<Store> {
        let key = (self.backend == Backend::Postgres).then(|| KEY.to_owned());
        self.open_with_key(key).await
    }

    pub async fn open_with_key(&self, secret_key: Option<String>) -> Result<Store> {
        let options = StoreOptions { clock: self.clock.clone(), secret_key, ..StoreOptions::default() };
        Ok(Store::open(&self.location(), options).await?)
    }

    /// Runs SQL beside the store; rows come back as lines, columns separated by `|`.
    pub fn sql(&self, sql: &str) -> Result<String> {
        if let Some(database) = &self.database {
            return database.run(sql);
        }
        let connection = rusqlite::Connection::open(self.directory.path().join("data/regard.db"))?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        let mut statement = connection.prepare(sql)?;
        let width = statement.column_count();
        if width == 0 {
            statement.execute([])?;
            return Ok(String::new());
        }
        let lines = statement.query_map([], |row| {
            let columns = (0..width).map(|at| {
                Ok(match row.get_ref(at)? {
                    rusqlite::types::ValueRef::Null => String::new(),
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    rusqlite::types::ValueRef::Real(number) => number.to_string(),
                    rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    rusqlite::types::ValueRef::Blob(bytes) => format!("{bytes:?}"),
                })
            });
            columns.collect::<rusqlite::Result<Vec<_>>>().map(|columns| columns.join("|"))
        })?;
        Ok(lines.collect::<rusqlite::Result<Vec<_>>>()?.join("\n"))
    }

    /// Cuts the store's connections, where it has any over a network.
    pub fn cut_connections(&self) -> Result<()> {
        self.database.as_ref().map_or(Ok(()), Database::cut_connections)
    }
}

pub fn identifier(text: &str) -> Identifier {
    Identifier::parse(text).expect("an identifier")
}

pub async fn shop(store: &Store) -> Result<Channel> {
    channel(store, "shop").await
}

pub async fn channel(store: &Store, name: &str) -> Result<Channel> {
    let new = NewChannel {
        name: name.into(),
        kind: "shop".into(),
        connector: None,
        settings: Attributes::new(),
        secrets: Vec::new(),
    };
    Ok(store.create_channel(new).await?)
}

/// A customer with a name and identifiers.
pub async fn customer(store: &Store, name: &str, identifiers: &[&str]) -> Result<Customer> {
    let identifiers = identifiers.iter().map(|text| identifier(text)).collect();
    let new = NewCustomer { name: name.into(), identifiers, ..NewCustomer::unknown("crm") };
    Ok(store.create_customer(new).await?)
}

/// An order of a customer who is known by `identifiers`.
pub fn order(channel: ChannelId, external_id: &str, identifiers: &[&str]) -> Incoming {
    Incoming {
        channel,
        external_id: external_id.into(),
        customer: None,
        identifiers: identifiers.iter().map(|text| identifier(text)).collect(),
        customer_name: String::new(),
        kind: "order.placed".parse().expect("a kind"),
        occurred_at: Timestamp::from_millis(START_MS),
        thread: None,
        amount: Some(regard_model::Money { minor: 1177, currency: "USD".parse().expect("a currency") }),
        attributes: Attributes::new(),
        provenance: Provenance::Of,
        causation_id: None,
        source: "shop".into(),
    }
}

/// Appends one interaction that must be accepted.
pub async fn accept(
    store: &Store,
    item: Incoming,
) -> Result<(InteractionId, Option<regard_model::CustomerId>)> {
    match store.append(vec![item], None).await?.pop().context("no outcome")? {
        Appended::Accepted { id, customer } => Ok((id, customer)),
        other => anyhow::bail!("not accepted: {other:?}"),
    }
}
