//! An evaluator in WebAssembly, behind the host with all limits, against the same Rust code compiled natively.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use kpi_clv::ClvEvaluator;
use kpi_rfm::RfmEvaluator;
use regard_engine::columns::{Batch, Column, ColumnValues};
use regard_engine::ports::{Evaluators as _, SystemClock};
use regard_host::build::{BuildOptions, build_plugin};
use regard_host::{Grants, Host, HostOptions, Package};
use regard_model::Timestamp;
use regard_sdk::{Accumulator as _, ColumnData, Evaluator};
use regard_store::{Store, StoreOptions};
use regard_tests::server::source;
use serde_json::json;

/// Rows of the large run.
const ROWS: usize = 1_000_000;
/// Customers of the large run.
const CUSTOMERS: u32 = 100_000;
/// Rows of one call.
const BATCH: usize = 65_536;

/// Prints native over guest time, so that 1 means as fast as native.
pub fn measure() -> Result<()> {
    let bed = Bed::new(&["kpi-rfm", "kpi-clv"])?;
    bed.runtime.block_on(async {
        let large = orders(ROWS, CUSTOMERS);
        let shop = shop_orders()?;
        for (metric, rows, what) in [
            ("rfm", &large, "RFM in WebAssembly with copy-in, 1,000,000 rows / native"),
            ("clv", &shop, "BG/NBD and Gamma-Gamma of 2,357 customers in WebAssembly / native"),
        ] {
            let mut pairs = Vec::new();
            for _ in 0..super::ROUNDS {
                let guest = in_guest(&bed.host, metric, rows).await?;
                let native = match metric {
                    "rfm" => natively::<RfmEvaluator>(metric, rows)?,
                    _ => natively::<ClvEvaluator>(metric, rows)?,
                };
                // Speeds, so that more is better as everywhere in the table.
                pairs.push((1.0 / guest, 1.0 / native));
            }
            super::print_ratio(what, &pairs, "runs/s");
        }
        Ok(())
    })
}

/// A host with plugins in service, and what it needs to live.
pub struct Bed {
    pub runtime: tokio::runtime::Runtime,
    pub host: Arc<Host>,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub fn new(plugins: &[&str]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let folder = tempfile::tempdir()?;
        let host = runtime.block_on(async {
            let store =
                Arc::new(Store::open(&folder.path().to_string_lossy(), StoreOptions::default()).await?);
            let host =
                Host::new(HostOptions::new(folder.path().join("cache")), store, Arc::new(SystemClock))?;
            for plugin in plugins {
                load(&host, plugin, folder.path()).await?;
            }
            anyhow::Ok(Arc::new(host))
        })?;
        Ok(Self { runtime, host, _folder: folder })
    }
}

struct Rows {
    groups: Vec<u32>,
    at: Vec<i64>,
    amount: Vec<i64>,
    customers: u32,
    as_of: i64,
}

async fn load(host: &Host, plugin: &str, folder: &std::path::Path) -> Result<()> {
    let source = source("plugins").join(plugin);
    let manifest = regard_host::Manifest::read(&source)?;
    let package = if manifest.runtime == regard_host::manifest::Runtime::Luau {
        Package::from_folder(&source)?
    } else {
        let built = build_plugin(&source, &BuildOptions::new(folder), &mut |_| {})?;
        let text = std::fs::read_to_string(source.join("plugin.toml"))?;
        let entry = built.manifest.entry().to_string_lossy().into_owned();
        let files = [(entry, std::fs::read(&built.component)?)].into();
        Package::from_parts(&source.join("plugin.toml"), text, files)?
    };
    let grants = Grants::by_default(&package.manifest().permissions);
    host.load(package, json!({}), Some(grants)).await?;
    Ok(())
}

async fn in_guest(host: &Host, metric: &str, rows: &Rows) -> Result<f64> {
    let started = Instant::now();
    let (mut accumulator, _) = host.open(metric, json!({})).await?;
    for from in (0..rows.groups.len()).step_by(BATCH) {
        let span = from..(from + BATCH).min(rows.groups.len());
        let batch = Batch {
            rows: span.len() as u32,
            columns: vec![
                Column::new("occurred-at", ColumnValues::TimestampMs(rows.at[span.clone()].to_vec())),
                Column::new("amount", ColumnValues::Int64(rows.amount[span.clone()].to_vec())),
            ],
        };
        accumulator.update(&rows.groups[span], rows.customers, &batch).await?;
    }
    let answer = accumulator.finish(Timestamp::from_millis(rows.as_of)).await?;
    anyhow::ensure!(answer.rows == rows.customers, "an answer for each customer");
    Ok(started.elapsed().as_secs_f64())
}

fn natively<E: Evaluator>(metric: &str, rows: &Rows) -> Result<f64> {
    let started = Instant::now();
    let wrong = |error: regard_sdk::Error| anyhow::anyhow!("{}", error.message);
    let mut accumulator = E::open(metric, "{}").map_err(wrong)?;
    for from in (0..rows.groups.len()).step_by(BATCH) {
        let span = from..(from + BATCH).min(rows.groups.len());
        let column = |name: &str, data| regard_sdk::Column { name: name.to_owned(), validity: None, data };
        let batch = regard_sdk::Batch {
            rows: span.len() as u32,
            columns: vec![
                column("occurred-at", ColumnData::TimestampMs(rows.at[span.clone()].to_vec())),
                column("amount", ColumnData::Int64(rows.amount[span.clone()].to_vec())),
            ],
        };
        accumulator.update(&rows.groups[span], rows.customers, &batch).map_err(wrong)?;
    }
    let answer = accumulator.finish(rows.as_of).map_err(wrong)?;
    anyhow::ensure!(answer.rows == rows.customers, "an answer for each customer");
    Ok(started.elapsed().as_secs_f64())
}

/// Orders in the order of their time, customers in a repeatable disorder.
fn orders(rows: usize, customers: u32) -> Rows {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let start = 852_076_800_000_i64;
    let mut groups: Vec<u32> = (0..rows)
        .map(|row| if (row as u32) < customers { row as u32 } else { (next() % u64::from(customers)) as u32 })
        .collect();
    groups.truncate(rows);
    Rows {
        at: (0..rows).map(|row| start + row as i64 * 30_000).collect(),
        amount: (0..rows).map(|_| (next() % 10_000) as i64).collect(),
        groups,
        customers,
        as_of: start + rows as i64 * 30_000,
    }
}

/// The quickstart's sample up to 1997-09-30.
fn shop_orders() -> Result<Rows> {
    let text = std::fs::read_to_string(source("examples/quickstart/cdnow_sample.txt"))?;
    let as_of = "1997-10-01".parse::<Timestamp>()?.as_millis();
    let mut rows = Rows { groups: Vec::new(), at: Vec::new(), amount: Vec::new(), customers: 0, as_of };
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let at = Timestamp::parse_with(fields[2], "%Y%m%d")?.as_millis();
        if at < as_of {
            let customer: u32 = fields[1].parse::<u32>().context("a number")? - 1;
            rows.groups.push(customer);
            rows.at.push(at);
            rows.amount.push((fields[4].parse::<f64>()? * 100.0).round() as i64);
            rows.customers = rows.customers.max(customer + 1);
        }
    }
    Ok(rows)
}
