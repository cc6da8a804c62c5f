//! `regard demo`: the main job on real input, from an empty folder to the first messages.
//!
//! A shop's orders are imported; evaluators in the sandbox compute segments, lifetime values and the repeat rate; a
//! script reacts to a value that crosses its threshold; the messages go out over HTTP to a receiver on this machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use axum::http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use regard_engine::ports::{FactQuery, FactSource as _};
use regard_model::consent::NewConsent;
use regard_model::time::LATEST;
use regard_model::{ConsentState, CustomerId, Role, Timestamp, Window};
use regard_warehouse::EvaluateRequest;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Output;
use super::import::with_progress;
use crate::app::App;
use crate::bundled;
use crate::client::Client;
use crate::config::{Config, Place};
use crate::import::map::{Map, Shape};
use crate::import::{Format, Report, Request};
use crate::plugins::{self, Install};
use crate::{metrics, report};

/// Marks a folder that a demo may empty again.
const MARK: &str = "made-by-regard-demo";
/// Name and kind of the channel that the demo sends on.
const NEWS: &str = "news";
/// Expected value over the next 39 weeks from which a customer is greeted, in minor units: 100 dollars.
const VALUED_MINOR: i64 = 10_000;

/// The main job on real input: the orders of 23,570 customers of a shop become metrics and first messages.
///
/// Builds the bundled plugins, opens a fresh store, imports the orders in examples/quickstart, evaluates metrics and
/// delivers what a script decided to send to a receiver on this machine. Then it serves, unless --once is given.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Leave after the report instead of serving.
    #[arg(long)]
    once: bool,
    /// Which orders: all of them, or a tenth, calibrated on the first 39 weeks as in the literature.
    #[arg(long, value_enum, default_value = "master")]
    dataset: Dataset,
    /// Where the store goes; a folder that an earlier demo made is emptied first.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data_dir: PathBuf,
    /// Address and port to serve on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Dataset {
    /// 69,659 orders of 23,570 customers.
    Master,
    /// 6,919 orders of 2,357 customers.
    Sample,
}

impl Dataset {
    const fn files(self) -> (&'static str, &'static str) {
        match self {
            Self::Master => ("cdnow_master.txt", "orders.toml"),
            Self::Sample => ("cdnow_sample.txt", "orders-sample.toml"),
        }
    }

    /// First instant after the last day that counts: the end of the data, or of the calibration in the literature.
    const fn until(self) -> &'static str {
        match self {
            Self::Master => "1998-07-01",
            Self::Sample => "1997-10-01",
        }
    }
}

impl Demo {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        prepare(&self.data_dir)?;
        let place = Place { data_dir: Some(self.data_dir.clone()), ..Place::default() };
        let mut config = Config::settle(&place, self.listen)?;
        // The demo is about the embedded store, whatever the environment says.
        config.database_url = None;
        let app = App::open(&config).await?;

        let told = spinner("building and loading plugins");
        bundled::install_all(&app, |line| told.set_message(line.to_owned())).await?;
        told.finish_and_clear();
        let receiver = Receiver::start().await?;
        connect(&app, &receiver).await?;

        let started = Instant::now();
        let imported = self.import(&app).await?;
        let import_ms = started.elapsed().as_millis();
        consent(&app).await?;
        let started = Instant::now();
        let told = spinner("evaluating metrics");
        let evaluated = self.evaluate(&app).await?;
        told.finish_and_clear();
        let metrics_ms = started.elapsed().as_millis();
        let started = Instant::now();
        app.pipeline.settle().await?;
        let delivery_ms = started.elapsed().as_millis();

        let answer = json!({
            "dataset": self.dataset.files().0,
            "customers": app.store.counts().await?.customers,
            "interactions": imported.accepted,
            "metrics": evaluated,
            "outbox": app.store.count_outbox().await?.into_iter().map(|(state, count)| (state.to_string(), count.into())).collect::<serde_json::Map<String, Value>>(),
            "received": receiver.count(),
            "elapsed_ms": { "import": import_ms, "metrics": metrics_ms, "delivery": delivery_ms },
        });
        output.print(&answer, || report::for_people(&answer));
        if self.once {
            return Ok(());
        }
        let (_, token) = app.store.create_token(Role::Admin, "demo").await?;
        let listener = super::serve::bind(config.listen).await?;
        let address = listener.local_addr()?;
        output.say(&report::invitation(&address.to_string(), &token));
        super::serve::serve(app, listener).await
    }

    async fn import(&self, app: &Arc<App>) -> Result<Report> {
        let folder = bundled::source_folder("examples/quickstart")?;
        let (file, map) = self.dataset.files();
        let request = Request {
            file: folder.join(file),
            shape: Shape::Interactions,
            format: Format::Csv,
            map: Some(Map::read(&folder.join(map), Shape::Interactions)?),
            source: "cdnow".into(),
            rejects: self.data_dir.join("rejects.jsonl"),
        };
        let client = Client::local(app.clone());
        let report = with_progress(&request, client.sink(&request).await?.as_ref()).await?;
        if report.rejected > 0 {
            bail!("{} orders were refused, see {}", report.rejected, request.rejects.display());
        }
        Ok(report)
    }

    /// Every metric of the bundled evaluators; what they say of the population, by metric.
    async fn evaluate(&self, app: &App) -> Result<Value> {
        let until: Timestamp = self.dataset.until().parse()?;
        let mut all = json!({});
        for metric in ["rfm", "repeat-rate", "clv"] {
            let request = EvaluateRequest {
                metric: metric.into(),
                parameters: json!({}),
                since: None,
                until: Some(until),
                currency: None,
            };
            let run =
                metrics::evaluate(app, request).await.with_context(|| format!("cannot evaluate {metric}"))?;
            all[metric] = json!({
                "customers": run.subjects,
                "interactions": run.rows,
                "evaluator": run.evaluator,
                "until": run.window.end,
                "elapsed_ms": run.elapsed_ms,
            });
            if let Some(model) = run.model {
                all[metric]["model"] = model;
            }
            if metric == "rfm" {
                all[metric]["segments"] = run.summary["segment"].clone();
            }
            all[metric]["summary"] = run.summary;
        }
        Ok(all)
    }
}

