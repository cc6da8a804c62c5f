//! Install, upgrade, roll back and load plugins.
//!
//! A plugin's manifest, code, grants and configuration live in the store, so every node of an installation finds them
//! there; a node's own folder only caches compiled code. Another version comes into service in one step: it is loaded and
//! set up first, then its migration's changes and the switch are stored in one transaction, then it takes calls. Whatever
//! fails before that leaves the earlier version serving.
//!
//! - [`trust`]: whose packages are installed

pub mod trust;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use regard_engine::ports::{Effects, Feed as _, Stream};
use regard_host::{Grants, Manifest, Package, Prepared, Service};
use regard_model::{Attributes, PluginRecord, PluginVersion, SignedBy};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often a node looks whether another process has changed plugins, in milliseconds.
const FOLLOW_EVERY_MS: u64 = 2_000;

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

/// What installing did.
#[derive(Debug, Clone)]
pub enum Installed {
    /// The version serves.
    Serves(PluginRecord),
    /// The version asks for more than was granted and waits for the operator's consent; the earlier one goes on serving.
    Waits(PluginRecord),
}

/// A plugin cannot be changed as asked, though nothing is wrong with its code.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Installs a plugin and puts it into service. An upgrade that asks for more than was granted waits for consent instead.
pub async fn install(app: &App, install: Install, actor: &str) -> Result<Installed> {
    let _alone = app.installing.lock().await;
    let manifest = install.package.manifest();
    let id = manifest.id.clone();
    let earlier = app.store.find_plugin(&id).await?;
    let config = match (install.config, &earlier) {
        (Some(config), _) => config,
        (None, Some(earlier)) => earlier.config.clone(),
        (None, None) => json!({}),
    };
    let waits = match (&install.grants, &earlier) {
        (None, Some(earlier)) => !read_grants(earlier)?.covers(&manifest.permissions),
        _ => false,
    };
    let grants = match (install.grants, &earlier) {
        (Some(grants), _) => grants,
        (None, Some(earlier)) => read_grants(earlier)?,
        (None, None) => Grants::by_default(&manifest.permissions),
    };
    let version = PluginVersion {
        plugin: id.clone(),
        version: manifest.version.to_string(),
        digest: install.package.digest().to_owned(),
        manifest: install.package.manifest_text().to_owned(),
        config,
        installed_at: app.clock.now(),
        served_at: None,
        signed_by: install.signed_by,
    };
    // Loading proves that it works before anything is stored.
    let files = install.package.files().clone();
    let prepared = app.host.prepare(install.package, version.config.clone(), Some(grants.clone())).await?;
    app.store.put_plugin_version(&version, &files, waits).await?;
    if waits {
        let asks = prepared.status().not_granted;
        audit(app, actor, "plugin.waiting", &version, [("asks", json!(asks))]).await?;
        let record = app.store.find_plugin(&id).await?.context("the plugin was removed meanwhile")?;
        return Ok(Installed::Waits(record));
    }
    let record = switch(app, earlier.as_ref(), &version, &grants, prepared).await?;
    let signed_by = json!(version.signed_by.as_ref().map(|by| &by.key));
    audit(app, actor, "plugin.installed", &version, [("signed_by", signed_by)]).await?;
    Ok(Installed::Serves(record))
}

/// What a plugin is to be allowed from now on.
#[derive(Debug, Clone, PartialEq)]
pub enum Allow {
    /// What it is allowed now.
    AsBefore,
    /// All that the waiting version asks for, or else the one that serves, and the private addresses that it has.
    All,
    /// Exactly this.
    Exactly(Grants),
}

