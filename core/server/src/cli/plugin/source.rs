//! From what a command names (a folder, a package, a plugin in an index) to a package and where it came from.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regard_host::package::archive::{ARCHIVE_BYTES_MAX, EXTENSION};
use regard_host::package::index::{Entry, INDEX_BYTES_MAX, Index, Wanted};
use regard_host::package::signature::{KeyId, SIGNATURE_BYTES_MAX, SUFFIX, Signature};
use regard_host::{Archive, Package};
use semver::VersionReq;
use serde_json::{Map, Value, json};

use super::lock::{LockFlag, Pin};
use super::place::{Place, is_address};
use crate::bundled;
use crate::cli::Output;
use crate::config::{FILE, Plugins};

/// How `--accept-key` says that a package need not be signed any more.
const NO_KEY: &str = "none";

/// Where an index is.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct IndexFlag {
    /// Address or folder of the index in which names are looked up; else `index` under [plugins] in regard.toml.
    #[arg(long, env = "REGARD_INDEX", value_name = "URL")]
    index: Option<String>,
}

impl IndexFlag {
    /// The index, and where what it names is.
    pub(super) async fn open(&self) -> Result<(Index, Place)> {
        let configured = match &self.index {
            Some(index) => Some(index.clone()),
            None => Plugins::read()?.index,
        };
        let index = configured.with_context(|| {
            format!("no index is known: give --index URL, or `index` under [plugins] in {FILE}")
        })?;
        let (place, name) = Place::of_index(&index)?;
        let bytes = place.read(&name, INDEX_BYTES_MAX).await?;
        Ok((Index::parse(&bytes)?, place))
    }
}

/// Flags of a command that installs.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Choice {
    #[command(flatten)]
    index: IndexFlag,
    /// Install exactly what the lock file says and refuse what differs; without a package, everything in it.
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    lock: LockFlag,
    /// Take a package that is signed by this key, although another one is pinned; `none` for one without a signature.
    #[arg(long, value_name = "KEYID")]
    accept_key: Option<String>,
}

/// A package, and where it came from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) package: Package,
    pub(super) sealed: Option<Sealed>,
    /// Path or address.
    source: String,
    /// The key that must have signed it, whatever the server's policy.
    wanted: Option<KeyId>,
}

/// An archive as it came.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: String,
    pub(super) signature: Option<String>,
    /// The key that the signature names; whether it is by that key is for the server to say.
    pub(super) named: Option<KeyId>,
}

impl Choice {
    /// The package that is to be installed: found, and held against the lock file.
    pub(super) async fn find(&self, what: &str, output: Output) -> Result<Found> {
        let pins = self.lock.read()?;
        if is_direct(what) {
            return self.hold(&pins, open(what, output).await?);
        }
        let wanted = Wanted::parse(what)?;
        if !self.locked {
            return self.hold(&pins, self.look_up(&wanted).await?);
        }
        let pin = pins.iter().find(|pin| pin.id == wanted.id).with_context(|| self.unknown(&wanted.id))?;
        // Without a range everything will do, prereleases too: the file says which.
        let fits = wanted.range == VersionReq::STAR
            || pin.version.parse().is_ok_and(|version| wanted.range.matches(&version));
        let Pin { id, version, .. } = pin;
        ensure!(fits, "{} pins {id} {version}, which is not within `{}`", self.lock, wanted.range);
        self.hold(&pins, open(&self.lock.find(&pin.source), output).await?)
    }

    /// Everything that the lock file pins.
    pub(super) async fn find_all(&self, output: Output) -> Result<Vec<Found>> {
        ensure!(
            self.locked,
            "name what to install: a folder, a .{EXTENSION} file or a plugin's id; or give --locked"
        );
        let pins = self.lock.read()?;
        ensure!(!pins.is_empty(), "{} pins nothing", self.lock);
        let mut all = Vec::new();
        for pin in &pins {
            all.push(self.hold(&pins, open(&self.lock.find(&pin.source), output).await?)?);
        }
        Ok(all)
    }

