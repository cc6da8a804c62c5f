//! Opening a store: where it is, bringing its schema up to date, and the transactions that everything else runs in.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use regard_engine::StoreError;
use regard_engine::ports::{Clock, SystemClock};
use regard_model::id::{Id, IdGenerator};
use regard_model::{RecordType, Timestamp};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, SqlxPostgresConnector,
    SqlxSqliteConnector, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::OwnedMutexGuard;

use crate::channels::ChannelCache;
use crate::entity::record_type;
use crate::failure::During;
use crate::migrations::Migrator;
use crate::seal::Sealer;
use crate::sqlite::{self, Sqlite};
use crate::tokens::TokenCache;

/// Name of the embedded database in its data directory.
const DATABASE_FILE: &str = "regard.db";
/// Name of the file that is locked while a process brings the schema up to date.
const SCHEMA_LOCK_FILE: &str = "regard.db.schema-lock";
/// Connections that a process opens at most, unless told otherwise. Readers on two to eight cores gain nothing from
/// more, and PostgreSQL allows a hundred for all nodes together.
const CONNECTIONS: u32 = 8;
/// How long a caller waits for a PostgreSQL connection, in milliseconds, before it hears that the store is away.
const ACQUIRE_TIMEOUT_MS: u64 = 10_000;
/// How often the channels are read again, in milliseconds, because another process may have changed them.
const CHANNELS_REFRESH_MS: u64 = 2_000;
/// Key of the PostgreSQL lock under which positions in the log are given out ("regard" and 1 in ASCII).
pub(crate) const LOG_LOCK: i64 = 0x0072_6567_6172_6401;
/// Key of the PostgreSQL lock under which the schema is brought up to date.
const SCHEMA_LOCK: i64 = 0x0072_6567_6172_6402;

/// The highest position that any stream has given out.
pub(crate) const LAST_POSITION: &str = "SELECT coalesce(max(id), 0) FROM (
    SELECT max(id) AS id FROM interaction
    UNION ALL SELECT max(id) FROM observation
    UNION ALL SELECT max(id) FROM customer_change
    UNION ALL SELECT max(id) FROM audit) AS last";

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// Tells the time for everything that is stored.
    pub clock: Arc<dyn Clock>,
    /// Connections to open at most.
    pub connections: u32,
    /// Key that seals secrets, 32 bytes in base64. Without one, a store in a data directory makes its own on first
    /// use, and a store on PostgreSQL refuses to keep secrets.
    pub secret_key: Option<String>,
}

impl Default for StoreOptions {
    /// The machine's clock, and the key from the environment variable `REGARD_SECRET_KEY`, if it is set.
    fn default() -> Self {
        let secret_key = std::env::var(crate::seal::KEY_VARIABLE).ok().filter(|key| !key.trim().is_empty());
        Self { clock: Arc::new(SystemClock), connections: CONNECTIONS, secret_key }
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// Everything that Regard keeps, on SQLite or on PostgreSQL. Cloning it is cheap and shares the connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("backend", &self.backend()).finish_non_exhaustive()
    }
}

/// What all clones of a store share.
pub(crate) struct Inner {
    pub(crate) db: DatabaseConnection,
    pub(crate) engine: Engine,
    pub(crate) ids: Arc<IdGenerator>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) channels: RwLock<ChannelCache>,
    pub(crate) tokens: RwLock<TokenCache>,
    /// Types of records by name, each compiled from the row beside it.
    pub(crate) record_types: RwLock<HashMap<String, (record_type::Model, Arc<RecordType>)>>,
    pub(crate) sealer: Sealer,
}

/// The database underneath, for what an object mapper is too slow for.
pub(crate) enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(PgPool),
}

/// Where a store is.
enum Location {
    File(PathBuf),
    Server(String),
}

impl Location {
    fn parse(text: &str) -> Self {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self::Server(text.to_owned());
        }
        let path = PathBuf::from(text.strip_prefix("sqlite://").unwrap_or(text));
        let is_file = path.extension().is_some_and(|extension| extension == "db");
        Self::File(if is_file { path } else { path.join(DATABASE_FILE) })
    }
}

