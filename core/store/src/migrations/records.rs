//! Records of the types that plugins declare.

/// Its name in the list of migrations.
pub(super) const NAME: &str = "m0002_records";

/// A type stays as long as there are records of it, whatever becomes of its plugin: without its declaration they could
/// be read, but not understood. `record_index` has a row for each indexed field of each record, those without a value
/// included, so that sorting by a field leaves none out; what `value` holds stands in `records/key.rs`.
pub(super) const STATEMENTS: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS record_type (
        name TEXT NOT NULL PRIMARY KEY,
        plugin TEXT NOT NULL,
        declaration TEXT NOT NULL,
        declared_at BIGINT NOT NULL
    )",
    // `customer_id` is the customer it was recorded under and never changes.
    "CREATE TABLE IF NOT EXISTS record (
        id {id},
        kind TEXT NOT NULL REFERENCES record_type (name),
        customer_id BIGINT REFERENCES customer (id),
        data TEXT NOT NULL,
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS record_index (
        kind TEXT NOT NULL,
        field TEXT NOT NULL,
        value {bytes} NOT NULL,
        record_id BIGINT NOT NULL REFERENCES record (id) ON DELETE CASCADE,
        is_unique BOOLEAN NOT NULL,
        PRIMARY KEY (kind, field, value, record_id)
    ){by key}",
    "CREATE INDEX IF NOT EXISTS record_kind ON record (kind, id)",
    "CREATE INDEX IF NOT EXISTS record_customer ON record (customer_id, kind, id) WHERE customer_id IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS record_index_record ON record_index (record_id)",
    // Two writers at once are decided by the database, not by whoever looked first.
    "CREATE UNIQUE INDEX IF NOT EXISTS record_index_unique ON record_index (kind, field, value) WHERE is_unique",
];