    /// Refuses what the lock file does not allow.
    fn hold(&self, pins: &[Pin], mut found: Found) -> Result<Found> {
        let id = &found.package.manifest().id;
        let pin = pins.iter().find(|pin| pin.id == *id);
        if self.locked {
            self.compare(pin.with_context(|| self.unknown(id))?, &found)?;
        }
        found.wanted = self.key_of(pin, &found)?;
        Ok(found)
    }

    fn unknown(&self, id: &str) -> String {
        format!("{} has no {id}; install it without --locked first", self.lock)
    }

    /// Pins what was installed. `record` is the server's answer.
    pub(super) fn pin(&self, found: &Found, record: &Value) -> Result<()> {
        let manifest = found.package.manifest();
        let key = record["signed_by"]["key"].as_str().map(str::parse).transpose()?;
        self.lock
            .put(Pin {
                id: manifest.id.clone(),
                version: manifest.version.to_string(),
                digest: found.package.digest().to_owned(),
                sha256: found.sealed.as_ref().map(|sealed| sealed.sha256.clone()),
                key,
                source: self.lock.name(&found.source)?,
            })
            .with_context(|| format!("{} is installed, but not pinned", manifest.id))
    }

    async fn look_up(&self, wanted: &Wanted) -> Result<Found> {
        let (index, place) = self.index.open().await?;
        let entry = index.choose(wanted)?;
        let bytes = place.read(&entry.url, ARCHIVE_BYTES_MAX).await?;
        let source = place.locate(&entry.url)?;
        check_bytes(entry, &bytes, &source)?;
        let signature = match &entry.signature {
            Some(name) => Some(text(place.read(name, SIGNATURE_BYTES_MAX).await?, name)?),
            None => None,
        };
        let found = Found::sealed(bytes, signature, source.clone())?;
        let (manifest, digest) = (found.package.manifest(), found.package.digest());
        let says_the_same =
            (&manifest.id, &manifest.version, digest) == (&entry.id, &entry.version, entry.digest.as_str());
        ensure!(
            says_the_same,
            "{source} is {} {}, the index says something else",
            manifest.id,
            manifest.version
        );
        Ok(found)
    }

    /// Refuses what is not to the bit what was pinned.
    fn compare(&self, pin: &Pin, found: &Found) -> Result<()> {
        let sha256 = found.sealed.as_ref().map(|sealed| &sealed.sha256);
        let manifest = found.package.manifest();
        for (what, pinned, here) in [
            ("version", Some(&pin.version), Some(&manifest.version.to_string())),
            ("digest", Some(&pin.digest), Some(&found.package.digest().to_owned())),
            ("sha256", pin.sha256.as_ref(), sha256),
        ] {
            let none = "none".to_owned();
            let (pinned, here) = (pinned.unwrap_or(&none), here.unwrap_or(&none));
            ensure!(
                pinned == here,
                "{} pins {} to {what} {pinned}, and {} has {here}; install it without --locked to pin it anew",
                self.lock,
                pin.id,
                found.source
            );
        }
        Ok(())
    }

    /// The key that the server must insist on: the pinned one, or the one that the caller accepts instead.
    fn key_of(&self, pin: Option<&Pin>, found: &Found) -> Result<Option<KeyId>> {
        let pinned = pin.and_then(|pin| pin.key);
        let wanted = match self.accept_key.as_deref() {
            Some(NO_KEY) => return Ok(None),
            Some(text) => Some(text.parse::<KeyId>().with_context(|| format!("--accept-key {text}"))?),
            None => pinned,
        };
        let named = found.sealed.as_ref().and_then(|sealed| sealed.named);
        if let Some(wanted) = wanted
            && named != Some(wanted)
        {
            let id = &found.package.manifest().id;
            let here = named.map_or_else(|| NO_KEY.to_owned(), |key| key.to_string());
            let is =
                named.map_or_else(|| "is not signed".to_owned(), |key| format!("is signed by key {key}"));
            let must = match self.accept_key {
                Some(_) => format!("--accept-key asks for key {wanted}"),
                None => format!("{} pins {id} to key {wanted}", self.lock),
            };
            bail!("{must}, and {} {is}; if you know why, accept it with --accept-key {here}", found.source);
        }
        Ok(wanted)
    }
}

