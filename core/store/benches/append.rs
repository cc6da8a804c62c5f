//! How fast the log takes a bulk import, against bare SQLite that inserts the same rows into the same indexes.
//!
//! `cargo bench --workspace --bench append`. Both sides commit batches of 1,000 with `synchronous = FULL`, in turns, because the
//! machine's mood changes; the ratio of the medians counts. The bare side knows every row beforehand and looks nothing
//! up. `--postgres` adds the rate on a PostgreSQL server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use regard_engine::ports::{FactQuery, FactSource, Incoming, Log};
use regard_model::channel::NewChannel;
use regard_model::{Attributes, ChannelId, Identifier, Money, Provenance, Timestamp, Window};
use regard_store::{Store, StoreOptions};
use rusqlite::params;
use serde_json::json;

const ROWS: usize = 200_000;
const CUSTOMERS: usize = 23_000;
const BATCH: usize = 1_000;
const ROUNDS: usize = 3;
/// 1997-01-01, when the orders begin.
const START_MS: i64 = 852_076_800_000;

/// Which customer row `n` is about: as in a shop's history, nobody comes in any order.
fn customer_of(n: usize) -> usize {
    n.wrapping_mul(2_654_435_761) % CUSTOMERS
}

fn item(channel: ChannelId, n: usize) -> Result<Incoming> {
    Ok(Incoming {
        channel,
        external_id: format!("order-{n:08}"),
        customer: None,
        identifiers: vec![Identifier::new("external:shop", &format!("{:06}", customer_of(n)))?],
        customer_name: String::new(),
        kind: "order.placed".parse()?,
        occurred_at: Timestamp::from_millis(START_MS + n as i64 * 60_000),
        thread: None,
        amount: Some(Money { minor: (n % 10_000) as i64, currency: "USD".parse()? }),
        attributes: Attributes::from([("quantity", json!(n % 7 + 1))]),
        provenance: Provenance::Of,
        causation_id: None,
        source: "shop".into(),
    })
}

async fn open(location: &str) -> Result<(Store, ChannelId)> {
    let store = Store::open(location, StoreOptions::default()).await?;
    let new = NewChannel {
        name: "shop".into(),
        kind: "shop".into(),
        connector: None,
        settings: Attributes::new(),
        secrets: Vec::new(),
    };
    let channel = store.create_channel(new).await?.id;
    Ok((store, channel))
}

/// Appends all rows; making them is not counted, as it is not on the bare side.
async fn through_the_store(store: &Store, channel: ChannelId) -> Result<Duration> {
    let mut elapsed = Duration::ZERO;
    for first in (0..ROWS).step_by(BATCH) {
        let batch = (first..first + BATCH).map(|n| item(channel, n)).collect::<Result<Vec<_>>>()?;
        let begun = Instant::now();
        store.append(batch, None).await?;
        elapsed += begun.elapsed();
    }
    Ok(elapsed)
}

/// The same rows into the same tables, with nothing in between.
async fn bare(directory: &Path) -> Result<Duration> {
    // Opening the store makes the tables and the indexes.
    drop(open(&directory.display().to_string()).await?);
    let mut connection = rusqlite::Connection::open(directory.join("regard.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536;
         PRAGMA wal_autocheckpoint = 10000;",
    )?;
    let mut known: Vec<Option<i64>> = vec![None; CUSTOMERS];
    let mut elapsed = Duration::ZERO;
    // As many digits as the store's ids have, ascending in the order of making, as the store's do.
    let mut next = 1_i64 << 60;
    let channel = 1_i64 << 59;
    for first in (0..ROWS).step_by(BATCH) {
        let batch = (first..first + BATCH)
            .map(|n| Ok((n, item(ChannelId::from_i64(1), n)?, format!("{{\"quantity\":{}}}", n % 7 + 1))))
            .collect::<Result<Vec<_>>>()?;
        let begun = Instant::now();
        let txn = connection.transaction()?;
        {
            let mut customer = txn.prepare_cached(
                "INSERT INTO customer (id, kind, name, name_folded, stage, tags, attributes, source, version, root_id,
                     created_at, updated_at)
                 VALUES (?1, 'person', '', '', 'acquired', '[]', '{}', ?2, 1, ?1, ?3, ?3)",
            )?;
            let mut change =
                txn.prepare_cached("INSERT INTO customer_change (id, customer_id) VALUES (?1, ?2)")?;
            let mut identifier = txn.prepare_cached(
                "INSERT INTO identifier (value, scheme, customer_id, linked_at) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let mut insert = txn.prepare_cached(
                "INSERT INTO interaction (id, customer_id, channel_id, occurred_at, amount_minor, currency, kind,
                     external_id, received_at, provenance, thread, causation_id, attributes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?;
            for (n, item, attributes) in &batch {
                next += 2;
                let id = *known[customer_of(*n)].get_or_insert(next);
                if id == next {
                    customer.execute(params![id, item.source, START_MS])?;
                    change.execute([id, id])?;
                    for known in &item.identifiers {
                        identifier.execute(params![known.value, known.scheme, id, START_MS])?;
                    }
                }
                insert.execute(params![
                    next + 1,
                    id,
                    channel,
                    item.occurred_at.as_millis(),
                    item.amount.map(|amount| amount.minor),
                    item.amount.as_ref().map(|amount| amount.currency.code()),
                    item.kind.as_str(),
                    item.external_id,
                    START_MS,
                    item.provenance.as_str(),
                    item.thread,
                    Option::<i64>::None,
                    attributes,
                ])?;
            }
        }
        txn.commit()?;
        elapsed += begun.elapsed();
    }
    Ok(elapsed)
}

fn rate(elapsed: Duration) -> f64 {
    ROWS as f64 / elapsed.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[tokio::main]
async fn main() -> Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let directory = tempfile::tempdir()?;
        theirs.push(rate(bare(directory.path()).await?));
        let directory = tempfile::tempdir()?;
        let (store, channel) = open(&directory.path().display().to_string()).await?;
        ours.push(rate(through_the_store(&store, channel).await?));
        let everything = FactQuery { kinds: vec![], window: Window { start: None, end: Timestamp::now() } };
        let begun = Instant::now();
        let facts = store.facts(&everything).await?;
        println!(
            "round {round}: bare {:.0} rows/s, store {:.0} rows/s; {} facts read in {:.1} ms",
            theirs[round - 1],
            ours[round - 1],
            facts.customers.len(),
            begun.elapsed().as_secs_f64() * 1000.0
        );
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("bulk import {ours:.0} rows/s, bare rusqlite {theirs:.0} rows/s, ratio {:.2}", ours / theirs);
    if std::env::args().any(|argument| argument == "--postgres") {
        let database = regard_tests::postgres::Database::fresh()?;
        let (store, channel) = open(&database.url()).await?;
        println!("on PostgreSQL {:.0} rows/s", rate(through_the_store(&store, channel).await?));
        let everything = FactQuery { kinds: vec![], window: Window { start: None, end: Timestamp::now() } };
        let begun = Instant::now();
        let facts = store.facts(&everything).await?;
        println!("{} facts read in {:.1} ms", facts.customers.len(), begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(())
}
