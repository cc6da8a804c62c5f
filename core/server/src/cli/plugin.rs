//! `regard plugin`.
//!
//! - `new`, `dev`: for who writes one
//! - `source`: what a command names becomes a package; `place` reads it, `lock` pins it
//! - `pack`, `verify`, `key`, `index`, `search`: packages, one command each
//! - `test`, `bench`: a plugin tried in the real engine, offline

mod bench;
mod dev;
mod index;
mod key;
mod lock;
mod new;
mod pack;
mod place;
mod search;
mod source;
mod test;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use axum::http::Method;
use regard_host::build::{self, BuildOptions};
use regard_host::manifest::Runtime;
use regard_host::{Grants, Package};
use serde_json::{Value, json};

use super::{Output, cell, table};
use crate::bundled;
use crate::client::Client;
use crate::config::{FILE, Reach};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a folder with a plugin that works, in Luau, Rust, TypeScript, Python or C.
    New(new::New),
    /// Watch a plugin's folder: on every change build it, play its scenarios and install it.
    Dev(dev::Dev),
    /// Turn a plugin's folder into a WebAssembly component, or a Rust or C folder into a native library. Finds or installs
    /// what its language needs, outside the system.
    Build {
        /// The folder with plugin.toml and Cargo.toml, plugin.ts, plugin.py or C sources.
        folder: PathBuf,
        /// Where <id>.wasm or the library goes.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
        /// Fetch nothing from outside.
        #[arg(long)]
        offline: bool,
    },
    /// Check a plugin's folder or package: manifest, code, size; builds a folder when it has to be built. Says the digest by
    /// which a native library is allowed.
    Check {
        /// The folder with plugin.toml, or a .regard file.
        package: String,
    },
    /// Try a plugin in the real engine, offline: the scenarios in fixtures/*.toml, and the laws of its capabilities.
    Test(test::Test),
    /// Measure a plugin in the real engine, offline: throughput of its functions and its memory.
    Bench(bench::Bench),
    /// Pack a plugin's folder into one file, <id>-<version>.regard, and sign it.
    Pack(pack::Pack),
    /// Verify who signed a package.
    Verify(verify::Verify),
    /// Make keys that packages are signed with.
    #[command(subcommand)]
    Key(key::Command),
    /// Write index.json for a folder of packages, so that others can install from it by name.
    Index(index::Index),
    /// Look for plugins in an index.
    Search(search::Search),
    /// Install or upgrade a plugin from its folder, from a package or from an index, and pin it in regard-plugins.lock.
    #[command(after_help = INSTALL_EXAMPLES)]
    Install {
        /// A folder with plugin.toml (built where its language needs it), a .regard file or its address, or NAME[@RANGE]
        /// to look up in an index, with cargo's ranges: 1.2, ~1.2, =1.2.3, ">=1, <3".
        #[arg(required_unless_present = "locked")]
        package: Option<String>,
        #[command(flatten)]
        choice: source::Choice,
        /// Configuration as a JSON file, valid against the manifest's schema.
        #[arg(long, value_name = "FILE", requires = "package")]
        config: Option<PathBuf>,
        /// Allow calls to this private or loopback address, as host:port; may be repeated.
        #[arg(long, value_name = "HOST:PORT", requires = "package")]
        allow_private: Vec<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// List installed plugins.
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Show one plugin: manifest, grants, calls and faults.
    Show {
        /// Its id, such as kpi-clv.
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Put a plugin into service.
    Enable {
        /// Its id.
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Take a plugin out of service; nothing of it is lost.
    Disable {
        /// Its id.
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Allow a plugin what it asks for, after an upgrade for instance; without options, show what it asks for.
    Grant {
        /// Its id.
        id: String,
        /// All that its manifest asks for, except private addresses; a version that waits comes into service.
        #[arg(long, conflicts_with_all = ["exactly", "decline"])]
        all: bool,
        /// Exactly what this JSON file says, with the keys of the manifest's [permissions].
        #[arg(long, value_name = "FILE", conflicts_with = "decline")]
        exactly: Option<PathBuf>,
        /// Calls to this private or loopback address as well, as host:port; may be repeated.
        #[arg(long, value_name = "HOST:PORT", conflicts_with = "decline")]
        allow_private: Vec<String>,
        /// Forget the version that waits.
        #[arg(long)]
        decline: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Put an earlier version back into service, with the configuration that it had.
    Rollback {
        /// Its id.
        id: String,
        /// The version; left out, the one that served before.
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Remove a plugin. What it observed and sent stays.
    Remove {
        /// Its id.
        id: String,
        #[command(flatten)]
        lock: lock::LockFlag,
        #[command(flatten)]
        reach: Reach,
    },
}

/// What stands below the help of `regard plugin`: the way of work, from nothing to a plugin that others run.
pub(super) const EXAMPLES: &str = "From nothing to a plugin that others run:
  regard plugin new hook-first-order             a folder with code, a manifest and a scenario
  regard plugin test hook-first-order            plays the scenarios in fixtures/
  regard plugin dev hook-first-order             builds, plays and installs it on every change
  regard plugin key new --out me.key             once: a key to sign with
  regard plugin pack hook-first-order --key me.key --out packages
  regard plugin index packages                   index.json, for any web server
  regard plugin install hook-first-order@0.1 --index https://plugins.example.com

In service:
  regard plugin list                             what is installed, and whether it is well
  regard plugin show hook-first-order            what it may do, what its calls cost
  regard plugin grant hook-first-order           what it asks for beyond that
  regard plugin rollback hook-first-order        the version before

A tutorial of ten minutes is in sdk/TUTORIAL.md.";

/// What stands below the help of `install`.
const INSTALL_EXAMPLES: &str = "Examples:
  regard plugin install plugins/hook-welcome
  regard plugin install hook-welcome-0.1.0.regard
  regard plugin install kpi-clv@1.2 --index https://plugins.example.com
  regard plugin install --locked";

impl Command {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        match self {
            Self::New(new) => tokio::task::block_in_place(|| new.run(output))?,
            Self::Dev(dev) => dev.run(output).await?,
            Self::Build { folder, out, offline } => {
                let options = BuildOptions { offline, ..BuildOptions::new(out) };
                let built = tokio::task::block_in_place(|| {
                    build::build_plugin(&folder, &options, &mut |line| output.say(line))
                })?;
                let package = bundled::packed(&folder, &built)?;
                let answer = json!({
                    "component": built.component,
                    "digest": built.digest,
                    "bytes": built.bytes,
                    "package_digest": package.digest(),
                });
                output.print(&answer, || {
                    format!("{} ({} bytes){}", built.component.display(), built.bytes, how_to_allow(&package))
                });
            }
            Self::Check { package } => {
                let package = source::open(&package, output).await?.package;
                let manifest = package.manifest();
                let answer =
                    json!({ "id": manifest.id, "version": manifest.version, "digest": package.digest() });
                output.print(&answer, || {
                    format!("{} {} is good{}", manifest.id, manifest.version, how_to_allow(&package))
                });
            }
            Self::Test(test) => Box::pin(test.run(output)).await?,
            Self::Bench(bench) => Box::pin(bench.run(output)).await?,
            Self::Pack(pack) => tokio::task::block_in_place(|| pack.run(output))?,
            Self::Verify(verify) => verify.run(output).await?,
            Self::Key(command) => tokio::task::block_in_place(|| command.run(output))?,
            Self::Index(index) => tokio::task::block_in_place(|| index.run(output))?,
            Self::Search(search) => search.run(output).await?,
            Self::Install { package: None, choice, reach, .. } => {
                let all = choice.find_all(output).await?;
                let client = Client::open(&reach).await?;
                let mut items = Vec::new();
                for found in all {
                    let installed = client.call(Method::POST, "/plugins", Some(found.body())).await;
                    let installed = installed.with_context(|| found.package.manifest().id.clone())?;
                    output.say(&settle(&choice, &found, &installed)?);
                    items.push(installed);
                }
                output.print(&json!({ "items": items }), || format!("{} plugins are installed", items.len()));
            }
            Self::Install { package: Some(package), choice, config, allow_private, reach } => {
                let found = choice.find(&package, output).await?;
                let mut body = found.body();
                configure(&mut body, &found, config.as_deref(), &allow_private)?;
                let installed =
                    Client::open(&reach).await?.call(Method::POST, "/plugins", Some(body)).await?;
                let told = settle(&choice, &found, &installed)?;
                output.print(&installed, || told);
            }
            Self::List { reach } => {
                let items = Client::open(&reach).await?.list("/plugins").await?;
                output.print(&json!({ "items": items }), || {
                    if items.is_empty() {
                        return "no plugins yet: regard plugin install FOLDER".to_owned();
                    }
                    let fields = ["id", "version", "runtime", "capabilities", "enabled", "fault"];
                    let rows: Vec<_> =
                        items.iter().map(|one| fields.map(|field| cell(one, field)).to_vec()).collect();
                    table(&fields, &rows)
                });
            }
            Self::Show { id, reach } => {
                let shown =
                    Client::open(&reach).await?.call(Method::GET, &format!("/plugins/{id}"), None).await?;
                output.print(&shown, || serde_json::to_string_pretty(&shown).unwrap_or_default());
            }
            Self::Enable { id, reach } => {
                let answer = Client::open(&reach)
                    .await?
                    .call(Method::POST, &format!("/plugins/{id}/enable"), None)
                    .await?;
                output.print(&answer, || format!("{id} is in service"));
            }
            Self::Disable { id, reach } => {
                let answer = Client::open(&reach)
                    .await?
                    .call(Method::POST, &format!("/plugins/{id}/disable"), None)
                    .await?;
                output.print(&answer, || format!("{id} is out of service"));
            }
            Self::Grant { id, all, exactly, allow_private, decline, reach } => {
                let client = Client::open(&reach).await?;
                let shown = client.call(Method::GET, &format!("/plugins/{id}"), None).await?;
                if decline {
                    let answer = client.call(Method::POST, &format!("/plugins/{id}/decline"), None).await?;
                    output.print(&answer, || format!("{id} {} goes on serving", cell(&answer, "version")));
                    return Ok(());
                }
                if !all && exactly.is_none() && allow_private.is_empty() {
                    output.print(&shown, || describe_grants(&shown));
                    return Ok(());
                }
                let mut body = json!({ "all": all, "private_hosts": allow_private });
                if let Some(path) = exactly {
                    body["grants"] = read_json(&path)?;
                }
                let answer = client.call(Method::POST, &format!("/plugins/{id}/grants"), Some(body)).await?;
                output.print(&answer, || describe_installed(&answer));
            }
            Self::Rollback { id, to, reach } => {
                let body = json!({ "version": to });
                let answer = Client::open(&reach)
                    .await?
                    .call(Method::POST, &format!("/plugins/{id}/rollback"), Some(body))
                    .await?;
                output.print(&answer, || format!("{id} {} serves again", cell(&answer, "version")));
            }
            Self::Remove { id, lock, reach } => {
                let answer =
                    Client::open(&reach).await?.call(Method::DELETE, &format!("/plugins/{id}"), None).await?;
                lock.forget(&id)?;
                output.print(&answer, || format!("{id} is removed"));
            }
        }
        Ok(())
    }
}

/// Adds to the body of a call that installs what the operator says of configuration and private addresses.
fn configure(
    body: &mut Value,
    found: &source::Found,
    config: Option<&Path>,
    allow_private: &[String],
) -> Result<()> {
    if let Some(path) = config {
        body["config"] = read_json(path)?;
    }
    if !allow_private.is_empty() {
        let grants = Grants::by_default(&found.package.manifest().permissions);
        let grants = allow_private.iter().fold(grants, |grants, address| grants.with_private_host(address));
        body["grants"] = serde_json::to_value(grants)?;
    }
    Ok(())
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// Pins what an install brought into service, and says what it did.
fn settle(choice: &source::Choice, found: &source::Found, installed: &Value) -> Result<String> {
    if !installed["waiting_version"].is_null() {
        return Ok(describe_installed(installed));
    }
    choice.pin(found, installed)?;
    Ok(found.told(installed))
}

/// What installing, upgrading or granting has led to, for people.
fn describe_installed(plugin: &Value) -> String {
    let (id, version) = (cell(plugin, "id"), cell(plugin, "version"));
    let waiting = &plugin["waiting_version"];
    if waiting.is_null() {
        return format!("{id} {version} serves");
    }
    let asks = waiting["asks"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let asks: Vec<String> = asks.map(|line| format!("  {line}")).collect();
    format!(
        "{id} {} waits for your consent, {version} goes on serving. It asks for\n{}\n\
         Allow it with: regard plugin grant {id} --all   Forget it with: regard plugin grant {id} --decline",
        cell(waiting, "version"),
        asks.join("\n")
    )
}

/// What a plugin is allowed and what it asks for beyond that, for people.
fn describe_grants(plugin: &Value) -> String {
    let granted = serde_json::to_string_pretty(&plugin["grants"]).unwrap_or_default();
    let mut text = format!("{} {} is allowed\n{granted}", cell(plugin, "id"), cell(plugin, "version"));
    let missing = cell(plugin, "not_granted");
    if !missing.is_empty() {
        text.push_str(&format!("\nIt asks for more: {missing}"));
    }
    if !plugin["waiting_version"].is_null() {
        text.push('\n');
        text.push_str(&describe_installed(plugin));
    }
    text
}

/// What the operator has to write to trust a native library; nothing for the others.
fn how_to_allow(package: &Package) -> String {
    match package.manifest().runtime {
        Runtime::Native => {
            let digest = package.digest();
            format!(
                "\nit runs unprotected; to trust it, write into {FILE}:\n[native]\nallow = [\"{digest}\"]"
            )
        }
        Runtime::Wasm | Runtime::Luau => String::new(),
    }
}