/// Makes the folder, or empties one that an earlier demo made. Any other folder with something in it is left alone.
fn prepare(folder: &Path) -> Result<()> {
    let occupied = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        if !folder.join(MARK).is_file() {
            bail!(
                "{} has something in it that no demo made: name an empty folder with --data-dir",
                folder.display()
            );
        }
        // Compiled plugins are worth keeping.
        for entry in folder.read_dir()? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name == "cache" || name == MARK) {
                continue;
            }
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(folder.join(MARK), "").with_context(|| format!("cannot write to {}", folder.display()))
}

/// A channel that sends to the receiver, and the script that watches lifetime values.
async fn connect(app: &Arc<App>, receiver: &Receiver) -> Result<()> {
    let client = Client::local(app.clone());
    let channel = json!({
        "name": NEWS,
        "kind": NEWS,
        "connector": "connector-webhook",
        "settings": { "url": format!("http://{}/messages", receiver.address), "address_scheme": "external:cdnow" },
    });
    client.call(Method::POST, "/channels", Some(channel)).await?;
    // The receiver is on this machine, and loopback addresses need the operator's own word.
    reinstall(app, "connector-webhook", None, Some(receiver.address)).await?;
    let threshold = json!({ "metric": "clv", "threshold": VALUED_MINOR });
    reinstall(app, "hook-welcome", Some(threshold), None).await?;
    Ok(())
}

async fn reinstall(app: &App, id: &str, config: Option<Value>, private: Option<SocketAddr>) -> Result<()> {
    let folder = bundled::source_folder("plugins")?.join(id);
    let package = tokio::task::block_in_place(|| bundled::package(&folder, &mut |_| {}))?;
    let grants = regard_host::Grants::by_default(&package.manifest().permissions);
    let grants = match private {
        Some(address) => grants.with_private_host(&address.to_string()),
        None => grants,
    };
    plugins::install(app, Install { package, config, grants: Some(grants), signed_by: None }, "demo").await?;
    Ok(())
}

/// The data of 1997 know nothing of consent. So that its part in delivery can be seen, every second customer is taken to
/// have signed up for the shop's news; the others must not be written to.
async fn consent(app: &App) -> Result<()> {
    let everybody = FactQuery { kinds: Vec::new(), window: Window { start: None, end: LATEST } };
    let customers: BTreeSet<CustomerId> = app.store.facts(&everybody).await?.customers.into_iter().collect();
    let lines = customers.into_iter().step_by(2).map(|customer| {
        let line = NewConsent {
            purpose: "marketing".into(),
            channel_kind: NEWS.into(),
            state: ConsentState::Granted,
            basis: "made up for the demo".into(),
            source: "demo".into(),
        };
        (customer, line)
    });
    app.store.record_consents(lines.collect()).await?;
    Ok(())
}

/// Stands in for the shop's own mail relay: takes each message once and says so.
struct Receiver {
    address: SocketAddr,
    seen: Arc<parking_lot::Mutex<std::collections::HashSet<String>>>,
}

impl Receiver {
    async fn start() -> Result<Self> {
        let seen: Arc<parking_lot::Mutex<std::collections::HashSet<String>>> = Arc::default();
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("cannot open a port for the demo's receiver")?;
        let address = listener.local_addr()?;
        let keys = seen.clone();
        let take = axum::routing::post(async move |headers: axum::http::HeaderMap| {
            let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
            keys.lock().insert(key.to_owned());
            axum::Json(json!({ "id": key }))
        });
        let router = axum::Router::new().route("/messages", take);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, seen })
    }

    fn count(&self) -> usize {
        self.seen.lock().len()
    }
}

fn spinner(text: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(text.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}
