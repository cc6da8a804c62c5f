//! The real engine around one plugin, set up as a scenario says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use regard_engine::ports::{Clock as _, Effects, Feed as _, Stream};
use regard_engine::{Parts, Pipeline};
use regard_host::http::Transport;
use regard_host::manifest::Capability;
use regard_host::{Grants, Host, HostOptions, PluginStats, PluginStatus};
use regard_model::channel::NewChannel;
use regard_model::consent::NewConsent;
use regard_model::customer::NewCustomer;
use regard_model::{Channel, ConsentState, CustomerId, PluginRecord, PluginVersion};
use regard_store::{SecretOwner, Store, StoreOptions};
use serde_json::json;
use tempfile::TempDir;

use crate::Trial;
use crate::clock::VirtualClock;
use crate::recorded::Recorded;
use crate::scenario::Scenario;
use crate::scenario::parts::{Action, ChannelPart, CustomerPart, TEST_CHANNEL};
use crate::watched::Watched;

/// Where what a scenario sets up comes from.
const SOURCE: &str = "scenario";
/// Most messages, records or interactions that are looked at; a scenario is a story, not a load.
pub(crate) const LOOKED_AT_MAX: u64 = 10_000;

/// A plugin in service.
pub struct World {
    // Closed before its folder goes.
    /// What is kept.
    pub store: Arc<Store>,
    /// The plugin's host.
    pub host: Host,
    /// The way of one interaction.
    pub pipeline: Arc<Pipeline>,
    /// The time.
    pub clock: Arc<VirtualClock>,
    /// The network.
    pub recorded: Arc<Recorded>,
    /// What the plugin is called with.
    pub watched: Arc<Watched>,
    /// The scenario's customers by key.
    pub customers: BTreeMap<String, CustomerId>,
    /// The plugin as it was when it came into service.
    pub status: PluginStatus,
    _folder: TempDir,
}

impl World {
    /// Sets up everything that `scenario` describes and puts the plugin into service. `grants` stand for what its manifest
    /// asks for.
    pub async fn open(trial: &Trial, scenario: &Scenario, grants: Option<Grants>) -> Result<Self> {
        // A call of the store is a future of 15 KB, which would be part of every caller's.
        Box::pin(Self::put_together(trial, scenario, grants)).await
    }

    async fn put_together(trial: &Trial, scenario: &Scenario, grants: Option<Grants>) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the store")?;
        let clock = Arc::new(VirtualClock::new(scenario.start));
        let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
        let store = Store::open(&folder.path().to_string_lossy(), options).await;
        let store = Arc::new(store.context("cannot open a store")?);
        let recorded = Arc::new(Recorded::new(scenario));
        let transport: Arc<dyn Transport> = recorded.clone();
        let options = HostOptions {
            // What the author has just built is trusted for the trial, and nothing else.
            native_allowed: BTreeSet::from([trial.package.digest().to_owned()]),
            transport: Some(transport),
            ..HostOptions::new(&trial.cache_dir)
        };
        let host = Host::new(options, store.clone(), clock.clone()).context("cannot start the host")?;
        let watched = Arc::new(Watched::new(host.clone(), recorded.clone()));
        let pipeline = Pipeline::new(Parts {
            log: store.clone(),
            feed: store.clone(),
            outbox: store.clone(),
            channels: store.clone(),
            hooks: watched.clone(),
            connectors: watched.clone(),
            reads: store.clone(),
            clock: clock.clone(),
        });
        let mut customers = BTreeMap::new();
        for part in &scenario.customers {
            let id = customer(&store, part).await;
            customers.insert(part.key.clone(), id.with_context(|| format!("customer `{}`", part.key))?);
        }
        let status = Self::install(trial, scenario, grants, &store, &host, &clock).await?;
        channels(&store, scenario, &status).await?;
        // Its schedules begin to count.
        pipeline.settle().await?;
        Ok(Self { store, host, pipeline, clock, recorded, watched, customers, status, _folder: folder })
    }

    /// Puts the plugin into service as the server does: the store knows its version, its types of records, its secrets.
    async fn install(
        trial: &Trial,
        scenario: &Scenario,
        grants: Option<Grants>,
        store: &Store,
        host: &Host,
        clock: &VirtualClock,
    ) -> Result<PluginStatus> {
        let package = trial.package.clone();
        let manifest = package.manifest().clone();
        let grants = grants.unwrap_or_else(|| granted(scenario, &manifest.permissions));
        // Set-up may ask for a secret.
        for (name, secret) in &scenario.secrets {
            let owner = SecretOwner::Plugin(manifest.id.clone());
            store.set_secret(&owner, name, secret).await.with_context(|| format!("secret `{name}`"))?;
        }
        let config = if scenario.config.is_null() { json!({}) } else { scenario.config.clone() };
        let version = PluginVersion {
            plugin: manifest.id.clone(),
            version: manifest.version.to_string(),
            digest: package.digest().to_owned(),
            manifest: package.manifest_text().to_owned(),
            config: config.clone(),
            signed_by: None,
            installed_at: clock.now(),
            served_at: None,
        };
        let record = PluginRecord {
            id: manifest.id.clone(),
            version: version.version.clone(),
            runtime: manifest.runtime.to_string(),
            capabilities: manifest.capabilities.iter().map(ToString::to_string).collect(),
            digest: version.digest.clone(),
            manifest: version.manifest.clone(),
            grants: serde_json::to_value(&grants)?,
            config: config.clone(),
            enabled: true,
            fault: None,
            waiting: None,
            signed_by: None,
            installed_at: version.installed_at,
        };
        let prepared = host.prepare(package, config, Some(grants)).await?;
        // The code itself is not needed in a store that is thrown away.
        store.put_plugin_version(&version, &BTreeMap::new(), false).await?;
        store.switch_plugin(&record, None, &manifest.records, Effects::default(), clock.now()).await?;
        let status = host.put(prepared)?;
        // A hook hears of what happens from here on, not of what was set up.
        for stream in Stream::ALL {
            store.position(&manifest.id, stream).await?;
        }
        Ok(status)
    }

    /// The plugin's id.
    pub fn plugin(&self) -> &str {
        &self.status.manifest.id
    }

    /// Whether it has the capability.
    pub fn can(&self, capability: Capability) -> bool {
        self.status.manifest.can(capability)
    }

    /// A channel by name.
    pub fn channel(&self, name: &str) -> Result<Arc<Channel>> {
        use regard_engine::ports::Channels as _;
        self.store.by_name(name).with_context(|| format!("there is no channel `{name}`"))
    }

    /// The key of a customer, or the id of one that the scenario does not know.
    pub fn key_of(&self, id: CustomerId) -> String {
        let known = self.customers.iter().find(|&(_, &known)| known == id);
        known.map_or_else(|| id.to_string(), |(key, _)| key.clone())
    }

    /// Lets a plugin that broke be called again at once.
    pub fn forgive(&self) {
        self.host.set_enabled(self.plugin(), true);
    }

    /// What the plugin's calls have cost.
    pub fn stats(&self) -> Option<PluginStats> {
        self.host.stats().into_iter().find(|stats| stats.plugin == self.plugin())
    }
}

