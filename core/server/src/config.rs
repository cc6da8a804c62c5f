//! Where data lives and what the server listens on.
//!
//! A value comes from the first of these that has it: flag, environment (`REGARD_*`), `regard.toml` in the working folder,
//! default. The command line reads flags and environment; this module adds the file and the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// The configuration file, looked for in the working folder.
pub const FILE: &str = "regard.toml";
/// Where the embedded store lives unless told otherwise.
const DATA_DIR: &str = "data";
/// Hexadecimal digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;
/// Loopback: who wants to serve a network says so.
const LISTEN: &str = "127.0.0.1:8420";

/// Flags that most commands share.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Place {
    /// Folder of the embedded store, of plugin caches and of the secret key.
    #[arg(long, env = "REGARD_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// A PostgreSQL database instead of the embedded store.
    #[arg(long, env = "REGARD_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Digest of a package whose native library may be loaded; may be repeated, or separated by commas. A native library
    /// runs unprotected.
    #[arg(long, env = "REGARD_ALLOW_NATIVE", value_name = "DIGEST", value_delimiter = ',')]
    pub allow_native: Vec<String>,
}

/// Flags of commands that can go through a running server.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Reach {
    #[command(flatten)]
    /// Where the data is, for working on it directly.
    pub place: Place,
    /// A running server to go through, such as http://127.0.0.1:8420.
    #[arg(long, env = "REGARD_SERVER", value_name = "URL", requires = "token")]
    pub server: Option<String>,
    /// Bearer token for the server.
    #[arg(long, env = "REGARD_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// `regard.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    database_url: Option<String>,
    listen: Option<SocketAddr>,
    #[serde(default)]
    native: Native,
    #[serde(default)]
    plugins: Plugins,
}

/// `[native]` of `regard.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Native {
    #[serde(default)]
    allow: Vec<String>,
}

/// `[plugins]` in `regard.toml`: whose plugins are installed, and where they are looked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {
    /// Whether only packages are installed that a trusted publisher signed.
    #[serde(default)]
    pub require_signatures: bool,
    /// The index that names are looked up in, unless a command says `--index`.
    pub index: Option<String>,
    /// Trusted publishers: what the operator calls them, and their minisign public keys.
    #[serde(default)]
    pub publishers: BTreeMap<String, String>,
}

impl Plugins {
    /// What `regard.toml` in the working folder says.
    pub fn read() -> Result<Self> {
        Ok(read(Path::new(FILE))?.plugins)
    }
}

/// Every value, settled.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the embedded store, of plugin caches and of the secret key.
    pub data_dir: PathBuf,
    /// A PostgreSQL database instead of the embedded store.
    pub database_url: Option<String>,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Digests of packages whose native libraries may be loaded.
    pub native_allowed: BTreeSet<String>,
    /// Whose plugins are installed.
    pub plugins: Plugins,
}

impl Config {
    /// Settles every value.
    pub fn settle(place: &Place, listen: Option<SocketAddr>) -> Result<Self> {
        let file = read(Path::new(FILE))?;
        let allowed =
            if place.allow_native.is_empty() { file.native.allow } else { place.allow_native.clone() };
        Ok(Self {
            data_dir: place.data_dir.clone().or(file.data_dir).unwrap_or_else(|| DATA_DIR.into()),
            database_url: place.database_url.clone().or(file.database_url),
            listen: match listen.or(file.listen) {
                Some(address) => address,
                None => LISTEN.parse().context("the default address")?,
            },
            native_allowed: allowed.iter().map(|digest| checked(digest)).collect::<Result<_>>()?,
            plugins: file.plugins,
        })
    }
}

/// A digest as packages have it; a misspelt one would silently allow nothing.
fn checked(digest: &str) -> Result<String> {
    let digest = digest.trim().to_ascii_lowercase();
    if digest.len() != DIGEST_DIGITS || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("`{digest}` is no digest of a native plugin: it has {DIGEST_DIGITS} hexadecimal digits");
    }
    Ok(digest)
}

fn read(path: &Path) -> Result<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("{} is wrong", path.display())),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(why) => Err(why).with_context(|| format!("cannot read {}", path.display())),
    }
}
