//! The log as columns, for evaluators: read in one go, at one instant, without building rows.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use regard_engine::StoreError;
use regard_engine::ports::{FactQuery, FactSource, Facts};
use regard_model::{CustomerId, InteractionId};
use sqlx::{PgPool, Row};

use crate::failure::{During, damaged};
use crate::open::{Engine, Store};

const DURING: &str = "read facts";
/// Customers that are read as another one.
const MERGED: &str = "SELECT id, root_id FROM customer WHERE merged_into IS NOT NULL";
const LAST: &str = "SELECT max(id) FROM interaction";
/// SQLite shall go through the table in the order of the log: most evaluations want most of it, and the plus signs
/// keep it from fetching row by row through an index and sorting afterwards. Kinds are chosen by the reader.
const SQLITE_ROWS: &str =
    "SELECT customer_id, occurred_at, amount_minor, currency, kind, channel_id FROM interaction
    WHERE id <= ?1 AND customer_id IS NOT NULL AND +occurred_at >= ?2 AND +occurred_at < ?3 ORDER BY id";
const POSTGRES_ROWS: &str =
    "SELECT customer_id, occurred_at, amount_minor, currency, kind, channel_id FROM interaction
    WHERE id <= $1 AND customer_id IS NOT NULL AND occurred_at >= $2 AND occurred_at < $3
    AND (cardinality($4::text[]) = 0 OR kind = ANY($4)) ORDER BY id";

#[async_trait]
impl FactSource for Store {
    async fn facts(&self, query: &FactQuery) -> Result<Facts, StoreError> {
        let start = query.window.start.map_or(i64::MIN, |start| start.as_millis());
        let end = query.window.end.as_millis();
        let (mut facts, channels) = match &self.inner.engine {
            Engine::Sqlite(sqlite) => {
                let kinds = query.kinds.clone();
                sqlite.read(DURING, move |txn| from_sqlite(txn, &kinds, start, end).during(DURING)).await?
            }
            Engine::Postgres(pool) => from_postgres(pool, &query.kinds, start, end).await.during(DURING)?,
        }
        .finish()?;
        let names = self.channel_names(channels.iter().copied()).await?;
        facts.channel_names = channels.iter().map(|id| names.get(id).cloned().unwrap_or_default()).collect();
        Ok(facts)
    }
}

/// Columns while they grow.
#[derive(Default)]
struct Growing {
    facts: Facts,
    /// Merged customers and what they are read as.
    roots: HashMap<i64, i64>,
    channels: Vec<i64>,
    too_many_currencies: bool,
}

impl Growing {
    fn new(watermark: Option<i64>, roots: HashMap<i64, i64>) -> Self {
        let watermark = watermark.map(InteractionId::from_i64);
        // Entry 0 stands for no amount.
        let facts = Facts { watermark, currency_names: vec![String::new()], ..Facts::default() };
        Self { facts, roots, ..Self::default() }
    }

    #[inline]
    fn push(
        &mut self,
        customer: i64,
        occurred_at: i64,
        amount: Option<(i64, &str)>,
        kind: u32,
        channel: i64,
    ) {
        let root =
            if self.roots.is_empty() { customer } else { *self.roots.get(&customer).unwrap_or(&customer) };
        self.facts.customers.push(CustomerId::from_i64(root));
        self.facts.occurred_at_ms.push(occurred_at);
        let (minor, code) = amount.unwrap_or_default();
        self.facts.amount_minor.push(minor);
        let currency = code_of(&mut self.facts.currency_names, code);
        self.too_many_currencies |= currency > u32::from(u8::MAX);
        self.facts.currency.push(currency as u8);
        self.facts.kind.push(kind);
        let place = match self.channels.iter().position(|known| *known == channel) {
            Some(place) => place,
            None => {
                self.channels.push(channel);
                self.channels.len() - 1
            }
        };
        self.facts.channel.push(place as u32);
    }

    fn finish(self) -> Result<(Facts, Vec<i64>), StoreError> {
        if self.too_many_currencies {
            return Err(damaged(DURING, "more currencies than ISO 4217 has"));
        }
        Ok((self.facts, self.channels))
    }
}

/// Place of a word in a dictionary. There are few words, and the last one found is most often the next one as well.
fn code_of(names: &mut Vec<String>, word: &str) -> u32 {
    let place = names.iter().position(|name| name == word).unwrap_or_else(|| {
        names.push(word.to_owned());
        names.len() - 1
    });
    place as u32
}

fn from_sqlite(
    txn: &rusqlite::Transaction<'_>,
    kinds: &[String],
    start: i64,
    end: i64,
) -> rusqlite::Result<Growing> {
    let watermark: Option<i64> = txn.query_row(LAST, [], |row| row.get(0))?;
    let mut merged = txn.prepare_cached(MERGED)?;
    let roots = merged.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut growing = Growing::new(watermark, roots);
    let mut statement = txn.prepare_cached(SQLITE_ROWS)?;
    let mut rows = statement.query([watermark.unwrap_or(0), start, end])?;
    while let Some(row) = rows.next()? {
        let kind = row.get_ref(4)?.as_str()?;
        if !kinds.is_empty() && !kinds.iter().any(|wanted| wanted == kind) {
            continue;
        }
        let kind = code_of(&mut growing.facts.kind_names, kind);
        let amount = match (row.get_ref(2)?.as_i64_or_null()?, row.get_ref(3)?.as_str_or_null()?) {
            (Some(minor), Some(currency)) => Some((minor, currency)),
            _ => None,
        };
        let (customer, occurred_at) = (row.get_ref(0)?.as_i64()?, row.get_ref(1)?.as_i64()?);
        growing.push(customer, occurred_at, amount, kind, row.get_ref(5)?.as_i64()?);
    }
    Ok(growing)
}

async fn from_postgres(
    pool: &PgPool,
    kinds: &[String],
    start: i64,
    end: i64,
) -> Result<Growing, sqlx::Error> {
    let mut txn = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let watermark: Option<i64> = sqlx::query_scalar(LAST).fetch_one(&mut *txn).await?;
    let roots: Vec<(i64, i64)> = sqlx::query_as(MERGED).fetch_all(&mut *txn).await?;
    let mut growing = Growing::new(watermark, roots.into_iter().collect());
    let query = sqlx::query(POSTGRES_ROWS).bind(watermark.unwrap_or(0)).bind(start).bind(end).bind(kinds);
    let mut rows = query.fetch(&mut *txn);
    while let Some(row) = rows.try_next().await? {
        let amount = match (row.try_get::<Option<i64>, _>(2)?, row.try_get::<Option<&str>, _>(3)?) {
            (Some(minor), Some(currency)) => Some((minor, currency)),
            _ => None,
        };
        let kind = code_of(&mut growing.facts.kind_names, row.try_get(4)?);
        growing.push(row.try_get(0)?, row.try_get(1)?, amount, kind, row.try_get(5)?);
    }
    drop(rows);
    txn.commit().await?;
    Ok(growing)
}