/// What the manifest asks for. A private address counts as granted when the scenario recorded an exchange with it: nothing
/// is dialled, and whoever records it is who would grant it.
fn granted(scenario: &Scenario, asked: &regard_host::manifest::Permissions) -> Grants {
    let recorded = scenario.http.iter().filter_map(|exchange| place(&exchange.url));
    let places = recorded.chain(asked.private_hosts.iter().cloned());
    places.fold(Grants::by_default(asked), |grants, place| grants.with_private_host(&place))
}

/// Host and port of an address.
fn place(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
    });
    let port = if scheme == "https" { 443 } else { 80 };
    Some(if has_port { authority.to_owned() } else { format!("{authority}:{port}") })
}

async fn customer(store: &Store, part: &CustomerPart) -> Result<CustomerId> {
    let unknown = NewCustomer::unknown(SOURCE);
    let new = NewCustomer {
        name: part.name.clone(),
        stage: part.stage.unwrap_or(unknown.stage),
        tags: part.tags.iter().cloned().collect(),
        attributes: part.attributes.clone(),
        identifiers: part.identifiers.clone(),
        ..unknown
    };
    let id = store.create_customer(new).await?.id;
    for consent in &part.consents {
        let new = NewConsent {
            purpose: consent.purpose.clone(),
            channel_kind: consent.channel_kind.clone(),
            state: ConsentState::Granted,
            basis: SOURCE.to_owned(),
            source: SOURCE.to_owned(),
        };
        store.record_consent(id, new.checked()?).await?;
    }
    Ok(id)
}

/// The scenario's channels, and those that its interactions name; a connector's scenario that names none has one.
async fn channels(store: &Store, scenario: &Scenario, status: &PluginStatus) -> Result<()> {
    let manifest = &status.manifest;
    let connector = manifest.can(Capability::Connector).then(|| manifest.id.clone());
    let mut parts = scenario.channels.clone();
    let plain = |name: &str| ChannelPart { name: name.to_owned(), kind: None, settings: Default::default() };
    if parts.is_empty() {
        parts.push(plain(TEST_CHANNEL));
    }
    let declared = parts.len();
    for step in &scenario.steps {
        if let Action::Interaction(part) = &step.action
            && !parts.iter().any(|known| known.name == part.channel)
        {
            parts.push(plain(&part.channel));
        }
    }
    for (at, part) in parts.into_iter().enumerate() {
        let settings = manifest.channel.complete_channel(part.settings.clone()).map_err(|faults| {
            let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("settings of channel `{}`: {}", part.name, words.join("; "))
        });
        let serves = at < declared && connector.is_some();
        let new = NewChannel {
            kind: part.kind.unwrap_or_else(|| part.name.clone()),
            name: part.name,
            connector: connector.clone().filter(|_| serves),
            settings: if serves { settings? } else { part.settings },
            secrets: Vec::new(),
        };
        store.create_channel(new).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_hosts_with_ports() {
        for (url, found) in [
            ("https://api.example.com/v1?x", "api.example.com:443"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]/", "[::1]:80"),
            ("http://[::1]:9/", "[::1]:9"),
        ] {
            assert_eq!(place(url).as_deref(), Some(found));
        }
        assert_eq!(place("nowhere"), None);
    }
}
