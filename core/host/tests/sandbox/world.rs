//! A small world for plugins: a store in memory, a clock that stands, and a host with tight bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use regard_engine::StoreError;
use regard_engine::ports::{Clock, Event, InteractionFilter, Reads, RecordPlace, RecordQuery};
use regard_host::build::{self, BuildOptions, Built, build_plugin};
use regard_host::{CallLimits, Grants, Host, HostOptions, Manifest, OperatorLimits, Package, PluginStatus};
use regard_model::customer::CustomerKind;
use regard_model::interaction::Provenance;
use regard_model::{
    Attributes, Channel, ChannelId, Customer, CustomerId, Identifier, Interaction, InteractionId,
    LifecycleStage, Observation, Record, RecordId, RecordType, Subject, Timestamp,
};
use serde_json::{Value, json};

/// The instant at which the world stands.
pub const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);

/// All runtimes, for checks that hold for each.
pub const RUNTIMES: [Runtime; 3] = [Runtime::Wasm, Runtime::Luau, Runtime::Native];
/// Those that can be stopped, for checks of computing and memory.
pub const SANDBOXED: [Runtime; 2] = [Runtime::Wasm, Runtime::Luau];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Wasm,
    Luau,
    Native,
}

/// Digests of the native packages that tests have made.
static ALLOWED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What the store holds.
#[derive(Default)]
pub struct Stored {
    pub customers: Mutex<BTreeMap<CustomerId, Customer>>,
    pub secrets: Mutex<BTreeMap<String, String>>,
    pub audit: Mutex<Vec<(String, String, Attributes)>>,
    pub record_types: Mutex<BTreeMap<String, Arc<RecordType>>>,
    pub records: Mutex<BTreeMap<RecordId, Record>>,
    /// Oldest first.
    pub interactions: Mutex<Vec<Interaction>>,
    pub observations: Mutex<Vec<Observation>>,
    /// By plugin and key.
    pub kept: Mutex<BTreeMap<(String, String), Vec<u8>>>,
}

