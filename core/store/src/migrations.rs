//! The schema, as a list of migrations that only ever grows.
//!
//! The SQL is the same for both databases but for the words in braces, which [`dialect`] fills in: the type of a row's
//! own number, of bytes, and how a table keyed by text is laid out. Base tables have singular names; the views that
//! people and plugins query have the plural ones and stay as they are when a table has to change.
//!
//! Rules for a new migration: never edit one that was released; every statement may run twice, because SQLite does
//! not roll a failed one back; a column with a default or a nullable one is added, nothing is renamed.

mod records;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement};

/// Runs the migrations that a database does not have yet.
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Step("m0001_foundation", &[TABLES, INDEXES, VIEWS])),
            Box::new(Step(records::NAME, &[records::STATEMENTS])),
            Box::new(Step("m0003_plugin_versions", &[PLUGIN_VERSIONS])),
            Box::new(SignedPackages),
        ]
    }
}

/// A migration: its name, and its statements in groups.
struct Step(&'static str, &'static [&'static [&'static str]]);

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.0
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    #[allow(
        elided_lifetimes_in_paths,
        reason = "the trait leaves it out, and naming it is another signature"
    )]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for group in self.1 {
            for statement in *group {
                manager.get_connection().execute_unprepared(&dialect(backend, statement)).await?;
            }
        }
        Ok(())
    }
}

/// Who signed the package that a plugin was installed from, as JSON.
struct SignedPackages;

impl MigrationName for SignedPackages {
    fn name(&self) -> &str {
        "m0004_signed_packages"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SignedPackages {
    #[allow(
        elided_lifetimes_in_paths,
        reason = "the trait leaves it out, and naming it is another signature"
    )]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let backend = manager.get_database_backend();
        // SQLite cannot be asked to add a column only where it is missing.
        let known = match backend {
            DbBackend::Postgres => None,
            _ => {
                let column = "SELECT name FROM pragma_table_info('plugin') WHERE name = 'signed_by'";
                connection.query_one_raw(Statement::from_string(backend, column)).await?
            }
        };
        let add = match (backend, known) {
            (_, Some(_)) => return Ok(()),
            (DbBackend::Postgres, None) => "ALTER TABLE plugin ADD COLUMN IF NOT EXISTS signed_by TEXT",
            (_, None) => "ALTER TABLE plugin ADD COLUMN signed_by TEXT",
        };
        connection.execute_unprepared(add).await.map(drop)
    }
}

/// Replaces the words in braces by what the database calls them.
///
/// `{at:column}` is an instant for people: ISO 8601 text on SQLite, `timestamptz` on PostgreSQL.
fn dialect(backend: DbBackend, statement: &str) -> String {
    let words: [(&str, &str); 5] = match backend {
        DbBackend::Postgres => [
            ("{id}", "BIGINT PRIMARY KEY"),
            ("{bytes}", "BYTEA"),
            ("{by key}", ""),
            ("{view}", "CREATE OR REPLACE VIEW"),
            ("{json}", "::json"),
        ],
        _ => [
            // Only this spelling makes the column the rowid itself, which saves an index.
            ("{id}", "INTEGER PRIMARY KEY"),
            ("{bytes}", "BLOB"),
            ("{by key}", " WITHOUT ROWID"),
            ("{view}", "CREATE VIEW IF NOT EXISTS"),
            ("{json}", ""),
        ],
    };
    let mut sql = words.iter().fold(statement.to_owned(), |sql, (word, meaning)| sql.replace(word, meaning));
    while let Some(start) = sql.find("{at:") {
        let Some(length) = sql[start..].find('}') else { break };
        let column = sql[start + "{at:".len()..start + length].to_owned();
        let instant = match backend {
            DbBackend::Postgres => format!("to_timestamp({column} / 1000.0)"),
            _ => format!("strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000.0, 'unixepoch')"),
        };
        sql.replace_range(start..=start + length, &instant);
    }
    sql
}

