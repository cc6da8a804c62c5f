//! `regard plugin verify`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use regard_host::package::signature::{PublicKey, Signature};
use serde_json::json;

use super::source;
use crate::cli::Output;
use crate::config::{FILE, Plugins};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Verify {
    /// The package; its signature lies beside it, with .minisig behind its name.
    file: PathBuf,
    /// The publisher's public key: its line that begins with RW, or the .pub file. By default the key is looked up among
    /// the publishers in regard.toml.
    #[arg(long, value_name = "PUBLIC")]
    key: Option<String>,
}

impl Verify {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        let found = source::open(&self.file.to_string_lossy(), output).await?;
        let file = self.file.display();
        let sealed = found.sealed.with_context(|| format!("{file} is a folder; pack it first"))?;
        let Some(text) = &sealed.signature else {
            bail!("{file} is not signed; `regard plugin check` reads a package without verifying it");
        };
        let signature = Signature::parse(text)?;
        let (name, key) = match &self.key {
            Some(given) => (None, parse(given)?),
            None => publisher(&signature)?,
        };
        signature.verify(&key, &sealed.bytes).with_context(|| file.to_string())?;
        let (manifest, id) = (found.package.manifest(), key.id());
        let answer = json!({
            "id": manifest.id, "version": manifest.version, "digest": found.package.digest(),
            "sha256": sealed.sha256, "signed_by": { "key": id, "name": name },
        });
        output.print(&answer, || {
            let by = name.as_ref().map_or_else(|| id.to_string(), |name| format!("{name} ({id})"));
            format!("{} {} is signed by {by}", manifest.id, manifest.version)
        });
        Ok(())
    }
}

/// A key as somebody gives it: the key itself, or the file that holds it.
fn parse(given: &str) -> Result<PublicKey> {
    if !Path::new(given).is_file() {
        return PublicKey::parse(given).with_context(|| format!("--key {given}"));
    }
    let text = std::fs::read_to_string(given).with_context(|| format!("cannot read {given}"))?;
    PublicKey::parse(&text).with_context(|| given.to_owned())
}

/// The trusted key that the signature names.
fn publisher(signature: &Signature) -> Result<(Option<String>, PublicKey)> {
    for (name, text) in Plugins::read()?.publishers {
        let key = PublicKey::parse(&text).with_context(|| format!("{FILE}: plugins.publishers.{name}"))?;
        if key.id() == signature.key_id() {
            return Ok((Some(name), key));
        }
    }
    let id = signature.key_id();
    bail!("key {id} is not among `plugins.publishers` in {FILE}; give its public key with --key PUBLIC")
}
