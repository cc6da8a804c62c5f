//! `regard plugin key`: the keys that packages are signed with. They are minisign's, in its own file formats.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use regard_host::package::signature::{self, KeyId};
use serde_json::json;

use crate::cli::Output;

/// Where a script puts the password that a person would be asked for.
const PASSWORD: &str = "REGARD_KEY_PASSWORD";
/// Length of a secret key's line, in bytes, and how it begins.
const SECRET_BYTES: usize = 158;
const ED25519: &[u8] = b"Ed";
/// How a secret key says whether a password protects it.
const SCRYPT: [u8; 2] = *b"Sc";
const NO_PASSWORD: [u8; 2] = [0, 0];

/// Make and show keys that packages are signed with.
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// Make a key: a secret one in FILE, to be kept, and a public one in FILE.pub, to be given to who trusts you.
    New {
        /// Where the secret key goes; FILE.pub gets the public one. Neither may exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Protect the secret key by nothing but the file's mode. Otherwise a password is asked for, or taken from
        /// REGARD_KEY_PASSWORD.
        #[arg(long)]
        no_password: bool,
    },
}

impl Command {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let Self::New { out, no_password } = self;
        let public_file = PathBuf::from(format!("{}.pub", out.display()));
        for file in [&out, &public_file] {
            ensure!(!file.exists(), "{} exists; a key is never overwritten", file.display());
        }
        let pair = match no_password {
            true => KeyPair::generate_unencrypted_keypair()?,
            false => KeyPair::generate_encrypted_keypair(Some(new_password()?))?,
        };
        let public = pair.pk.to_base64();
        let key = signature::PublicKey::parse(&public)?.id();
        write_new(&out, pair.sk.to_box(None)?.to_string().as_bytes(), 0o600)?;
        let text = format!("untrusted comment: minisign public key {key}\n{public}\n");
        write_new(&public_file, text.as_bytes(), 0o644)?;
        let answer =
            json!({ "key": key, "public_key": public, "secret_file": out, "public_file": public_file });
        output.print(&answer, || {
            format!(
                "key {key}\nsecret {}, to be kept\npublic {}, to be published\n\n\
                 Who trusts you writes into regard.toml:\n\n[plugins.publishers]\nyour-name = \"{public}\"",
                out.display(),
                public_file.display()
            )
        });
        Ok(())
    }
}

/// Reads a secret key. Asks for its password when it has one.
pub(super) fn unlock(path: &Path) -> Result<SecretKey> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let named = || format!("{} is no secret key", path.display());
    let bytes = text.lines().nth(1).and_then(|line| STANDARD.decode(line.trim()).ok()).unwrap_or_default();
    ensure!(bytes.len() == SECRET_BYTES && bytes.starts_with(ED25519), named());
    // Whatever is no key at all is told before anybody types a password.
    if bytes[2..4] == NO_PASSWORD {
        // The stock program leaves the checksum of such a key empty, so only signing shows whether the key is whole.
        return SecretKey::from_bytes(&bytes).with_context(named);
    }
    ensure!(bytes[2..4] == SCRYPT, named());
    let password = match std::env::var(PASSWORD) {
        Ok(password) => password,
        Err(_) => ask(&format!("Password of {}: ", path.display()))?,
    };
    let wrong = || format!("cannot unlock {}: the password is wrong or the file is damaged", path.display());
    SecretKeyBox::from_string(&text)?.into_secret_key(Some(password)).with_context(wrong)
}

/// The text of a `.minisig` file over `bytes`, and the key that it is by.
pub(super) fn sign(secret: &SecretKey, bytes: &[u8], file_name: &str) -> Result<(String, KeyId)> {
    let public = PublicKey::from_secret_key(secret)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // What the stock program says, so that people find what they are used to.
    let comment = format!("timestamp:{seconds}\tfile:{file_name}\thashed");
    let text = minisign::sign(Some(&public), secret, bytes, Some(&comment), None)?.into_string();
    // Nothing leaves that others could not verify.
    let key = signature::PublicKey::parse(&public.to_base64())?;
    signature::Signature::parse(&text)?.verify(&key, bytes)?;
    Ok((text, key.id()))
}

fn new_password() -> Result<String> {
    if let Ok(password) = std::env::var(PASSWORD) {
        ensure!(!password.is_empty(), "{PASSWORD} is empty; give --no-password for a key without one");
        return Ok(password);
    }
    let password = ask("Password for the new key: ")?;
    ensure!(!password.is_empty(), "the password is empty; give --no-password for a key without one");
    ensure!(password == ask("The same again: ")?, "the passwords differ; nothing was made");
    Ok(password)
}

fn ask(question: &str) -> Result<String> {
    rpassword::prompt_password(question)
        .map_err(|why| anyhow!("cannot ask for a password ({why}); where nobody can type, set {PASSWORD}"))
}

/// Writes a file that nobody but its mode's readers ever see, not even half written.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written =
        options.open(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
