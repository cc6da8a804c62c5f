//! `regard-plugins.lock`: which packages an installation runs, so that another one can run the very same.
//!
//! The file is made to be committed and compared: sorted by id, one key a line, no times.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use regard_host::package::signature::KeyId;
use serde::{Deserialize, Serialize};

use super::place::{is_address, replace};

/// The form that this module reads and writes.
const FORMAT: u32 = 1;
/// What stands above the pins.
const HEAD: &str =
    "# Written by `regard plugin install`. `regard plugin install --locked` installs exactly this.\n";

/// Where the lock file is.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct LockFlag {
    /// The file that pins what is installed.
    #[arg(long, env = "REGARD_PLUGINS_LOCK", value_name = "FILE", default_value = "regard-plugins.lock")]
    lock: PathBuf,
}

/// What one plugin is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    pub(super) id: String,
    pub(super) version: String,
    /// The package's digest.
    pub(super) digest: String,
    /// SHA-256 of the archive; a folder has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    /// The trusted key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<KeyId>,
    /// Where it came from: an address, or a path; one inside the lock file's folder is relative to that.
    pub(super) source: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    #[serde(default, rename = "plugin")]
    pins: Vec<Pin>,
}

impl LockFlag {
    /// All pins, by id; none when there is no file yet.
    pub(super) fn read(&self) -> Result<Vec<Pin>> {
        let text = match std::fs::read_to_string(&self.lock) {
            Ok(text) => text,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(why) => return Err(why).with_context(|| format!("cannot read {}", self.lock.display())),
        };
        let file: File =
            toml::from_str(&text).with_context(|| format!("{} is no lock file", self.lock.display()))?;
        let (path, format) = (self.lock.display(), file.format);
        ensure!(format == FORMAT, "{path} has format {format}, this version of regard reads {FORMAT}");
        Ok(file.pins)
    }

    /// Pins a plugin, in place of what it was pinned to.
    pub(super) fn put(&self, pin: Pin) -> Result<()> {
        let mut pins = self.read()?;
        pins.retain(|known| known.id != pin.id);
        pins.push(pin);
        self.write(pins)
    }

    /// Pins a plugin no more.
    pub(super) fn forget(&self, id: &str) -> Result<()> {
        let mut pins = self.read()?;
        let count = pins.len();
        pins.retain(|known| known.id != id);
        if pins.len() == count { Ok(()) } else { self.write(pins) }
    }

    fn write(&self, mut pins: Vec<Pin>) -> Result<()> {
        pins.sort_by(|left, right| left.id.cmp(&right.id));
        let text = toml::to_string(&File { format: FORMAT, pins })?;
        replace(&self.lock, format!("{HEAD}{text}").as_bytes())
    }

    /// How the lock file names a source: an address as it is, a path so that it survives moving the whole folder.
    pub(super) fn name(&self, source: &str) -> Result<String> {
        if is_address(source) {
            return Ok(source.to_owned());
        }
        let whole = Path::new(source).canonicalize().with_context(|| format!("cannot find {source}"))?;
        let here = self.folder().canonicalize().unwrap_or_default();
        Ok(whole.strip_prefix(&here).unwrap_or(&whole).to_string_lossy().into_owned())
    }

    /// The other way round.
    pub(super) fn find(&self, source: &str) -> String {
        if is_address(source) {
            return source.to_owned();
        }
        self.folder().join(source).to_string_lossy().into_owned()
    }

    fn folder(&self) -> PathBuf {
        match self.lock.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }
}

impl std::fmt::Display for LockFlag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lock.display().fmt(f)
    }
}
