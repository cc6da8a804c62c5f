//! `regard plugin dev`: on every change of a folder its plugin is built, its scenarios are played, and it is installed.

mod watch;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use axum::http::Method;
use regard_host::manifest::Manifest;
use regard_host::{Package, build};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::watch::Seen;
use super::source::{self, Found};
use crate::cli::{Output, cell};
use crate::client::Client;
use crate::config::Reach;

/// Arguments of `regard plugin dev`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Dev {
    /// The folder with plugin.toml.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Only build and play the scenarios, install nowhere.
    #[arg(long)]
    no_install: bool,
    /// Configuration as a JSON file, valid against the manifest's schema; read anew each time.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Allow calls to this private or loopback address, as host:port; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    allow_private: Vec<String>,
    #[command(flatten)]
    reach: Reach,
}

/// What stands below the help.
const EXAMPLES: &str = "A version whose scenarios fail is not installed. Nothing is pinned in regard-plugins.lock, and one version may be
installed with other code again and again: use a server of your own. A version that asks for more permissions than
before waits for `regard plugin grant`, as always. Ctrl-C ends it.

Examples:
  regard plugin dev hook-first-order
  regard plugin dev --server http://127.0.0.1:8420 --token $TOKEN
  regard plugin dev --no-install";

impl Dev {
    /// Goes on until Ctrl-C; what is wrong with the plugin is printed.
    pub(super) async fn run(self, output: Output) -> Result<()> {
        // A folder without a plugin is a mistake on the command line; later on, it is one more thing to mend.
        Manifest::read(&self.folder)?;
        let stop = stopped();
        tokio::task::block_in_place(|| build::show_sdk(&self.folder, &mut |line| output.say(line)))?;
        let client = if self.no_install { None } else { Some(Client::open(&self.reach).await?) };
        say(output, &format!("watching {}; Ctrl-C ends it", self.folder.display()));
        let (mut installed, mut rounds, mut failed) = (None, 0, 0);
        let mut seen = Seen::now(&self.folder)?;
        loop {
            rounds += 1;
            let round = Round { dev: &self, output, client: client.as_ref(), stop: &stop };
            match round.run(&mut installed).await {
                Ok(()) => {}
                // A compiler that heard of Ctrl-C as well has failed for no fault of the plugin's.
                Err(_) if stop.is_cancelled() => {}
                Err(why) => {
                    failed += 1;
                    say(output, &format!("FAILED    {why:#}"));
                }
            }
            // Changes that were made meanwhile count: what is compared with is from before the round.
            let after = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                after = watch::change(&self.folder, &seen) => after?,
            };
            say(output, &format!("changed   {}", after.changed(&seen, &self.folder).join(", ")));
            seen = after;
        }
        eprintln!("stopped");
        if output.json {
            println!("{}", json!({ "rounds": rounds, "failed": failed }));
        }
        Ok(())
    }
}

/// One way from sources to service.
struct Round<'a> {
    dev: &'a Dev,
    output: Output,
    client: Option<&'a Client>,
    stop: &'a CancellationToken,
}

impl Round<'_> {
    /// `installed` is the digest that the server has from here.
    async fn run(&self, installed: &mut Option<String>) -> Result<()> {
        let folder = self.dev.folder.to_string_lossy().into_owned();
        let begun = Instant::now();
        let found = source::open(&folder, self.output).await.context("build")?;
        let package = &found.package;
        let digest = package.digest().to_owned();
        self.took("built", begun, &named(package));
        if self.stop.is_cancelled() {
            return Ok(());
        }
        self.play(package).await.context("test")?;
        let Some(client) = self.client else { return Ok(()) };
        // Only what the server would run decides, not a scenario or the README.
        if installed.as_ref() == Some(&digest) && self.dev.config.is_none() {
            say(self.output, "unchanged, and installed already");
            return Ok(());
        }
        let begun = Instant::now();
        let record = self.install(client, &found).await.context("install")?;
        *installed = Some(digest);
        if record["waiting_version"].is_null() {
            self.took("installed", begun, &format!("{} serves", cell(&record, "id")));
        } else {
            say(self.output, &super::describe_installed(&record));
        }
        Ok(())
    }

    /// Plays the folder's scenarios, when it has any. The laws, which take longer, are for `regard plugin test`.
    async fn play(&self, package: &Package) -> Result<()> {
        let begun = Instant::now();
        let cache = build::cache_dir().join("testkit");
        let trial = regard_testkit::Trial::new(package.clone(), &self.dev.folder, cache, None)?;
        if trial.scenarios.is_empty() {
            return Ok(());
        }
        let report = regard_testkit::play_all(&trial).await?;
        ensure!(report.is_good(), "{}", report.text());
        self.took("tested", begun, &format!("{} scenarios", trial.scenarios.len()));
        Ok(())
    }

    async fn install(&self, client: &Client, found: &Found) -> Result<Value> {
        let mut body = found.body();
        super::configure(&mut body, found, self.dev.config.as_deref(), &self.dev.allow_private)?;
        client.call(Method::POST, "/plugins", Some(body)).await
    }

    /// A line about a step that is done.
    fn took(&self, step: &str, begun: Instant, what: &str) {
        say(self.output, &format!("{step:9} {what} ({:.2} s)", begun.elapsed().as_secs_f64()));
    }
}

fn named(package: &Package) -> String {
    let manifest = package.manifest();
    let bytes: usize = package.files().values().map(Vec::len).sum();
    format!("{} {}, {bytes} bytes", manifest.id, manifest.version)
}

/// One line about what is going on: on standard output, unless a document is wanted there.
fn say(output: Output, line: &str) {
    if output.json { eprintln!("{line}") } else { println!("{line}") }
}

/// Cancelled by Ctrl-C.
fn stopped() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    stop
}