impl Store {
    /// Opens the store and brings its schema up to date; makes it when there is none.
    ///
    /// `url_or_path` is a data directory, `sqlite:///` and a data directory (or a file that ends in `.db`), or
    /// `postgres://user:password@host/database`.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be reached or written, `Damaged` when its schema is not ours.
    pub async fn open(url_or_path: &str, options: StoreOptions) -> Result<Self, StoreError> {
        let (db, engine, directory) = match Location::parse(url_or_path) {
            Location::File(file) => {
                let directory = file.parent().map(Path::to_owned).unwrap_or_default();
                let pool = open_file(&file, &directory, options.connections).await?;
                let db = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
                (db, Engine::Sqlite(Arc::new(Sqlite::open(&file)?)), Some(directory))
            }
            Location::Server(url) => {
                let pool = open_server(&url, options.connections).await?;
                (SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()), Engine::Postgres(pool), None)
            }
        };
        let inner = Arc::new(Inner {
            db,
            engine,
            ids: Arc::new(IdGenerator::new()),
            clock: options.clock,
            channels: RwLock::default(),
            tokens: RwLock::default(),
            record_types: RwLock::default(),
            sealer: Sealer::new(directory.as_deref(), options.secret_key.as_deref())?,
        });
        let store = Self { inner };
        store.reload_channels().await?;
        store.keep_channels_fresh();
        Ok(store)
    }

    /// `sqlite` or `postgres`.
    pub fn backend(&self) -> &'static str {
        match self.inner.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// Whether the database answers, for the readiness check.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.inner.db.ping().await.during("ping")
    }

    /// Gives out an id, such as one for a message that a plugin is about to enqueue.
    pub fn next_id<T>(&self) -> Id<T> {
        self.inner.ids.next(self.now())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Begins a transaction that changes rows without a place in a stream.
    pub(crate) async fn begin(&self, during: &'static str) -> Result<Write, StoreError> {
        let gate = match &self.inner.engine {
            Engine::Sqlite(sqlite) => Some(sqlite.gate().await),
            Engine::Postgres(_) => None,
        };
        // A deferred transaction that turns from reading to writing fails when another process wrote in between.
        let options = TransactionOptions {
            sqlite_transaction_mode: gate.is_some().then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let txn = self.inner.db.begin_with_options(options).await.during(during)?;
        Ok(Write { txn, _gate: gate, during })
    }

    /// Begins a transaction that may give out positions in a stream.
    ///
    /// Positions have to become visible in ascending order, or a reader that remembers the last one it saw would skip
    /// a row that is committed later. SQLite has one writer anyway; on PostgreSQL all who give out positions take one
    /// lock first. The lock is released after the commit is visible, so whoever gets it next sees all that came before.
    pub(crate) async fn begin_ordered(&self, during: &'static str) -> Result<Write, StoreError> {
        let write = self.begin(during).await?;
        let backend = write.get_database_backend();
        if let Engine::Postgres(_) = self.inner.engine {
            let lock = Statement::from_sql_and_values(
                backend,
                "SELECT pg_advisory_xact_lock($1)",
                [LOG_LOCK.into()],
            );
            write.execute_raw(lock).await.during(during)?;
        }
        let last =
            write.query_one_raw(Statement::from_string(backend, LAST_POSITION)).await.during(during)?;
        let last: i64 = last.map_or(Ok(0), |row| row.try_get_by_index(0)).during(during)?;
        self.inner.ids.stay_above(last);
        Ok(write)
    }

    /// Reads the channels again from time to time, for as long as anybody holds the store.
    fn keep_channels_fresh(&self) {
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(CHANNELS_REFRESH_MS)).await;
                let Some(inner) = inner.upgrade() else { return };
                if let Err(why) = (Store { inner }).reload_channels().await {
                    tracing::warn!(%why, "channels not refreshed");
                }
            }
        });
    }
}

/// A transaction that writes. Dropping it rolls back.
pub(crate) struct Write {
    // The order matters: the transaction ends before the gate opens.
    txn: DatabaseTransaction,
    _gate: Option<OwnedMutexGuard<()>>,
    during: &'static str,
}

impl Write {
    /// Makes everything durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.txn.commit().await.during(self.during)
    }
}

impl Deref for Write {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.txn
    }
}

/// Counts of rows by some word, as `GROUP BY` returns them.
pub(crate) type Tally = HashMap<String, u64>;

async fn open_file(file: &Path, directory: &Path, connections: u32) -> Result<sqlx::SqlitePool, StoreError> {
    let during = "open the data directory";
    let unavailable = |why: std::io::Error| StoreError::Unavailable {
        during,
        why: format!("{}: {why}", directory.display()),
    };
    make_private(directory).map_err(unavailable)?;
    // Two processes that open a fresh directory at the same time must not both make the tables.
    let lock = File::create(directory.join(SCHEMA_LOCK_FILE)).map_err(unavailable)?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock))
        .await
        .map_err(|why| StoreError::Unavailable { during, why: why.to_string() })?
        .map_err(unavailable)?;
    let pool = sqlite::pool(file, connections).await?;
    let db = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone());
    Migrator::up(&db, None).await.during("bring the schema up to date")?;
    drop(lock);
    Ok(pool)
}

async fn open_server(url: &str, connections: u32) -> Result<PgPool, StoreError> {
    let during = "open the database";
    let options = url.parse::<PgConnectOptions>().during(during)?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_millis(ACQUIRE_TIMEOUT_MS))
        .connect_with(options.application_name("regard"))
        .await
        .during(during)?;
    let mut lock = pool.acquire().await.during(during)?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(SCHEMA_LOCK).execute(&mut *lock).await.during(during)?;
    let migrated = Migrator::up(&SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()), None).await;
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(SCHEMA_LOCK)
        .execute(&mut *lock)
        .await
        .during(during)?;
    migrated.during("bring the schema up to date")?;
    drop(lock);
    Ok(pool)
}

/// Makes the directory, readable by its owner only: it holds what customers told in confidence.
fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_a_store_is() {
        let file = |text| match Location::parse(text) {
            Location::File(file) => file.display().to_string(),
            Location::Server(_) => "server".into(),
        };
        assert_eq!(file("/var/lib/regard"), "/var/lib/regard/regard.db");
        assert_eq!(file("sqlite:///var/lib/regard"), "/var/lib/regard/regard.db");
        assert_eq!(file("sqlite:///srv/crm.db"), "/srv/crm.db");
        assert_eq!(file("data"), "data/regard.db");
        assert_eq!(file("postgres://regard@db/regard"), "server");
    }
}