impl Found {
    fn sealed(bytes: Vec<u8>, signature: Option<String>, source: String) -> Result<Self> {
        let archive = Archive::read(&bytes).with_context(|| source.clone())?;
        let named = signature.as_deref().map(Signature::parse).transpose();
        let named = named.with_context(|| format!("{source}{SUFFIX}"))?.map(|signature| signature.key_id());
        let sha256 = archive.sha256().to_owned();
        let sealed = Some(Sealed { bytes, sha256, signature, named });
        Ok(Self { package: archive.into_package(), sealed, source, wanted: None })
    }

    /// The body of the call that installs it.
    pub(super) fn body(&self) -> Value {
        let mut body = match &self.sealed {
            Some(sealed) => {
                json!({ "archive": STANDARD.encode(&sealed.bytes), "signature": sealed.signature })
            }
            None => {
                let encode =
                    |(name, bytes): (&String, &Vec<u8>)| (name.clone(), STANDARD.encode(bytes).into());
                let files: Map<String, Value> = self.package.files().iter().map(encode).collect();
                json!({ "manifest": self.package.manifest_text(), "files": files })
            }
        };
        if let Some(key) = self.wanted {
            body["signed_by"] = key.to_string().into();
        }
        body
    }

    /// What people read once it is installed. `record` is the server's answer.
    pub(super) fn told(&self, record: &Value) -> String {
        let manifest = self.package.manifest();
        let (id, version) = (&manifest.id, &manifest.version);
        let named = self.sealed.as_ref().and_then(|sealed| sealed.named);
        match (record["signed_by"]["name"].as_str(), named) {
            (Some(name), Some(key)) => format!("{id} {version} is installed, signed by {name} ({key})"),
            (_, Some(key)) => format!(
                "{id} {version} is installed; nobody vouches for it, because key {key} is not among the server's publishers"
            ),
            _ => format!("{id} {version} is installed"),
        }
    }
}

/// Whether `what` is a path or an address rather than a name to look up.
fn is_direct(what: &str) -> bool {
    let path = Path::new(what);
    is_address(what) || path.is_dir() || path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// Opens a folder or an archive, with the signature beside it. A folder is built where its language needs it.
pub(super) async fn open(what: &str, output: Output) -> Result<Found> {
    if !is_address(what) && Path::new(what).is_dir() {
        let build = || bundled::package(Path::new(what), &mut |line| output.say(line));
        let package = tokio::task::block_in_place(build)?;
        return Ok(Found { package, sealed: None, source: what.to_owned(), wanted: None });
    }
    let (place, name) = Place::of_file(what)?;
    let bytes = place.read(&name, ARCHIVE_BYTES_MAX).await?;
    let beside = format!("{name}{SUFFIX}");
    let signature = place.find(&beside, SIGNATURE_BYTES_MAX).await?;
    let signature = signature.map(|bytes| text(bytes, &beside)).transpose()?;
    Found::sealed(bytes, signature, what.to_owned())
}

fn check_bytes(entry: &Entry, bytes: &[u8], source: &str) -> Result<()> {
    let found = regard_host::package::archive::sha256(bytes);
    ensure!(
        entry.size == bytes.len() as u64 && entry.sha256 == found,
        "{source} is not what the index says: its SHA-256 is {found} instead of {}",
        entry.sha256
    );
    Ok(())
}

fn text(bytes: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(bytes).with_context(|| format!("{name} is no text"))
}