/// Foreign keys stand where a row without its parent would be nonsense. The log has none: it is the hot path, its
/// appender has just looked the parent up, and it outlives what it refers to.
const TABLES: &[&str] = &[
    // `merged_into` is the edge of the merge forest, `root_id` its end, so that reading needs no walk.
    // `name_folded` is the name in lower case: the databases fold case differently, we search this instead.
    "CREATE TABLE IF NOT EXISTS customer (
        id {id},
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        name_folded TEXT NOT NULL,
        stage TEXT NOT NULL,
        tags TEXT NOT NULL,
        attributes TEXT NOT NULL,
        source TEXT NOT NULL,
        version BIGINT NOT NULL,
        root_id BIGINT NOT NULL,
        merged_into BIGINT REFERENCES customer (id),
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
    )",
    // The value stands first, so that the same index finds a value of which the scheme is not known.
    "CREATE TABLE IF NOT EXISTS identifier (
        value TEXT NOT NULL,
        scheme TEXT NOT NULL,
        customer_id BIGINT NOT NULL REFERENCES customer (id),
        linked_at BIGINT NOT NULL,
        PRIMARY KEY (value, scheme)
    ){by key}",
    "CREATE TABLE IF NOT EXISTS customer_merge (
        id {id},
        from_id BIGINT NOT NULL REFERENCES customer (id),
        into_id BIGINT NOT NULL REFERENCES customer (id),
        reason TEXT NOT NULL,
        evidence TEXT NOT NULL,
        actor TEXT NOT NULL,
        merged_at BIGINT NOT NULL,
        undone_at BIGINT
    )",
    // The stream of changed customers: which one, not what; readers look at the customer as it is now.
    "CREATE TABLE IF NOT EXISTS customer_change (
        id {id},
        customer_id BIGINT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS consent (
        id {id},
        customer_id BIGINT NOT NULL REFERENCES customer (id),
        purpose TEXT NOT NULL,
        channel_kind TEXT NOT NULL,
        state TEXT NOT NULL,
        basis TEXT NOT NULL,
        source TEXT NOT NULL,
        recorded_at BIGINT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS relationship (
        from_id BIGINT NOT NULL REFERENCES customer (id),
        kind TEXT NOT NULL,
        to_id BIGINT NOT NULL REFERENCES customer (id),
        created_at BIGINT NOT NULL,
        PRIMARY KEY (from_id, kind, to_id)
    ){by key}",
    "CREATE TABLE IF NOT EXISTS channel (
        id {id},
        name TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        connector TEXT,
        settings TEXT NOT NULL,
        enabled BOOLEAN NOT NULL,
        created_at BIGINT NOT NULL
    )",
    // `owner` is `channel:<number>` or `plugin:<id>`.
    "CREATE TABLE IF NOT EXISTS secret (
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        sealed {bytes} NOT NULL,
        PRIMARY KEY (owner, name)
    ){by key}",
    // `id` is the position in the log: ascending in the order of becoming durable. `customer_id` is the customer it
    // was recorded under and never changes. What evaluators read stands in front of what is long.
    "CREATE TABLE IF NOT EXISTS interaction (
        id {id},
        customer_id BIGINT,
        channel_id BIGINT NOT NULL,
        occurred_at BIGINT NOT NULL,
        amount_minor BIGINT,
        currency TEXT,
        kind TEXT NOT NULL,
        external_id TEXT NOT NULL,
        received_at BIGINT NOT NULL,
        provenance TEXT NOT NULL,
        thread TEXT,
        causation_id BIGINT,
        attributes TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS evaluation (
        id {id},
        metric TEXT NOT NULL,
        metric_version BIGINT NOT NULL,
        unit TEXT NOT NULL,
        evaluator TEXT NOT NULL,
        evaluator_digest TEXT NOT NULL,
        parameters TEXT NOT NULL,
        window_start BIGINT,
        window_end BIGINT NOT NULL,
        currency TEXT,
        rows_read BIGINT NOT NULL,
        rows_other_currency BIGINT NOT NULL,
        subjects BIGINT NOT NULL,
        watermark BIGINT,
        model TEXT,
        summary TEXT NOT NULL,
        evaluated_at BIGINT NOT NULL,
        elapsed_ms BIGINT NOT NULL
    )",
    // `subject_id` is the customer, 0 for the business; window and unit are those of the evaluation.
    "CREATE TABLE IF NOT EXISTS observation (
        id {id},
        evaluation_id BIGINT NOT NULL,
        metric TEXT NOT NULL,
        subject_id BIGINT NOT NULL,
        value DOUBLE PRECISION,
        previous DOUBLE PRECISION,
        details TEXT NOT NULL
    )",
    // `wake_at` is when somebody has to look at the entry: its due time while it is pending, the end of the lease
    // while it is being delivered, nothing afterwards.
    "CREATE TABLE IF NOT EXISTS outbox (
        id {id},
        customer_id BIGINT NOT NULL,
        purpose TEXT NOT NULL,
        channel TEXT,
        body TEXT NOT NULL,
        parameters TEXT NOT NULL,
        idempotency_key TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL,
        causation_id BIGINT,
        state TEXT NOT NULL,
        reason TEXT,
        provider_id TEXT,
        attempts BIGINT NOT NULL,
        due_at BIGINT NOT NULL,
        wake_at BIGINT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS delivery_attempt (
        id {id},
        entry_id BIGINT NOT NULL REFERENCES outbox (id),
        number BIGINT NOT NULL,
        channel TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        elapsed_ms BIGINT NOT NULL,
        outcome TEXT NOT NULL,
        detail TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS progress (
        subscriber TEXT NOT NULL,
        stream TEXT NOT NULL,
        position BIGINT NOT NULL,
        PRIMARY KEY (subscriber, stream)
    ){by key}",
    "CREATE TABLE IF NOT EXISTS kept (
        plugin TEXT NOT NULL,
        key TEXT NOT NULL,
        value {bytes} NOT NULL,
        PRIMARY KEY (plugin, key)
    )",
    "CREATE TABLE IF NOT EXISTS plugin (
        id TEXT NOT NULL PRIMARY KEY,
        version TEXT NOT NULL,
        runtime TEXT NOT NULL,
        capabilities TEXT NOT NULL,
        digest TEXT NOT NULL,
        manifest TEXT NOT NULL,
        grants TEXT NOT NULL,
        config TEXT NOT NULL,
        enabled BOOLEAN NOT NULL,
        fault TEXT,
        installed_at BIGINT NOT NULL
    )",
    // Code by the digest of its package, so that every node finds it and an upgrade does not touch what serves.
    "CREATE TABLE IF NOT EXISTS plugin_file (
        digest TEXT NOT NULL,
        name TEXT NOT NULL,
        bytes {bytes} NOT NULL,
        PRIMARY KEY (digest, name)
    )",
    "CREATE TABLE IF NOT EXISTS script (
        name TEXT NOT NULL PRIMARY KEY,
        digest TEXT NOT NULL,
        source TEXT NOT NULL,
        enabled BOOLEAN NOT NULL,
        deployed_at BIGINT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS token (
        id {id},
        role TEXT NOT NULL,
        label TEXT NOT NULL,
        secret_hash {bytes} NOT NULL UNIQUE,
        created_at BIGINT NOT NULL,
        revoked_at BIGINT
    )",
    "CREATE TABLE IF NOT EXISTS import (
        key TEXT NOT NULL PRIMARY KEY,
        mark TEXT NOT NULL,
        updated_at BIGINT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS audit (
        id {id},
        at BIGINT NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        details TEXT NOT NULL,
        hash TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS idempotency (
        principal TEXT NOT NULL,
        key TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        status BIGINT NOT NULL,
        body {bytes} NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (principal, key)
    )",
];

