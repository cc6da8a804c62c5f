//! Bulk import of the quickstart orders against a bare rusqlite loop that inserts the same rows into the same indexes.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use regard_tests::server::{regard, source};
use rusqlite::{Connection, params};

/// Prints rows per second of both.
pub fn measure() -> Result<()> {
    let file = source("examples/quickstart/cdnow_master.txt");
    let mut pairs = Vec::new();
    for _ in 0..super::ROUNDS {
        let ours = {
            let folder = tempfile::tempdir()?;
            // The first command makes the store; only the import itself is timed.
            regard(folder.path(), &["token", "list"])?;
            let started = Instant::now();
            let map = source("examples/quickstart/orders.toml");
            let arguments = [
                "import",
                "interactions",
                &file.to_string_lossy(),
                "--source",
                "cdnow",
                "--map",
                &map.to_string_lossy(),
            ];
            regard(folder.path(), &arguments)?;
            69_659.0 / started.elapsed().as_secs_f64()
        };
        pairs.push((ours, bare(&file)?));
    }
    super::print_ratio("import, the whole command / bare rusqlite, same rows and indexes", &pairs, "rows/s");
    Ok(())
}

/// Reads the file and inserts every row in transactions of a thousand.
fn bare(file: &Path) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut connection = Connection::open(folder.path().join("bare.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 10000;
         CREATE TABLE customer (id INTEGER PRIMARY KEY, kind TEXT, name TEXT, stage TEXT, tags TEXT, attributes TEXT, source TEXT,
             version INTEGER, root_id INTEGER, created_at INTEGER, updated_at INTEGER);
         CREATE INDEX customer_root ON customer (root_id);
         CREATE TABLE identifier (scheme TEXT, value TEXT, customer_id INTEGER);
         CREATE UNIQUE INDEX identifier_name ON identifier (scheme, value);
         CREATE INDEX identifier_customer ON identifier (customer_id);
         CREATE TABLE customer_change (id INTEGER PRIMARY KEY, customer_id INTEGER);
         CREATE TABLE interaction (id INTEGER PRIMARY KEY, channel_id INTEGER, external_id TEXT, customer_id INTEGER, kind TEXT,
             occurred_at INTEGER, received_at INTEGER, thread TEXT, amount_minor INTEGER, currency TEXT, attributes TEXT,
             provenance TEXT, causation_id INTEGER);
         CREATE UNIQUE INDEX interaction_source ON interaction (channel_id, external_id);
         CREATE INDEX interaction_customer ON interaction (customer_id, occurred_at);",
    )?;
    let started = Instant::now();
    let text = std::fs::read_to_string(file)?;
    let mut customers = 0_i64;
    let mut rows = 0_i64;
    let lines: Vec<&str> = text.lines().skip(1).collect();
    for chunk in lines.chunks(1000) {
        let transaction = connection.transaction()?;
        {
            let mut find = transaction
                .prepare_cached("SELECT customer_id FROM identifier WHERE scheme = ? AND value = ?")?;
            let mut make = transaction.prepare_cached(
                "INSERT INTO customer VALUES (?, 'person', '', 'prospect', '[]', '{}', 'cdnow', 1, ?, 0, 0)",
            )?;
            let mut name = transaction.prepare_cached("INSERT INTO identifier VALUES (?, ?, ?)")?;
            let mut change = transaction.prepare_cached("INSERT INTO customer_change VALUES (?, ?)")?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO interaction VALUES (?, 1, ?, ?, 'order.placed', ?, 0, NULL, ?, 'USD', ?, 'of', NULL)",
            )?;
            for line in chunk {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let scheme = "external:cdnow";
                let known = find.query_row(params![scheme, fields[0]], |row| row.get::<_, i64>(0)).ok();
                let customer = match known {
                    Some(customer) => customer,
                    None => {
                        customers += 1;
                        make.execute(params![customers, customers])?;
                        name.execute(params![scheme, fields[0], customers])?;
                        change.execute(params![customers, customers])?;
                        customers
                    }
                };
                rows += 1;
                let day: i64 = fields[1].parse()?;
                let cents = (fields[3].parse::<f64>()? * 100.0).round() as i64;
                let attributes = format!("{{\"items\":{}}}", fields[2]);
                insert.execute(params![rows, format!("cdnow:{rows}"), customer, day, cents, attributes])?;
            }
        }
        transaction.commit().context("commit")?;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}
