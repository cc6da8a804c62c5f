//! `plugin.toml`: what a plugin is, what it can do and what it asks for.
//!
//! Reading order: [`Manifest`], then [`permissions`] (what it asks the operator for) with [`fields`], [`limits`] (what it
//! needs to run), [`settings`] (its configuration schema), [`subscribe`] (the events a hook wants) and [`schedules`] (when
//! it wants to be called), [`records`] (the types of records it declares), [`contract`] (which versions of the contract
//! there are) and [`component`] (whether a built component keeps to all that).
//!
//! A manifest is a request, never a grant: the operator's grant is kept elsewhere, and what counts is the
//! narrower of the two. Unknown keys are errors, so that a misspelt permission cannot be overlooked. Every
//! error names the file, the key and how to mend it.
//!
//! ```toml
//! id = "kpi-clv"
//! name = "Customer lifetime value"
//! version = "0.1.0"
//! contract = "0.1.0"
//! runtime = "wasm"
//! capabilities = ["kpi"]
//! ```

pub mod component;
pub mod contract;
pub mod error;
pub mod fields;
pub mod limits;
pub mod permissions;
pub mod records;
pub mod schedules;
pub mod settings;
pub mod subscribe;

use std::collections::BTreeSet;
use std::env::consts::DLL_SUFFIX;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use regard_model::ScheduleDeclaration;
use regard_model::record::RecordDeclaration;
use semver::Version;
use serde::{Deserialize, Serialize};

pub use contract::ContractLine;
pub(crate) use error::Fault;
pub use error::ManifestError;
pub use fields::CustomerFields;
pub use limits::Limits;
pub use permissions::{
    CustomerAccess, HostPattern, InteractionAccess, MetricAccess, Permissions, RecordAccess,
};
pub use settings::{SettingFault, Settings};
pub use subscribe::{EventKind, Subscription};

/// The manifest's file name inside a plugin's folder or package.
pub const MANIFEST_FILE: &str = "plugin.toml";
/// The version of the contract (`sdk/wit`) that this host speaks.
pub const CONTRACT: Version = Version::new(0, 1, 0);
/// A manifest is a page of settings; anything larger is a mistake or an attack on the parser.
pub const MANIFEST_BYTES_MAX: u64 = 256 * 1024;
/// Ids become folder names, metric labels and URL segments; 64 characters fit all of them.
pub const ID_CHARS_MAX: usize = 64;
/// How an id is written.
const ID_RULE: &str = "use lower-case letters, digits and single hyphens, such as `kpi-clv`";

/// A parsed and checked `plugin.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Kebab-case name, unique on one installation; by convention it starts with the capability
    /// (`kpi-clv`, `connector-webhook`, `hook-welcome`).
    pub id: String,
    /// The name people read.
    pub name: String,
    /// The plugin's own version.
    pub version: Version,
    /// The version of the contract in `sdk/wit` that the plugin was written against.
    pub contract: Version,
    /// What executes the plugin.
    pub runtime: Runtime,
    /// The file to run, relative to the plugin's folder; see [`Manifest::entry`] for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<PathBuf>,
    /// One or two sentences for the plugin list.
    #[serde(default)]
    pub description: String,
    /// The capabilities that the plugin exports; at least one.
    pub capabilities: BTreeSet<Capability>,
    /// What the plugin asks the operator for; nothing by default.
    #[serde(default)]
    pub permissions: Permissions,
    /// What the plugin needs to run; the operator's limits win where they are lower.
    #[serde(default)]
    pub limits: Limits,
    /// The plugin's own configuration, the same for all calls.
    #[serde(default)]
    pub config: Settings,
    /// The settings of each channel that a connector serves.
    #[serde(default)]
    pub channel: Settings,
    /// The events that a hook wants; without any, a hook is never called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<Subscription>,
    /// When a hook wants to be called for no other reason than the time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<ScheduleDeclaration>,
    /// The types of records that the plugin declares; it may work with them without asking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordDeclaration>,
}

/// What executes a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// A WebAssembly component.
    Wasm,
    /// A Luau package.
    Luau,
    /// A shared library that the operator trusts.
    Native,
}

/// A set of functions that a plugin exports, one WIT package each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// `regard:connector`: a channel's way in and out.
    Connector,
    /// `regard:hook`: reacts to what happened.
    Hook,
    /// `regard:kpi`: computes metrics.
    Kpi,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasm => "wasm",
            Self::Luau => "luau",
            Self::Native => "native",
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connector => "connector",
            Self::Hook => "hook",
            Self::Kpi => "kpi",
        })
    }
}