/// Sets what a plugin is allowed, with `private_hosts` beside it. A waiting version that is covered now comes into
/// service.
pub async fn grant(
    app: &App,
    id: &str,
    allow: Allow,
    private_hosts: &[String],
    actor: &str,
) -> Result<PluginRecord> {
    let _alone = app.installing.lock().await;
    let serving = find(app, id).await?;
    let versions = app.store.plugin_versions(id).await?;
    let waiting = versions.into_iter().find(|version| Some(&version.digest) == serving.waiting.as_ref());
    let manifest = |text: &str| Manifest::parse(text, Path::new(&format!("{id}/plugin.toml")));
    let asked = manifest(waiting.as_ref().map_or(&serving.manifest, |version| &version.manifest))?;
    let with = |grants: Grants, hosts: &[String]| {
        hosts.iter().fold(grants, |grants, host| grants.with_private_host(host))
    };
    let granted = read_grants(&serving)?;
    let grants = match allow {
        Allow::Exactly(grants) => grants,
        Allow::AsBefore => granted,
        Allow::All => with(Grants::by_default(&asked.permissions), &granted.0.private_hosts),
    };
    let grants = with(grants, private_hosts);
    let details = [("grants", serde_json::to_value(&grants)?)];
    match waiting.filter(|_| grants.covers(&asked.permissions)) {
        Some(version) => {
            let package = package(app, id, &version.digest, &version.manifest).await?;
            let prepared = app.host.prepare(package, version.config.clone(), Some(grants.clone())).await?;
            let record = switch(app, Some(&serving), &version, &grants, prepared).await?;
            audit(app, actor, "plugin.granted", &version, details).await?;
            Ok(record)
        }
        None => {
            let package = package(app, id, &serving.digest, &serving.manifest).await?;
            let prepared = app.host.prepare(package, serving.config.clone(), Some(grants.clone())).await?;
            app.store.set_plugin_grants(id, &serde_json::to_value(&grants)?).await?;
            app.host.put(prepared)?;
            if !serving.enabled {
                app.host.set_enabled(id, false);
            }
            app.store.append_audit(actor, "plugin.granted", &subject(id), Attributes::from(details)).await?;
            find(app, id).await
        }
    }
}

/// Forgets the version that waits for consent.
pub async fn decline(app: &App, id: &str, actor: &str) -> Result<PluginRecord> {
    let _alone = app.installing.lock().await;
    find(app, id).await?;
    if !app.store.decline_plugin_version(id).await? {
        return Err(Refused(format!("no version of {id} waits for consent")).into());
    }
    app.store.append_audit(actor, "plugin.declined", &subject(id), Attributes::new()).await?;
    find(app, id).await
}

/// Puts an earlier version back into service, with the configuration that it had: the one that served before, or the one
/// that is named. The version that serves first leaves what it keeps as the earlier one expects it.
pub async fn roll_back(app: &App, id: &str, to: Option<&str>, actor: &str) -> Result<PluginRecord> {
    let _alone = app.installing.lock().await;
    let serving = find(app, id).await?;
    let versions = app.store.plugin_versions(id).await?;
    let mut earlier = versions.iter().filter(|one| one.digest != serving.digest && one.served_at.is_some());
    let target = match to {
        None => earlier.next(),
        Some(wanted) => earlier.find(|version| version.version == wanted),
    };
    let Some(target) = target else {
        let there: Vec<&str> = versions
            .iter()
            .filter(|one| one.digest != serving.digest && one.served_at.is_some())
            .map(|one| one.version.as_str())
            .collect();
        let there = if there.is_empty() {
            "none is kept".to_owned()
        } else {
            format!("there is {}", there.join(", "))
        };
        let what = to.map_or("an earlier version".to_owned(), |version| format!("version {version}"));
        bail!(Refused(format!("{id} has served with {what} never before; {there}")));
    };
    let grants = read_grants(&serving)?;
    let package = package(app, id, &target.digest, &target.manifest).await?;
    let prepared = app.host.prepare(package, target.config.clone(), Some(grants.clone())).await?;
    let _quiet = app.host.quiet(id).await?;
    let effects = app.host.downgrade(id, &target.version).await?.unwrap_or_default();
    let record = settle(app, Some(&serving), target, &grants, prepared, effects).await?;
    let from = [("from", json!(serving.version))];
    audit(app, actor, "plugin.rolled-back", target, from).await?;
    Ok(record)
}

/// Loads every enabled plugin of the store. One that cannot be loaded is marked with the reason; the others serve.
pub async fn load_installed(app: &App) -> Result<()> {
    for record in app.store.list_plugins().await? {
        if record.enabled {
            load_or_mark(app, &record).await?;
        }
    }
    Ok(())
}

/// Follows what other processes do to plugins in the same store, until `stop`.
pub async fn follow(app: &App, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(FOLLOW_EVERY_MS)) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = catch_up(app).await {
            tracing::warn!(error = format!("{error:#}"), "cannot see whether plugins have changed");
        }
    }
}

