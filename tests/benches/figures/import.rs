//! Bulk import of the quickstart orders against a bare rusqlite loop that inserts the same rows into the same tables.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use regard_model::Timestamp;
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
    super::print_ratio("import, the whole command / bare rusqlite, same rows and tables", &pairs, "rows/s");
    Ok(())
}

/// Reads the file and inserts every row in transactions of a thousand, into the tables of a fresh store.
fn bare(file: &Path) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    regard(folder.path(), &["token", "list"])?;
    let mut connection = Connection::open(folder.path().join("regard.db"))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 10000; PRAGMA foreign_keys = ON;
         INSERT INTO channel (id, name, kind, settings, enabled, created_at) VALUES (1, 'shop', 'shop', '{}', TRUE, 0);",
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
                .prepare_cached("SELECT customer_id FROM identifier WHERE value = ? AND scheme = ?")?;
            let mut make = transaction.prepare_cached(
                "INSERT INTO customer (id, kind, name, name_folded, stage, tags, attributes, source, version, root_id,
                     created_at, updated_at)
                 VALUES (?1, 'person', '', '', 'acquired', '[]', '{}', 'shop', 1, ?1, 0, 0)",
            )?;
            let mut name = transaction.prepare_cached(
                "INSERT INTO identifier (value, scheme, customer_id, linked_at) VALUES (?, ?, ?, 0)",
            )?;
            let mut change = transaction
                .prepare_cached("INSERT INTO customer_change (id, customer_id) VALUES (?1, ?1)")?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO interaction (id, customer_id, channel_id, occurred_at, amount_minor, currency, kind,
                     external_id, received_at, provenance, attributes)
                 VALUES (?, ?, 1, ?, ?, 'USD', 'order.placed', ?, 0, 'of', ?)",
            )?;
            for line in chunk {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let scheme = "external:cdnow";
                let known = find.query_row(params![fields[0], scheme], |row| row.get::<_, i64>(0)).ok();
                let customer = match known {
                    Some(customer) => customer,
                    None => {
                        customers += 1;
                        make.execute([customers])?;
                        name.execute(params![fields[0], scheme, customers])?;
                        change.execute([customers])?;
                        customers
                    }
                };
                rows += 1;
                let cents = (fields[3].parse::<f64>()? * 100.0).round() as i64;
                let attributes = format!("{{\"items\":{}}}", fields[2]);
                insert.execute(params![
                    rows,
                    customer,
                    day_ms(fields[1])?,
                    cents,
                    format!("cdnow:{rows}"),
                    attributes
                ])?;
            }
        }
        transaction.commit().context("commit")?;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}

fn day_ms(text: &str) -> Result<i64> {
    Ok(Timestamp::parse_with(text, "%Y%m%d")?.as_millis())
}
