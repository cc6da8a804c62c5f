//! Installed extensions and workflow scripts, as the store keeps them.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PluginRecord {
    /// Unique id from its manifest, such as `kpi-clv`.
    pub id: String,
    /// Version from its manifest.
    pub version: String,
    /// `wasm` or `luau`.
    pub runtime: String,
    /// What it can do: `connector`, `hook`, `kpi`.
    pub capabilities: Vec<String>,
    /// SHA-256 of code and manifest, in hex.
    pub digest: String,
    /// The manifest as it was installed, in TOML.
    pub manifest: String,
    /// What the operator allowed, as JSON; never more than the manifest asks for.
    #[schema(value_type = Object)]
    pub grants: serde_json::Value,
    /// Its configuration, valid against the manifest's schema.
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
    /// Whether it is called.
    pub enabled: bool,
    /// Why it is not called, when the host took it out of service.
    pub fault: Option<String>,
    /// Digest of a version that asks for more than was granted and waits for the operator's consent; this one serves
    /// meanwhile.
    pub waiting: Option<String>,
    /// When it was installed.
    pub installed_at: Timestamp,
    /// Who signed the package that it was installed from, as far as that was verified.
    #[serde(default)]
    pub signed_by: Option<SignedBy>,
}

/// A publisher whose signature was verified with a key that the operator trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SignedBy {
    /// The key's id: sixteen hexadecimal digits, as minisign prints it.
    pub key: String,
    /// What the operator calls the publisher.
    pub name: String,
}

/// A version of a plugin that was installed at some time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PluginVersion {
    /// The plugin's id.
    pub plugin: String,
    /// Version from its manifest.
    pub version: String,
    /// SHA-256 of code and manifest, in hex.
    pub digest: String,
    /// The manifest as it was installed, in TOML.
    pub manifest: String,
    /// The configuration that it last served with, or was installed with.
    #[schema(value_type = Object)]
    pub config: serde_json::Value,
    /// Who signed the package that it was installed from, when that is somebody the operator trusts.
    pub signed_by: Option<SignedBy>,
    /// When it was installed.
    pub installed_at: Timestamp,
    /// When it last came into service; a version that waits for consent never has.
    pub served_at: Option<Timestamp>,
}

/// A workflow script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScriptRecord {
    /// Unique name, such as `win-back`.
    pub name: String,
    /// SHA-256 of the source, in hex: what a run is pinned to.
    pub digest: String,
    /// The Luau source.
    pub source: String,
    /// Whether it is in use.
    pub enabled: bool,
    /// When this version was deployed.
    pub deployed_at: Timestamp,
}
