//! The registry of loaded plugins: [`Host`].
//!
//! Loading checks everything that can be checked beforehand: manifest, configuration, grants, what the code exports and
//! imports, what it says of itself. A plugin of the same id is replaced at once when the new one is ready: calls under way
//! end on the old one, no call fails because of the change. Here is loading, in `loaded` one plugin, in `ports` the calls,
//! in `gate` the waiting while a version takes over what another one kept.

mod gate;
mod loaded;
mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;
use regard_engine::ports::{Clock, Effects, Reads};
use regard_engine::{Fault, PluginError};
use regard_model::id::IdGenerator;
use regard_model::{Metric, RecordType};
use serde_json::Value;

use crate::call::{Role, Scope, Services};
use crate::executor::Executor;
use crate::grants::Grants;
use crate::http::{Http, Transport};
use crate::limits::OperatorLimits;
use crate::manifest::{ManifestError, Runtime, Settings};
use crate::package::Package;
use crate::runtime::luau::Luau;
use crate::runtime::native::Native;
use crate::runtime::wasm::Wasm;
use crate::runtime::{Failure, Program};
use crate::stats::{Counters, PluginStats};
use crate::ticker::Ticker;

use gate::Gates;

pub use gate::Quiet;
pub(crate) use loaded::Loaded;
pub use loaded::{PluginStatus, Service};

/// Plugins that may be loaded at a time; each costs a few megabytes of compiled code.
pub const PLUGINS_MAX: usize = 256;
/// WebAssembly instances that may live at a time. Each reserves address space, not memory, until it uses it.
pub const INSTANCES_MAX_DEFAULT: u32 = 64;

/// How a [`Host`] is set up.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Folder for compiled code; only the host may write there.
    pub cache_dir: PathBuf,
    /// The operator's ceilings.
    pub limits: OperatorLimits,
    /// Threads that plugins run on.
    pub threads: usize,
    /// WebAssembly instances that may live at a time; a call that finds none waits for one.
    pub instances_max: u32,
    /// Digests of packages whose native libraries may be loaded, as [`Package::digest`] has them. A native library can do
    /// whatever the host can, so by default there are none.
    pub native_allowed: BTreeSet<String>,
    /// What carries the plugins' HTTP requests; none for the network. A test kit puts recorded answers here.
    pub transport: Option<Arc<dyn Transport>>,
}

impl HostOptions {
    /// Default ceilings, and as many threads as the machine has processors.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            limits: OperatorLimits::default(),
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            instances_max: INSTANCES_MAX_DEFAULT,
            native_allowed: BTreeSet::new(),
            transport: None,
        }
    }
}

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The manifest and what it describes do not agree; names the line.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The configuration does not fit the schema.
    #[error("{plugin}: configuration: {problem}")]
    Config {
        /// The plugin's id.
        plugin: String,
        /// Every fault.
        problem: String,
    },
    /// The code cannot be run.
    #[error("{plugin}: {problem}")]
    Code {
        /// The plugin's id.
        plugin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It failed when it was set up or asked to describe itself.
    #[error(transparent)]
    Call(#[from] PluginError),
}

/// A plugin that is loaded, checked and set up, and not in service yet.
pub struct Prepared(Loaded);

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Prepared").field(&self.0.scope.id).finish()
    }
}

impl Prepared {
    /// Its state, were it in service.
    pub fn status(&self) -> PluginStatus {
        self.0.status()
    }

    /// Whether it takes over what another version kept.
    pub fn migrates(&self) -> bool {
        self.0.program.migrates()
    }

    /// Has it take over what version `from` kept; `None` when it does no such thing. Nothing is stored yet. Call it
    /// while the plugin is [`quiet`](Host::quiet).
    pub async fn upgrade(&self, from: &str) -> Result<Option<Effects>, PluginError> {
        self.0.migrate("upgrade", from).await
    }
}

