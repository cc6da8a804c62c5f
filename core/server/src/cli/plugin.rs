//! `regard plugin`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regard_host::Package;
use regard_host::build::{self, BuildOptions};
use serde_json::{Map, Value, json};

use super::{Output, cell, table};
use crate::bundled;
use crate::client::Client;
use crate::config::Reach;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Turn a plugin's folder into a WebAssembly component. Finds or installs what its language needs, outside the system.
    Build {
        /// The folder with plugin.toml and Cargo.toml, plugin.ts or plugin.py.
        folder: PathBuf,
        /// Where <id>.wasm goes.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
        /// Fetch nothing from outside.
        #[arg(long)]
        offline: bool,
    },
    /// Check a plugin's folder: manifest, code, size; builds it when it has to be built.
    Check {
        /// The folder with plugin.toml.
        folder: PathBuf,
    },
    /// Install or upgrade a plugin from its folder; builds it when it has to be built.
    Install {
        /// The folder with plugin.toml.
        folder: PathBuf,
        /// Configuration as a JSON file, valid against the manifest's schema.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Allow calls to this private or loopback address, as host:port; may be repeated.
        #[arg(long, value_name = "HOST:PORT")]
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
    /// Remove a plugin. What it observed and sent stays.
    Remove {
        /// Its id.
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
}

impl Command {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        match self {
            Self::Build { folder, out, offline } => {
                let options = BuildOptions { offline, ..BuildOptions::new(out) };
                let built = tokio::task::block_in_place(|| {
                    build::build_plugin(&folder, &options, &mut |line| output.say(line))
                })?;
                let answer =
                    json!({ "component": built.component, "digest": built.digest, "bytes": built.bytes });
                output.print(&answer, || format!("{} ({} bytes)", built.component.display(), built.bytes));
            }
            Self::Check { folder } => {
                let package = package(&folder, output)?;
                let manifest = package.manifest();
                let answer =
                    json!({ "id": manifest.id, "version": manifest.version, "digest": package.digest() });
                output.print(&answer, || format!("{} {} is good", manifest.id, manifest.version));
            }
            Self::Install { folder, config, allow_private, reach } => {
                let package = package(&folder, output)?;
                let files: Map<String, Value> = package
                    .files()
                    .iter()
                    .map(|(name, bytes)| (name.clone(), STANDARD.encode(bytes).into()))
                    .collect();
                let mut body = json!({ "manifest": package.manifest_text(), "files": files });
                if let Some(path) = config {
                    let text = std::fs::read_to_string(&path)
                        .with_context(|| format!("cannot read {}", path.display()))?;
                    body["config"] = serde_json::from_str(&text)
                        .with_context(|| format!("{} is no JSON", path.display()))?;
                }
                if !allow_private.is_empty() {
                    let grants = regard_host::Grants::by_default(&package.manifest().permissions);
                    let grants = allow_private
                        .iter()
                        .fold(grants, |grants, address| grants.with_private_host(address));
                    body["grants"] = serde_json::to_value(grants)?;
                }
                let installed =
                    Client::open(&reach).await?.call(Method::POST, "/plugins", Some(body)).await?;
                output.print(&installed, || {
                    format!("{} {} is installed", cell(&installed, "id"), cell(&installed, "version"))
                });
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
            Self::Remove { id, reach } => {
                let answer =
                    Client::open(&reach).await?.call(Method::DELETE, &format!("/plugins/{id}"), None).await?;
                output.print(&answer, || format!("{id} is removed"));
            }
        }
        Ok(())
    }
}

fn package(folder: &std::path::Path, output: Output) -> Result<Package> {
    tokio::task::block_in_place(|| bundled::package(folder, &mut |line| output.say(line)))
}
