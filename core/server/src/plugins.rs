//! Install, enable and load plugins.
//!
//! A plugin's manifest, code, grants and configuration live in the store, so every node of an installation finds them
//! there; a node's own folder only caches compiled code.
//!
//! - [`trust`]: whose packages are installed

pub mod trust;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use regard_engine::ports::{Feed as _, Stream};
use regard_host::{Grants, Package};
use regard_model::{Attributes, PluginRecord, SignedBy};
use serde_json::{Value, json};

use crate::app::App;

/// A plugin to install or to upgrade.
#[derive(Debug, Clone)]
pub struct Install {
    /// Manifest and code.
    pub package: Package,
    /// Its configuration; `None` keeps what an earlier version had.
    pub config: Option<Value>,
    /// What the operator allows; `None` keeps what an earlier version had, or else allows what the manifest asks for
    /// except private addresses.
    pub grants: Option<Grants>,
    /// Who signed the package; verified by then.
    pub signed_by: Option<SignedBy>,
}

/// Installs a plugin and puts it into service. An upgrade replaces the earlier version in one step; when the new
/// version cannot be loaded the earlier one stays.
pub async fn install(app: &App, install: Install, actor: &str) -> Result<PluginRecord> {
    let manifest = install.package.manifest();
    let id = manifest.id.clone();
    let earlier = app.store.find_plugin(&id).await?;
    let config = match (install.config, &earlier) {
        (Some(config), _) => config,
        (None, Some(earlier)) => earlier.config.clone(),
        (None, None) => json!({}),
    };
    let grants = match (install.grants, &earlier) {
        (Some(grants), _) => grants,
        (None, Some(earlier)) => {
            serde_json::from_value(earlier.grants.clone()).context("the stored grants are damaged")?
        }
        (None, None) => Grants::by_default(&manifest.permissions),
    };
    let record = PluginRecord {
        id: id.clone(),
        version: manifest.version.to_string(),
        runtime: manifest.runtime.to_string(),
        capabilities: manifest.capabilities.iter().map(ToString::to_string).collect(),
        digest: install.package.digest().to_owned(),
        manifest: install.package.manifest_text().to_owned(),
        grants: serde_json::to_value(&grants)?,
        config: config.clone(),
        enabled: true,
        fault: None,
        installed_at: app.clock.now(),
        signed_by: install.signed_by,
    };
    // Loading proves that it works before anything is stored.
    let files = install.package.files().clone();
    app.host.load(install.package, config, Some(grants)).await?;
    app.store.put_plugin_files(&record.digest, &files).await?;
    app.store.put_plugin(&record).await?;
    // Asking for a position sets it: a hook hears of what happens from its installation on.
    for stream in Stream::ALL {
        app.store.position(&id, stream).await?;
    }
    let mut details = Attributes::from([
        ("version", record.version.clone().into()),
        ("digest", record.digest.clone().into()),
    ]);
    if let Some(by) = &record.signed_by {
        details.set("signed_by", by.key.clone());
    }
    app.store.append_audit(actor, "plugin.installed", &format!("plugin:{id}"), details).await?;
    Ok(record)
}

/// Loads every enabled plugin of the store. One that cannot be loaded is marked with the reason; the others serve.
pub async fn load_installed(app: &App) -> Result<()> {
    for record in app.store.list_plugins().await? {
        if !record.enabled {
            continue;
        }
        if let Err(error) = load(app, &record).await {
            tracing::error!(plugin = record.id, error = format!("{error:#}"), "plugin is out of service");
            app.store.set_plugin_fault(&record.id, Some(&format!("{error:#}"))).await?;
        }
    }
    Ok(())
}

/// Puts a stored plugin into service.
pub async fn load(app: &App, record: &PluginRecord) -> Result<()> {
    let files: BTreeMap<String, Vec<u8>> = app.store.plugin_files(&record.digest).await?;
    let package = Package::from_parts(
        Path::new(&format!("{}/plugin.toml", record.id)),
        record.manifest.clone(),
        files,
    )?;
    let grants = serde_json::from_value(record.grants.clone()).context("the stored grants are damaged")?;
    app.host.load(package, record.config.clone(), Some(grants)).await?;
    Ok(())
}