/// Brings the host to what the store says.
async fn catch_up(app: &App) -> Result<()> {
    // Whoever changes plugins in this process brings the host along.
    let Ok(_alone) = app.installing.try_lock() else { return Ok(()) };
    let records = app.store.list_plugins().await?;
    for status in app.host.list() {
        if !records.iter().any(|record| record.id == status.manifest.id) {
            app.host.remove(&status.manifest.id);
        }
    }
    for record in records {
        let status = app.host.status(&record.id);
        let is_current = status.as_ref().is_some_and(|status| {
            status.digest == record.digest
                && serde_json::to_value(&status.grants).is_ok_and(|grants| grants == record.grants)
        });
        if record.enabled && !is_current && record.fault.is_none() {
            load_or_mark(app, &record).await?;
        }
        let is_off = status.is_some_and(|status| status.service == Service::Disabled);
        if is_off == record.enabled {
            app.host.set_enabled(&record.id, record.enabled);
        }
    }
    Ok(())
}

async fn load_or_mark(app: &App, record: &PluginRecord) -> Result<()> {
    if let Err(error) = load(app, record).await {
        tracing::error!(plugin = record.id, error = format!("{error:#}"), "plugin is out of service");
        app.store.set_plugin_fault(&record.id, Some(&format!("{error:#}"))).await?;
    }
    Ok(())
}

/// Puts a stored plugin into service.
pub async fn load(app: &App, record: &PluginRecord) -> Result<()> {
    let package = package(app, &record.id, &record.digest, &record.manifest).await?;
    app.host.load(package, record.config.clone(), Some(read_grants(record)?)).await?;
    Ok(())
}

/// Puts `version` into service in the place of `serving`, with its migration.
async fn switch(
    app: &App,
    serving: Option<&PluginRecord>,
    version: &PluginVersion,
    grants: &Grants,
    prepared: Prepared,
) -> Result<PluginRecord> {
    let from = serving.filter(|serving| serving.digest != version.digest && prepared.migrates());
    let Some(from) = from else {
        return settle(app, serving, version, grants, prepared, Effects::default()).await;
    };
    let _quiet = app.host.quiet(&version.plugin).await?;
    let effects = prepared.upgrade(&from.version).await?.unwrap_or_default();
    settle(app, serving, version, grants, prepared, effects).await
}

/// Stores the switch with the migration's changes, and then lets the version take calls.
async fn settle(
    app: &App,
    serving: Option<&PluginRecord>,
    version: &PluginVersion,
    grants: &Grants,
    prepared: Prepared,
    effects: Effects,
) -> Result<PluginRecord> {
    let manifest = prepared.status().manifest;
    let record = PluginRecord {
        id: version.plugin.clone(),
        version: version.version.clone(),
        runtime: manifest.runtime.to_string(),
        capabilities: manifest.capabilities.iter().map(ToString::to_string).collect(),
        digest: version.digest.clone(),
        manifest: version.manifest.clone(),
        grants: serde_json::to_value(grants)?,
        config: version.config.clone(),
        enabled: true,
        fault: None,
        waiting: None,
        signed_by: version.signed_by.clone(),
        installed_at: version.installed_at,
    };
    let from = serving.map(|serving| serving.digest.as_str());
    app.store.switch_plugin(&record, from, &manifest.records, effects, app.clock.now()).await?;
    app.host.put(prepared)?;
    // Asking for a position sets it: a hook hears of what happens from its installation on.
    for stream in Stream::ALL {
        app.store.position(&record.id, stream).await?;
    }
    app.pipeline.wake();
    Ok(record)
}

async fn package(app: &App, id: &str, digest: &str, manifest: &str) -> Result<Package> {
    let files = app.store.plugin_files(digest).await?;
    Ok(Package::from_parts(Path::new(&format!("{id}/plugin.toml")), manifest.to_owned(), files)?)
}

async fn find(app: &App, id: &str) -> Result<PluginRecord> {
    let missing = || regard_engine::StoreError::NotFound(format!("plugin {id}"));
    Ok(app.store.find_plugin(id).await?.ok_or_else(missing)?)
}

fn read_grants(record: &PluginRecord) -> Result<Grants> {
    serde_json::from_value(record.grants.clone()).context("the stored grants are damaged")
}

async fn audit<const N: usize>(
    app: &App,
    actor: &str,
    action: &str,
    version: &PluginVersion,
    more: [(&'static str, Value); N],
) -> Result<()> {
    let mut details = Attributes::from([
        ("version", version.version.clone().into()),
        ("digest", version.digest.clone().into()),
    ]);
    details.patch(Attributes::from(more));
    app.store.append_audit(actor, action, &subject(&version.plugin), details).await?;
    Ok(())
}

fn subject(id: &str) -> String {
    format!("plugin:{id}")
}