#[async_trait]
impl Reads for Stored {
    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        Ok(self.customers.lock().get(&id).cloned())
    }

    async fn customer_by(&self, identifier: &Identifier) -> Result<Option<Customer>, StoreError> {
        let customers = self.customers.lock();
        Ok(customers.values().find(|customer| customer.identifiers.contains(identifier)).cloned())
    }

    async fn interactions(
        &self,
        filter: &InteractionFilter,
        before: Option<(Timestamp, InteractionId)>,
        limit: usize,
    ) -> Result<Vec<Interaction>, StoreError> {
        let interactions = self.interactions.lock();
        let wanted = interactions.iter().rev().filter(|interaction| {
            filter.customer.is_none_or(|customer| interaction.customer == Some(customer))
                && filter.kind.as_deref().is_none_or(|kind| interaction.kind.as_str() == kind)
                && before.is_none_or(|before| (interaction.occurred_at, interaction.id) < before)
        });
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn latest(&self, metric: &str, subject: Subject) -> Result<Option<Observation>, StoreError> {
        let observations = self.observations.lock();
        let fits = |known: &&Observation| known.metric == metric && known.subject == subject;
        Ok(observations.iter().rev().find(fits).cloned())
    }

    async fn record_type(&self, kind: &str) -> Result<Option<Arc<RecordType>>, StoreError> {
        Ok(self.record_types.lock().get(kind).cloned())
    }

    async fn record(&self, kind: &str, id: RecordId) -> Result<Option<Record>, StoreError> {
        Ok(self.records.lock().get(&id).filter(|record| record.kind == kind).cloned())
    }

    async fn records(
        &self,
        query: &RecordQuery,
        after: Option<&RecordPlace>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let records = self.records.lock();
        let wanted = records.values().rev().filter(|record| {
            record.kind == query.kind
                && after.is_none_or(|after| record.id < after.id)
                && query.customer.is_none_or(|customer| record.customer_id == Some(customer))
                && query.equal.iter().all(|(field, value)| record.data.get(field) == Some(value))
        });
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn kept(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept.lock().get(&(plugin.to_owned(), key.to_owned())).cloned())
    }

    async fn kept_keys(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let kept = self.kept.lock();
        let keys = kept.keys().filter(|(keeper, key)| {
            keeper == plugin && key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        Ok(keys.map(|(_, key)| key.clone()).take(limit).collect())
    }

    async fn kept_bytes(&self, _: &str) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn secret(&self, _: &str, _: Option<ChannelId>, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.secrets.lock().get(name).cloned())
    }

    async fn audit(&self, actor: &str, action: &str, _: &str, details: Attributes) -> Result<(), StoreError> {
        self.audit.lock().push((actor.to_owned(), action.to_owned(), details));
        Ok(())
    }
}

/// A clock that is moved by hand.
pub struct HandClock(pub Mutex<Timestamp>);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

pub struct World {
    pub host: Host,
    pub stored: Arc<Stored>,
    pub clock: Arc<HandClock>,
}

/// Longest call: far beyond what the bound of computing lets a plugin have, even where its thread stands back behind a
/// whole build. What a call may take by the clock has tests of its own.
pub const CALL: Duration = Duration::from_secs(60);
/// Longest that a call may compute beyond its bound: some ticks of the clock that stops it.
pub const LATE: Duration = Duration::from_millis(100);

/// Bounds so tight that a test meets them in a moment.
pub fn limits() -> OperatorLimits {
    let interactive = CallLimits {
        memory_bytes: 48 << 20,
        call: CALL,
        cpu: Duration::from_millis(300),
        output_rows: 1_000,
        output_bytes: 2 << 20,
        log_lines: 50,
        log_bytes: 10_000,
        host_calls: 200,
        effect_bytes: 4 << 20,
        http_requests: 20,
        http_bytes: 1 << 20,
        kept_bytes: 8 << 20,
        calls_per_instance: 100,
    };
    OperatorLimits { interactive, evaluation: CallLimits { output_bytes: 8 << 20, ..interactive } }
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// All worlds share one folder for compiled code, so that the fixture is compiled once. They allow the native packages
    /// that were made before them.
    pub fn with(change: impl FnOnce(&mut HostOptions)) -> Self {
        let stored = Arc::new(Stored::default());
        let clock = Arc::new(HandClock(Mutex::new(NOW)));
        let mut options = HostOptions::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("regard-host"));
        options.limits = limits();
        options.native_allowed = ALLOWED.lock().clone();
        change(&mut options);
        let host = Host::new(options, stored.clone(), clock.clone()).expect("a host");
        Self { host, stored, clock }
    }

    /// A world with the hostile plugin.
    pub async fn hostile(runtime: Runtime) -> Self {
        let package = hostile(runtime);
        let world = Self::new();
        world.load(package).await;
        world
    }

    /// How long the plugin has computed in its hook.
    pub fn computed(&self, plugin: &str) -> Duration {
        let stats = self.host.stats();
        let of_plugin = stats.iter().find(|stats| stats.plugin == plugin).expect("its counters");
        of_plugin.calls.iter().find(|one| one.call == "handle").expect("a call").computed
    }

    pub async fn load(&self, package: Package) -> PluginStatus {
        self.host.load(package, Value::Null, None).await.expect("the plugin loads")
    }

    pub async fn load_with(&self, package: Package, config: Value, grants: Option<Grants>) -> PluginStatus {
        self.host.load(package, config, grants).await.expect("the plugin loads")
    }

    pub fn customer(&self, number: i64, name: &str) -> CustomerId {
        let id = CustomerId::from_i64(number);
        let customer = Customer {
            id,
            kind: CustomerKind::Person,
            name: name.to_owned(),
            stage: LifecycleStage::Prospect,
            tags: Default::default(),
            attributes: Attributes::new(),
            identifiers: Vec::new(),
            source: "test".to_owned(),
            version: 1,
            created_at: NOW,
            updated_at: NOW,
        };
        self.stored.customers.lock().insert(id, customer);
        id
    }
}