/// The versions of plugins that were installed, and how much each plugin keeps.
const PLUGIN_VERSIONS: &[&str] = &[
    // `served_at` is when it last came into service. A version that asks for more than was granted waits.
    "CREATE TABLE IF NOT EXISTS plugin_version (
        plugin TEXT NOT NULL,
        digest TEXT NOT NULL,
        version TEXT NOT NULL,
        manifest TEXT NOT NULL,
        config TEXT NOT NULL,
        signed_by TEXT,
        waiting BOOLEAN NOT NULL,
        installed_at BIGINT NOT NULL,
        served_at BIGINT,
        PRIMARY KEY (plugin, digest)
    )",
    "CREATE TABLE IF NOT EXISTS kept_usage (
        plugin TEXT NOT NULL PRIMARY KEY,
        bytes BIGINT NOT NULL
    )",
];

const INDEXES: &[&str] = &[
    "CREATE INDEX IF NOT EXISTS customer_root ON customer (root_id)",
    // Few customers are merged; evaluators read them all to resolve the rest in memory.
    "CREATE INDEX IF NOT EXISTS customer_merged ON customer (id, root_id) WHERE merged_into IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS identifier_customer ON identifier (customer_id)",
    "CREATE INDEX IF NOT EXISTS customer_merge_from ON customer_merge (from_id)",
    "CREATE INDEX IF NOT EXISTS customer_merge_into ON customer_merge (into_id)",
    "CREATE INDEX IF NOT EXISTS consent_customer ON consent (customer_id)",
    "CREATE INDEX IF NOT EXISTS relationship_to ON relationship (to_id)",
    "CREATE UNIQUE INDEX IF NOT EXISTS interaction_external ON interaction (external_id, channel_id)",
    "CREATE INDEX IF NOT EXISTS interaction_customer ON interaction (customer_id, occurred_at)",
    "CREATE INDEX IF NOT EXISTS interaction_occurred ON interaction (occurred_at)",
    "CREATE INDEX IF NOT EXISTS evaluation_metric ON evaluation (metric, id)",
    "CREATE INDEX IF NOT EXISTS observation_subject ON observation (metric, subject_id, id)",
    "CREATE INDEX IF NOT EXISTS observation_evaluation ON observation (evaluation_id)",
    "CREATE INDEX IF NOT EXISTS outbox_wake ON outbox (wake_at) WHERE wake_at IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS outbox_state ON outbox (state, id)",
    "CREATE INDEX IF NOT EXISTS outbox_customer ON outbox (customer_id)",
    "CREATE INDEX IF NOT EXISTS delivery_attempt_entry ON delivery_attempt (entry_id)",
    "CREATE INDEX IF NOT EXISTS idempotency_created ON idempotency (created_at)",
];