impl Manifest {
    /// Reads and checks `plugin.toml` in `folder`.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let file = folder.join(MANIFEST_FILE);
        let fault = |problem: String, mend: &str| ManifestError::new(&file, "", problem, mend);
        let bytes = std::fs::metadata(&file)
            .map_err(|e| fault(e.to_string(), "a plugin's folder holds a readable plugin.toml"))?
            .len();
        if bytes > MANIFEST_BYTES_MAX {
            return Err(fault(format!("{bytes} bytes long"), "keep it below 262144 bytes"));
        }
        let text =
            std::fs::read_to_string(&file).map_err(|e| fault(e.to_string(), "write it as UTF-8 text"))?;
        Self::parse(&text, &file)
    }

    /// Parses and checks a manifest's text; `file` only serves the error messages.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|e| ManifestError::from_toml(file, text, &e))?;
        manifest.check().map_err(|fault| fault.in_file(file))?;
        Ok(manifest)
    }

    /// The file to run, relative to the plugin's folder: `entry`, or `handler.luau` for Luau and what
    /// `regard plugin build` writes for the others: `<id>.wasm` for WebAssembly, `<id>.so`, `<id>.dylib` or `<id>.dll`
    /// for a native library, whatever this platform has.
    pub fn entry(&self) -> PathBuf {
        match (&self.entry, self.runtime) {
            (Some(entry), _) => entry.clone(),
            (None, Runtime::Luau) => PathBuf::from("handler.luau"),
            (None, Runtime::Wasm) => PathBuf::from(format!("{}.wasm", self.id)),
            (None, Runtime::Native) => PathBuf::from(format!("{}{DLL_SUFFIX}", self.id)),
        }
    }

    /// Whether the plugin exports `capability`.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// What serde cannot say: relations between keys and the shape of names.
    fn check(&self) -> Result<(), Fault> {
        check_id(&self.id)?;
        if self.name.trim().is_empty() {
            return Err(Fault::new("name", "is empty", "give the name that people read"));
        }
        if !contract_supported(&self.contract) {
            return Err(Fault::new(
                "contract",
                format!("{} is not supported by this host", self.contract),
                format!(
                    "build against contract {CONTRACT}, or run the plugin on a host that speaks {}",
                    self.contract
                ),
            ));
        }
        if let Some(entry) = &self.entry
            && !is_inside(entry)
        {
            return Err(Fault::new(
                "entry",
                format!("`{}` leaves the plugin's folder", entry.display()),
                "name a file inside it, without `..` and without a leading `/`",
            ));
        }
        if self.capabilities.is_empty() {
            return Err(Fault::new("capabilities", "is empty", "name at least one of connector, hook, kpi"));
        }
        if !self.subscribe.is_empty() && !self.can(Capability::Hook) {
            return Err(Fault::new(
                "subscribe",
                "is given, but only hooks receive events",
                "add \"hook\" to capabilities or remove [[subscribe]]",
            ));
        }
        for (at, subscription) in self.subscribe.iter().enumerate() {
            subscription.check().map_err(|fault| fault.under(&format!("subscribe[{at}]")))?;
        }
        schedules::check(self)?;
        if !self.channel.is_empty() && !self.can(Capability::Connector) {
            return Err(Fault::new(
                "channel",
                "is given, but only connectors serve channels",
                "add \"connector\" to capabilities or move the schema to [config]",
            ));
        }
        records::check(&self.id, &self.records)?;
        self.permissions.check().map_err(|fault| fault.under("permissions"))?;
        self.limits.check().map_err(|fault| fault.under("limits"))?;
        self.config.check().map_err(|fault| fault.under("config"))?;
        self.channel.check().map_err(|fault| fault.under("channel"))
    }
}

/// Whether this host runs plugins written against `contract`: see [`ContractLine`].
pub fn contract_supported(contract: &Version) -> bool {
    ContractLine::of(contract).is_some()
}

/// Refuses what is no plugin's id, with the rule.
pub fn check_id(id: &str) -> Result<(), IdError> {
    let words_are_kebab = id
        .split('-')
        .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    if words_are_kebab && id.starts_with(|c: char| c.is_ascii_lowercase()) && id.len() <= ID_CHARS_MAX {
        return Ok(());
    }
    Err(IdError(id.to_owned()))
}