/// Loads plugins and calls them; implements the engine's ports [`Hooks`](regard_engine::ports::Hooks),
/// [`Connectors`](regard_engine::ports::Connectors) and [`Evaluators`](regard_engine::ports::Evaluators). Clones are the
/// same host.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    // Dropped in this order: programs before the engine's clock and the threads that they run on.
    plugins: RwLock<BTreeMap<String, Arc<Loaded>>>,
    gates: Gates,
    wasm: Wasm,
    luau: Luau,
    native: Native,
    services: Arc<Services>,
    limits: OperatorLimits,
    executor: Arc<Executor>,
}

impl Host {
    /// A host without plugins. `reads` is what their host functions read, `clock` what time it is for them.
    pub fn new(options: HostOptions, reads: Arc<dyn Reads>, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let executor = Arc::new(Executor::start(options.threads)?);
        let engine = Wasm::engine(&options)?;
        let ticking = engine.clone();
        let ticker = Arc::new(Ticker::start(move || ticking.increment_epoch())?);
        let http = Http::new(options.transport.clone());
        let services = Arc::new(Services { reads, clock, ids: IdGenerator::new(), http });
        Ok(Self(Arc::new(Inner {
            plugins: RwLock::default(),
            gates: Gates::default(),
            wasm: Wasm::new(engine, &options, executor.clone(), ticker.clone())?,
            luau: Luau::new(executor.clone(), ticker),
            native: Native::new(&options.cache_dir, options.native_allowed, executor.clone()),
            services,
            limits: options.limits,
            executor,
        })))
    }

    /// Loads a plugin, or replaces the one with the same id. `config` is the operator's, `null` for none; without
    /// `grants` the plugin gets what its manifest asks for but private addresses.
    pub async fn load(
        &self,
        package: Package,
        config: Value,
        grants: Option<Grants>,
    ) -> Result<PluginStatus, LoadError> {
        let prepared = self.prepare(package, config, grants).await?;
        self.put(prepared)
    }

    /// Does all of [`load`](Self::load) but putting the plugin into service.
    pub async fn prepare(
        &self,
        package: Package,
        config: Value,
        grants: Option<Grants>,
    ) -> Result<Prepared, LoadError> {
        let manifest = package.manifest();
        let id = manifest.id.clone();
        let grants = grants.unwrap_or_else(|| Grants::by_default(&manifest.permissions));
        let settings = match manifest.runtime {
            Runtime::Wasm | Runtime::Native => manifest.config.clone(),
            Runtime::Luau => {
                let limits = self.0.limits.lowered(&manifest.limits).interactive;
                self.0.luau.schema(&package, limits).await?
            }
        };
        let config = complete(&id, &settings, config)?;
        let declared = manifest.records.iter().map(|declaration| {
            let declared = RecordType::new(id.clone(), declaration.clone());
            declared
                .map(Arc::new)
                .map_err(|why| LoadError::Code { plugin: id.clone(), problem: why.to_string() })
        });
        let record_types = declared.collect::<Result<_, _>>()?;
        let scope = Arc::new(Scope {
            permissions: grants.effective(&manifest.permissions),
            config_text: config.to_string(),
            limits: self.0.limits.lowered(&manifest.limits),
            counters: Counters::default(),
            services: self.0.services.clone(),
            digest: package.digest().to_owned(),
            record_types,
            id: id.clone(),
            config,
        });
        let program: Box<dyn Program> = match manifest.runtime {
            Runtime::Wasm => Box::new(self.0.wasm.load(&package).await?),
            Runtime::Luau => self.0.luau.load(&package, &scope).await?,
            Runtime::Native => self.0.native.load(&package, &scope).await?,
        };
        let loaded = loaded::describe(program, scope, package, grants, settings.effective_schema()).await?;
        self.check_place(&self.0.plugins.read(), &loaded)?;
        Ok(Prepared(loaded))
    }

    /// Puts a prepared plugin into service in the place of the one with the same id; calls under way end on that one.
    pub fn put(&self, Prepared(loaded): Prepared) -> Result<PluginStatus, LoadError> {
        let mut plugins = self.0.plugins.write();
        self.check_place(&plugins, &loaded)?;
        let status = loaded.status();
        plugins.insert(loaded.scope.id.clone(), Arc::new(loaded));
        Ok(status)
    }