/// What `POST /query` and `regard query` show. Customers are those after merges.
const VIEWS: &[&str] = &[
    "{view} customers AS
        SELECT id, kind, name, stage, attributes{json} AS attributes, {at:created_at} AS created_at
        FROM customer WHERE merged_into IS NULL",
    "{view} identifiers AS
        SELECT c.root_id AS customer_id, i.scheme, i.value
        FROM identifier i JOIN customer c ON c.id = i.customer_id",
    "{view} interactions AS
        SELECT i.id, coalesce(c.root_id, i.customer_id) AS customer_id, i.channel_id, h.name AS channel, i.external_id,
            i.kind, {at:i.occurred_at} AS occurred_at, {at:i.received_at} AS received_at, i.amount_minor, i.currency,
            i.attributes{json} AS attributes
        FROM interaction i
        LEFT JOIN customer c ON c.id = i.customer_id
        LEFT JOIN channel h ON h.id = i.channel_id",
    "{view} observations AS
        SELECT o.metric, CASE o.subject_id WHEN 0 THEN 'business' ELSE 'customer' END AS subject_kind,
            CASE o.subject_id WHEN 0 THEN NULL ELSE coalesce(c.root_id, o.subject_id) END AS subject_id,
            {at:e.window_start} AS window_start, {at:e.window_end} AS window_end, o.value
        FROM observation o
        JOIN evaluation e ON e.id = o.evaluation_id
        LEFT JOIN customer c ON c.id = o.subject_id",
    "{view} consents AS
        SELECT l.id, c.root_id AS customer_id, l.purpose, l.channel_kind, l.state, l.basis, l.source,
            {at:l.recorded_at} AS recorded_at
        FROM consent l JOIN customer c ON c.id = l.customer_id",
    "{view} deliveries AS
        SELECT o.id, coalesce(c.root_id, o.customer_id) AS customer_id, o.purpose, o.channel, o.idempotency_key,
            o.origin, o.state, o.reason, o.provider_id, o.attempts, {at:o.due_at} AS due_at,
            {at:o.created_at} AS created_at, {at:o.updated_at} AS updated_at
        FROM outbox o LEFT JOIN customer c ON c.id = o.customer_id",
];