/// An id that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kebab-case name of at most {ID_CHARS_MAX} characters; {ID_RULE}")]
pub struct IdError(String);

impl From<IdError> for Fault {
    fn from(IdError(id): IdError) -> Self {
        let problem = format!("`{id}` is not a kebab-case name of at most {ID_CHARS_MAX} characters");
        Self::new("id", problem, ID_RULE)
    }
}

fn is_inside(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "id = \"kpi-clv\"\nname = \"Lifetime value\"\nversion = \"0.1.0\"\n\
        contract = \"0.1.0\"\nruntime = \"wasm\"\ncapabilities = [\"kpi\"]\n";

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(text, Path::new("plugins/kpi-clv/plugin.toml"))
    }

    fn check(text: &str, message: &str) {
        let error = parse(text).expect_err("the manifest must be refused").to_string();
        assert_eq!(error, format!("plugins/kpi-clv/plugin.toml: {message}"));
    }

    #[test]
    fn a_minimal_manifest_asks_for_nothing() {
        let manifest = parse(MINIMAL).expect("minimal manifest");
        assert_eq!(manifest.entry(), Path::new("kpi-clv.wasm"));
        assert_eq!(manifest.permissions, Permissions::default());
        assert!(manifest.can(Capability::Kpi) && !manifest.can(Capability::Hook));
    }

    #[test]
    fn a_manifest_survives_a_round_trip() {
        let text = format!(
            "{MINIMAL}[permissions]\nhosts = [\"api.example.com\"]\ncustomers = \"read\"\n[limits]\nmemory_mb = 128\n\
             [config.schema]\ntype = \"object\"\n[config.schema.properties.margin]\ntype = \"number\"\ndefault = 0.5\n"
        );
        let manifest = parse(&text).expect("manifest");
        let again = parse(&toml::to_string(&manifest).expect("serialise")).expect("parse again");
        assert_eq!(again, manifest);
    }

    #[test]
    fn luau_runs_its_handler() {
        let manifest = parse(&MINIMAL.replace("wasm", "luau")).expect("luau manifest");
        assert_eq!(manifest.entry(), Path::new("handler.luau"));
    }

    #[test]
    fn a_library_is_named_as_the_platform_does() {
        let manifest = parse(&MINIMAL.replace("wasm", "native")).expect("native manifest");
        assert_eq!(manifest.entry(), PathBuf::from(format!("kpi-clv{DLL_SUFFIX}")));
    }

    #[test]
    fn errors_name_file_key_and_mend() {
        check(
            &MINIMAL.replace("kpi-clv", "KPI_clv"),
            "`id` `KPI_clv` is not a kebab-case name of at most 64 characters; \
             use lower-case letters, digits and single hyphens, such as `kpi-clv`",
        );
        check(
            &MINIMAL.replace("contract = \"0.1.0\"", "contract = \"0.2.0\""),
            "`contract` 0.2.0 is not supported by this host; \
             build against contract 0.1.0, or run the plugin on a host that speaks 0.2.0",
        );
        check(
            &format!("entry = \"../x.wasm\"\n{MINIMAL}"),
            "`entry` `../x.wasm` leaves the plugin's folder; \
             name a file inside it, without `..` and without a leading `/`",
        );
        check(
            &format!("{MINIMAL}[permissions]\nhosts = [\"https://a.example\"]\n"),
            "`permissions.hosts[0]` `https://a.example` is not a host; \
             write a lower-case name such as `api.example.com`, `*.example.com`, `*` or `name:port`",
        );
        check(
            &format!("{MINIMAL}[[subscribe]]\nevent = \"customer.changed\"\n"),
            "`subscribe` is given, but only hooks receive events; \
             add \"hook\" to capabilities or remove [[subscribe]]",
        );
    }

    #[test]
    fn a_misspelt_key_is_an_error_with_its_line() {
        let error = parse(&format!("{MINIMAL}[permissions]\nhots = []\n")).expect_err("unknown key");
        assert_eq!(error.key, "hots");
        assert!(error.problem.contains("unknown field `hots`"), "{error}");
        assert_eq!(error.mend, "correct or remove the key on line 8");
    }

    #[test]
    fn contracts_of_the_same_line_are_supported() {
        assert!(contract_supported(&CONTRACT));
        assert!(!contract_supported(&Version::new(0, 1, 1)));
        assert!(!contract_supported(&Version::new(1, 0, 0)));
    }
}
