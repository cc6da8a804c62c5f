//! The embedded database: one writer per process, many readers.
//!
//! SQLite takes one writer at a time. Within this process a gate hands the right to write from one transaction to the
//! next, fairly and without polling; between processes SQLite's own lock does, for which writers wait up to the busy
//! timeout. Two kinds of transactions pass the gate: ordinary ones of sea-orm, and jobs for the writer thread, which
//! owns a plain connection with prepared statements and does what is too hot for an object mapper.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use regard_engine::StoreError;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::append::sqlite::OwnerCache;
use crate::failure::During;

/// How long a writer waits for another process, in milliseconds. A bulk import commits every few milliseconds; only
/// a backup or a person with a shell holds the lock for longer.
pub(crate) const BUSY_TIMEOUT_MS: u64 = 10_000;
/// Page cache of the writing connection, in KiB: random customer keys stay in memory up to some millions of rows.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// Page cache of each reading connection, in KiB: readers mostly look at recent pages, and there are several.
const READER_CACHE_KIB: i64 = 8 * 1024;
/// Pages in the write-ahead log before it is copied into the database, 40 MB: fewer and larger copies double the
/// rate of random inserts.
const WAL_AUTOCHECKPOINT_PAGES: i64 = 10_000;
/// Size to which the write-ahead log shrinks after a copy, in bytes, so that one burst does not keep disk for ever.
const WAL_SIZE_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Prepared statements that the writer keeps; it uses about twenty.
const STATEMENTS_MAX: usize = 64;
/// Plain reading connections that are kept for the next reader.
const IDLE_READERS_MAX: usize = 4;

/// Says whether it committed.
type Job = Box<dyn FnOnce(&mut Connection) -> bool + Send>;

/// The gate, the writer thread and the plain readers of one database file.
pub(crate) struct Sqlite {
    path: PathBuf,
    gate: Arc<tokio::sync::Mutex<()>>,
    writer: mpsc::Sender<Job>,
    /// What the writer's connection remembers of the identifiers it saw.
    pub(crate) owners: Arc<Mutex<OwnerCache>>,
    readers: Mutex<Vec<Connection>>,
}

impl Sqlite {
    /// Opens the file, which must have its tables, and starts the writer thread.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = connect(path, WRITER_CACHE_KIB, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let (writer, jobs) = mpsc::channel::<Job>();
        let owners = Arc::new(Mutex::new(OwnerCache::default()));
        let remembered = owners.clone();
        std::thread::Builder::new()
            .name("regard-store-writer".into())
            .spawn(move || {
                for job in jobs {
                    // A job that panics drops its transaction, which rolls back; its caller sees the channel close.
                    let committed = std::panic::catch_unwind(AssertUnwindSafe(|| job(&mut connection)));
                    if !committed.unwrap_or(false) {
                        remembered.lock().clear();
                    }
                }
            })
            .map_err(|why| StoreError::Unavailable { during: "start the writer", why: why.to_string() })?;
        Ok(Self { path: path.to_owned(), gate: Arc::default(), writer, owners, readers: Mutex::default() })
    }

    /// Waits for the right to write.
    pub(crate) async fn gate(&self) -> OwnedMutexGuard<()> {
        self.gate.clone().lock_owned().await
    }

    /// Runs `work` in a transaction on the writer thread; durable when this returns.
    ///
    /// The gate travels with the job, so a caller that gives up does not let the next one in too early.
    pub(crate) async fn write<T, W>(&self, during: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let gone = || StoreError::Unavailable { during, why: "the writer thread gave up".into() };
        let gate = self.gate().await;
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .during(during)
                .and_then(|transaction| {
                    let value = work(&transaction)?;
                    transaction.commit().during(during)?;
                    Ok(value)
                });
            drop(gate);
            let committed = result.is_ok();
            let _ = answer.send(result);
            committed
        });
        self.writer.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Runs `work` on a reading connection on a thread that may block; everything it reads is of one instant.
    pub(crate) async fn read<T, W>(self: &Arc<Self>, during: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let idle = this.readers.lock().pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => connect(&this.path, READER_CACHE_KIB, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            };
            let value = {
                let transaction = connection.transaction().during(during)?;
                work(&transaction)?
            };
            let mut readers = this.readers.lock();
            if readers.len() < IDLE_READERS_MAX {
                readers.push(connection);
            }
            Ok(value)
        });
        read.await.map_err(|why| StoreError::Unavailable { during, why: why.to_string() })?
    }
}

/// The pool that sea-orm works on.
pub(crate) async fn pool(path: &Path, connections: u32) -> Result<sqlx::SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
        .pragma("wal_autocheckpoint", WAL_AUTOCHECKPOINT_PAGES.to_string())
        .pragma("journal_size_limit", WAL_SIZE_BYTES_MAX.to_string());
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))
        .connect_with(options)
        .await
        .during("open the database")
}

/// SQL that both databases share, with its parameters as SQLite numbers them: `$2` would be a name there, and names
/// are numbered in the order of their appearance.
pub(crate) fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn connect(path: &Path, cache_kib: i64, mode: OpenFlags) -> Result<Connection, StoreError> {
    let during = "open the database";
    let connection =
        Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).during(during)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)).during(during)?;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA cache_size = -{cache_kib};
             PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES};
             PRAGMA journal_size_limit = {WAL_SIZE_BYTES_MAX};"
        ))
        .during(during)?;
    Ok(connection)
}
