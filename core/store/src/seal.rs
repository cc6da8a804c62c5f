//! Sealing: secrets are encrypted before they reach the database, so that a copy of it gives none away.
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes. Owner and name of the secret are bound to it, so that a sealed
//! secret moved to another row does not open. A sealed secret is one byte of version, the nonce, and the ciphertext.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use parking_lot::Mutex;
use regard_engine::StoreError;
use regard_model::Invalid;

/// Environment variable with the key, 32 bytes in base64.
pub(crate) const KEY_VARIABLE: &str = "REGARD_SECRET_KEY";
/// Name of the file with the key, in the data directory.
const KEY_FILE: &str = "secret.key";
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;
/// First byte of what is sealed in this way.
const VERSION: u8 = 1;

type Key = [u8; KEY_BYTES];

/// Seals and opens secrets with one key, which is read or made when it is first needed.
pub(crate) struct Sealer {
    key: Mutex<Option<Key>>,
    file: Option<PathBuf>,
}

impl Sealer {
    /// A sealer with the given key, or with the one in `directory`.
    pub(crate) fn new(directory: Option<&Path>, key: Option<&str>) -> Result<Self, StoreError> {
        let key = match key {
            Some(text) => Some(parse(text).ok_or_else(|| {
                Invalid::new(
                    KEY_VARIABLE,
                    format!("is not {KEY_BYTES} bytes in base64; `openssl rand -base64 32` makes one"),
                )
            })?),
            None => None,
        };
        Ok(Self { key: Mutex::new(key), file: directory.map(|directory| directory.join(KEY_FILE)) })
    }

    /// Encrypts `secret` for the row of `owner` and `name`.
    pub(crate) fn seal(&self, owner: &str, name: &str, secret: &str) -> Result<Vec<u8>, StoreError> {
        let during = "seal a secret";
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce)
            .map_err(|why| StoreError::Unavailable { during, why: why.to_string() })?;
        let payload = Payload { msg: secret.as_bytes(), aad: &bound_to(owner, name) };
        let sealed = self
            .cipher()?
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| StoreError::Invalid(Invalid::new("secret", "is too long to seal")))?;
        Ok([&[VERSION], nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// Decrypts what [`Sealer::seal`] made for the same row.
    pub(crate) fn open(&self, owner: &str, name: &str, sealed: &[u8]) -> Result<String, StoreError> {
        let damaged = || StoreError::Damaged {
            during: "open a secret",
            why: format!(
                "secret `{name}` of {owner} does not open: the key in {KEY_VARIABLE} or {KEY_FILE} is another one"
            ),
        };
        let (nonce, ciphertext) = sealed
            .strip_prefix(&[VERSION])
            .and_then(|rest| rest.split_first_chunk::<NONCE_BYTES>())
            .ok_or_else(damaged)?;
        let payload = Payload { msg: ciphertext, aad: &bound_to(owner, name) };
        let secret = self.cipher()?.decrypt(&XNonce::from(*nonce), payload).map_err(|_| damaged())?;
        String::from_utf8(secret).map_err(|_| damaged())
    }

    fn cipher(&self) -> Result<XChaCha20Poly1305, StoreError> {
        let mut key = self.key.lock();
        let found = match (*key, &self.file) {
            (Some(found), _) => found,
            (None, Some(file)) => read_or_make(file).map_err(|why| StoreError::Unavailable {
                during: "read the key for secrets",
                why: format!("{}: {why}", file.display()),
            })?,
            (None, None) => {
                let reason = "is needed to keep secrets on PostgreSQL: `openssl rand -base64 32` makes one, and every \
                              node needs the same";
                return Err(Invalid::new(KEY_VARIABLE, reason).into());
            }
        };
        *key = Some(found);
        Ok(XChaCha20Poly1305::new(&found.into()))
    }
}

fn bound_to(owner: &str, name: &str) -> Vec<u8> {
    [owner.as_bytes(), &[0], name.as_bytes()].concat()
}

fn parse(text: &str) -> Option<Key> {
    BASE64.decode(text.trim()).ok()?.try_into().ok()
}

/// Reads the key; makes one when there is none. Of two processes that make one at once, one wins and both use it.
fn read_or_make(file: &Path) -> std::io::Result<Key> {
    if !file.exists() {
        let mut key = Key::default();
        getrandom::fill(&mut key).map_err(|why| std::io::Error::other(why.to_string()))?;
        let mut mark = [0u8; 8];
        getrandom::fill(&mut mark).map_err(|why| std::io::Error::other(why.to_string()))?;
        let draft = file.with_extension(format!("draft-{:x}", u64::from_le_bytes(mark)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&draft)?;
        writeln!(out, "{}", BASE64.encode(key))?;
        out.sync_all()?;
        // A link, unlike a rename, does not replace a key that appeared meanwhile.
        let linked = std::fs::hard_link(&draft, file);
        std::fs::remove_file(&draft)?;
        match linked {
            Err(why) if why.kind() != std::io::ErrorKind::AlreadyExists => return Err(why),
            _ => {}
        }
        // The name must be as durable as what will be sealed with it.
        if let Some(directory) = file.parent() {
            File::open(directory)?.sync_all()?;
        }
    }
    parse(&std::fs::read_to_string(file)?).ok_or_else(|| std::io::Error::other("not 32 bytes in base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(None, Some(&BASE64.encode([byte; KEY_BYTES]))).expect("a key")
    }

    #[test]
    fn opens_only_with_the_key_and_in_the_row_it_was_sealed_for() {
        let sealed = sealer(1).seal("plugin:a", "token", "s3cret \u{1f511}").expect("sealed");
        assert_eq!(sealer(1).open("plugin:a", "token", &sealed).expect("opened"), "s3cret \u{1f511}");
        assert!(sealer(2).open("plugin:a", "token", &sealed).is_err());
        assert!(sealer(1).open("plugin:b", "token", &sealed).is_err());
        assert!(sealer(1).open("plugin:a", "token2", &sealed).is_err());
        assert!(sealer(1).open("plugin:a", "token", &sealed[..10]).is_err());
        let again = sealer(1).seal("plugin:a", "token", "s3cret \u{1f511}").expect("sealed");
        assert_ne!(sealed, again, "a nonce must not repeat");
    }

    #[test]
    fn without_a_key_nothing_is_kept_in_the_clear() {
        let none = Sealer::new(None, None).expect("no key is fine until one is needed");
        assert!(matches!(none.seal("plugin:a", "token", "x"), Err(StoreError::Invalid(_))));
        assert!(Sealer::new(None, Some("c2hvcnQ=")).is_err());
    }
}