    /// Waits until no call of the plugin's hook or connector runs, and keeps new ones waiting while the answer lives.
    /// Fails when the calls under way do not end.
    pub async fn quiet(&self, plugin: &str) -> Result<Quiet, PluginError> {
        self.0.gates.close(plugin).await.ok_or_else(|| {
            let message = "calls under way do not end, try again later";
            loaded::named(plugin, Role::Migration, "upgrade", Failure::new(Fault::Timeout, message))
        })
    }

    /// Has the version that serves leave what it keeps as version `to` expects it; `None` when it does no such thing.
    /// Call it while the plugin is [`quiet`](Self::quiet).
    pub async fn downgrade(&self, plugin: &str, to: &str) -> Result<Option<Effects>, PluginError> {
        match self.find(plugin) {
            Some(loaded) => loaded.migrate("downgrade", to).await,
            None => Ok(None),
        }
    }

    /// Refuses what another plugin already does.
    fn check_place(&self, plugins: &BTreeMap<String, Arc<Loaded>>, loaded: &Loaded) -> Result<(), LoadError> {
        let id = &loaded.scope.id;
        let refuse = |problem: String| Err(LoadError::Code { plugin: id.clone(), problem });
        for (other, theirs) in plugins.iter().filter(|(other, _)| *other != id) {
            let taken = |metric: &&Metric| theirs.metrics.iter().any(|known| known.name == metric.name);
            if let Some(metric) = loaded.metrics.iter().find(taken) {
                return refuse(format!("the metric `{}` is already evaluated by {other}", metric.name));
            }
        }
        if plugins.len() >= PLUGINS_MAX && !plugins.contains_key(id) {
            return refuse(format!("{PLUGINS_MAX} plugins are loaded already"));
        }
        Ok(())
    }

    /// Takes a plugin out; calls under way end by themselves. Whether it was there.
    pub fn remove(&self, plugin: &str) -> bool {
        let was_there = self.0.plugins.write().remove(plugin).is_some();
        self.0.gates.forget(plugin);
        was_there
    }

    /// Switches a plugin on or off; switching on ends a quarantine. Whether it is there.
    pub fn set_enabled(&self, plugin: &str, enabled: bool) -> bool {
        let Some(loaded) = self.find(plugin) else { return false };
        loaded.enabled.store(enabled, Ordering::Relaxed);
        if enabled {
            loaded.breaker.reset();
        }
        true
    }

    /// All loaded plugins, by id.
    pub fn list(&self) -> Vec<PluginStatus> {
        self.0.plugins.read().values().map(|loaded| loaded.status()).collect()
    }

    /// One loaded plugin.
    pub fn status(&self, plugin: &str) -> Option<PluginStatus> {
        self.find(plugin).map(|loaded| loaded.status())
    }

    /// What each plugin's calls have cost since it was loaded, by id.
    pub fn stats(&self) -> Vec<PluginStats> {
        self.0.plugins.read().iter().map(|(id, loaded)| loaded.scope.counters.read(id)).collect()
    }

    /// Drives `work` on a thread of the plugins'. An evaluation that is driven from there hands its columns to the guest
    /// directly; driven from elsewhere, each batch is copied once more and changes threads twice. Work that nobody waits
    /// for any more is dropped.
    pub async fn drive<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.0.executor.drive(work).await
    }

    fn find(&self, plugin: &str) -> Option<Arc<Loaded>> {
        self.0.plugins.read().get(plugin).cloned()
    }
}

/// Fills in defaults and checks the operator's configuration.
fn complete(plugin: &str, settings: &Settings, config: Value) -> Result<Value, LoadError> {
    settings.complete(config).map_err(|faults| {
        let words: Vec<_> = faults.iter().map(ToString::to_string).collect();
        LoadError::Config { plugin: plugin.to_owned(), problem: words.join("; ") }
    })
}