/// An interaction whose kind tells the hostile plugin what to do.
pub fn event(how: &str) -> Event {
    event_with(how, None, Attributes::new())
}

pub fn event_with(how: &str, customer: Option<CustomerId>, attributes: Attributes) -> Event {
    Event::InteractionAppended(Interaction {
        id: InteractionId::from_i64(1),
        customer,
        channel: "shop".to_owned(),
        external_id: "1".to_owned(),
        kind: format!("test.{how}").parse().expect("a kind"),
        occurred_at: NOW,
        received_at: NOW,
        thread: None,
        amount: None,
        attributes,
        provenance: Provenance::By,
        causation_id: None,
    })
}

pub fn channel(connector: &str) -> Channel {
    Channel {
        id: ChannelId::from_i64(1),
        name: "shop".to_owned(),
        kind: "shop".to_owned(),
        connector: Some(connector.to_owned()),
        settings: Attributes::from([("url", json!("https://example.com"))]),
        enabled: true,
        created_at: NOW,
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plugins").join(name)
}

pub fn hostile(runtime: Runtime) -> Package {
    hostile_with(runtime, |manifest| manifest)
}

/// The hostile plugin with another manifest.
pub fn hostile_with(runtime: Runtime, change: impl FnOnce(String) -> String) -> Package {
    let package = match runtime {
        Runtime::Luau => Package::from_folder(&fixture("hostile-luau")).expect("the Luau fixture"),
        Runtime::Wasm => built().clone(),
        Runtime::Native => built_native().clone(),
    };
    let manifest = change(package.manifest_text().to_owned());
    let package = Package::from_parts(Path::new("hostile/plugin.toml"), manifest, package.files().clone());
    allowed(package.expect("a package"))
}

/// The package, which worlds that are made from now on allow.
pub fn allowed(package: Package) -> Package {
    ALLOWED.lock().insert(package.digest().to_owned());
    package
}

/// The hostile component, compiled once per run of the tests.
fn built() -> &'static Package {
    static BUILT: OnceLock<Package> = OnceLock::new();
    BUILT.get_or_init(|| component(&fixture("hostile")))
}

/// The same source as a native library.
fn built_native() -> &'static Package {
    static BUILT: OnceLock<Package> = OnceLock::new();
    BUILT.get_or_init(|| library(&fixture("hostile")))
}

/// The plugin in `folder`, built as its manifest says.
pub fn component(folder: &Path) -> Package {
    let out = tempfile::tempdir().expect("a folder");
    let built = build_plugin(folder, &BuildOptions::new(out.path()), &mut |line| eprintln!("{line}"));
    packed(folder, |manifest| manifest, &built.expect("the plugin compiles"))
}

/// The plugin in `folder`, built as a native library, whatever its manifest says.
pub fn library(folder: &Path) -> Package {
    let as_native = |manifest: String| manifest.replace("runtime = \"wasm\"", "runtime = \"native\"");
    let out = tempfile::tempdir().expect("a folder");
    let manifest = as_native(std::fs::read_to_string(folder.join("plugin.toml")).expect("the manifest"));
    let manifest = Manifest::parse(&manifest, Path::new("plugin.toml")).expect("a manifest");
    let options = BuildOptions::new(out.path());
    let built = build::native::build(folder, manifest, &options, &mut |line| eprintln!("{line}"));
    allowed(packed(folder, as_native, &built.expect("the plugin compiles")))
}

fn packed(folder: &Path, change: impl FnOnce(String) -> String, built: &Built) -> Package {
    let text = change(std::fs::read_to_string(folder.join("plugin.toml")).expect("the manifest"));
    let code = std::fs::read(&built.component).expect("what was built");
    let entry = built.manifest.entry().to_string_lossy().into_owned();
    let file = PathBuf::from(format!("{}/plugin.toml", built.manifest.id));
    Package::from_parts(&file, text, BTreeMap::from([(entry, code)])).expect("a package")
}
