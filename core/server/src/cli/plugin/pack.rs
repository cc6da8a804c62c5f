//! `regard plugin pack`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use regard_host::package::archive;
use regard_host::package::signature::SUFFIX;
use serde_json::json;

use super::key;
use super::place::replace;
use crate::bundled;
use crate::cli::Output;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Pack {
    /// The folder with plugin.toml.
    folder: PathBuf,
    /// The file or folder to write; by default <id>-<version>.regard in the working folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Sign with this secret key; the signature goes beside the package, with .minisig behind its name.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Pack {
    pub(super) fn run(self, output: Output) -> Result<()> {
        // A password is asked for before the build, so that nobody has to wait for the question.
        let secret = self.key.as_deref().map(key::unlock).transpose()?;
        let package = bundled::package(&self.folder, &mut |line| output.say(line))?;
        let bytes = archive::pack(&package, &self.folder)?;
        let name = archive::file_name(package.manifest());
        let path = match self.out {
            None => PathBuf::from(&name),
            Some(folder) if folder.is_dir() => folder.join(&name),
            Some(file) => file,
        };
        let beside = PathBuf::from(format!("{}{SUFFIX}", path.display()));
        let named = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let signature = secret.map(|secret| key::sign(&secret, &bytes, &named)).transpose()?;
        let was_the_same = std::fs::read(&path).is_ok_and(|old| old == bytes);
        replace(&path, &bytes)?;
        let key = match &signature {
            Some((text, key)) => {
                replace(&beside, text.as_bytes())?;
                Some(*key)
            }
            None => {
                forget(&beside, was_the_same, output)?;
                None
            }
        };
        let (manifest, digest) = (package.manifest(), package.digest());
        let answer = json!({
            "package": path, "id": manifest.id, "version": manifest.version, "digest": digest,
            "sha256": archive::sha256(&bytes), "bytes": bytes.len(), "key": key,
        });
        output.print(&answer, || {
            let signed = key.map_or_else(|| "not signed".to_owned(), |key| format!("signed by key {key}"));
            format!("{} ({} bytes, {signed})", path.display(), bytes.len())
        });
        Ok(())
    }
}

/// A signature of other bytes would make the new package one that everybody refuses.
fn forget(beside: &Path, still_fits: bool, output: Output) -> Result<()> {
    if still_fits || !beside.exists() {
        return Ok(());
    }
    output.say(&format!("removing {}: it is the signature of an earlier package", beside.display()));
    std::fs::remove_file(beside).with_context(|| format!("cannot remove {}", beside.display()))
}
