//! Who made an archive: detached signatures as minisign writes them (Ed25519 over a BLAKE2b hash), so that the stock
//! program verifies them too.
//!
//! A signature names its key by eight random bytes. They say where to look for the key and prove nothing: only
//! [`Signature::verify`] does.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What the name of a signature has behind that of the archive.
pub const SUFFIX: &str = ".minisig";
/// Longest signature file, in bytes: four lines, of which minisign lets the comments have 9 kB.
pub const SIGNATURE_BYTES_MAX: usize = 16 << 10;
/// What a comment that nobody vouches for begins with.
const UNTRUSTED: &str = "untrusted comment: ";

/// The name of a key: sixteen hexadecimal digits. Minisign's own program leaves leading zeros out, so they may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(u64);

/// A publisher's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: minisign_verify::PublicKey,
}

/// A signature that was read, not yet verified.
#[derive(Clone)]
pub struct Signature {
    key_id: KeyId,
    signature: minisign_verify::Signature,
}

/// Why a key or a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The text of a key.
    #[error(
        "this is no minisign public key; give the second line of the .pub file, 56 characters that begin with RW"
    )]
    NoKey,
    /// The text of a key's name.
    #[error(
        "this is no key id; it has at most sixteen hexadecimal digits, as in the first line of the .pub file"
    )]
    NoKeyId,
    /// The text of a signature.
    #[error("this is no minisign signature: four lines, as in the .minisig file")]
    NoSignature,
    /// The old kind of signature, over the file itself.
    #[error("the signature is of minisign's old kind; sign again without `-l`")]
    Legacy,
    /// Signed by another key than the one it is verified with.
    #[error("the signature is by key {found}, not by {wanted}")]
    OtherKey {
        /// The key that the signature names.
        found: KeyId,
        /// The key that it was verified with.
        wanted: KeyId,
    },
    /// The signature is of another file, or somebody changed the file, the signature or its comment.
    #[error("the signature by key {0} does not fit: the file or its signature was changed")]
    Wrong(KeyId),
}

impl PublicKey {
    /// Reads a key: its line in base 64, or the whole `.pub` file.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let text = text.trim();
        let line = match text.strip_prefix(UNTRUSTED) {
            Some(behind) => behind.lines().nth(1).unwrap_or_default().trim(),
            None => text,
        };
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|_| SignatureError::NoKey)?;
        let id = key_id(line).ok_or(SignatureError::NoKey)?;
        Ok(Self { id, key })
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl Signature {
    /// Reads a `.minisig` file.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let lines = text.trim_end().lines().count();
        if text.len() > SIGNATURE_BYTES_MAX || lines != 4 || !text.starts_with(UNTRUSTED) {
            return Err(SignatureError::NoSignature);
        }
        let signature = minisign_verify::Signature::decode(text).map_err(|_| SignatureError::NoSignature)?;
        let key_id = text.lines().nth(1).and_then(key_id).ok_or(SignatureError::NoSignature)?;
        Ok(Self { key_id, signature })
    }

    /// The key that it says it is by.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Whether `key` signed `bytes`.
    pub fn verify(&self, key: &PublicKey, bytes: &[u8]) -> Result<(), SignatureError> {
        key.key.verify(bytes, &self.signature, false).map_err(|why| match why {
            minisign_verify::Error::UnexpectedAlgorithm => SignatureError::Legacy,
            minisign_verify::Error::UnexpectedKeyId => {
                SignatureError::OtherKey { found: self.key_id, wanted: key.id }
            }
            _ => SignatureError::Wrong(self.key_id),
        })
    }
}

/// Behind two bytes that name the algorithm, keys and signatures alike have eight of the key's name.
fn key_id(base64: &str) -> Option<KeyId> {
    let bytes = STANDARD.decode(base64).ok()?;
    let id = bytes.get(2..10)?.try_into().ok()?;
    Some(KeyId(u64::from_le_bytes(id)))
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl std::str::FromStr for KeyId {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let is_hex = (1..=16).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(SignatureError::NoKeyId)
    }
}

impl TryFrom<String> for KeyId {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with the stock program, version 0.11: `minisign -G -W`, then `minisign -S -x … -m` for the text "test".
    const PUBLIC: &str = "untrusted comment: minisign public key 8CCEDBCE308D45F\n\
        RWRf1AjjvO3MCIczfis+rrpp+z39KoLjmIsYqoSrSw4uvP+2jIhdC8fb\n";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key\n\
        RURf1AjjvO3MCLrFl0kVcJfxGIHjhr0uVlve8IaPdtFqPyPFzFG95qThRaAcaZK8Bey8eggT5xN309srSkOx6/sQ804oYHAJJg0=\n\
        trusted comment: timestamp:1795321975\tfile:test\thashed\n\
        nbJLhbMeyxVM90YE59c17I1wnbXCFSwAssuPvKZR9MaGTPeRvo6lW+YwIIqZIWMH+vLD15Sl2r69Zu16Opi2Bw==\n";
    const LEGACY: &str = "untrusted comment: signature from minisign secret key\n\
        RWRf1AjjvO3MCKmJJ77sHo3KLnr56v/TpMltEdKVNEPLWglxEerBHbgWUKlhqHCQ6e+t8MxFFjkUbkNJzWL1tMJv8DYLNwZadQI=\n\
        trusted comment: timestamp:1795321975\tfile:test\n\
        90fJdaYJTdraKIQwU7MiLbcLn9GUSrB5tdrLzRf1uSCO1qAd/K8cyIZGR7pZtOYVKmTlN2ci+/c7uayZqN0sBg==\n";

    fn key() -> PublicKey {
        PublicKey::parse(PUBLIC).expect("a key")
    }

    #[test]
    fn what_the_stock_program_signed_verifies() {
        let signature = Signature::parse(SIGNED).expect("a signature");
        assert_eq!(signature.key_id(), key().id());
        assert_eq!(key().id().to_string(), "08CCEDBCE308D45F");
        assert_eq!("8CCEDBCE308D45F".parse(), Ok(key().id()), "as the stock program printed it");
        assert_eq!(signature.verify(&key(), b"test"), Ok(()));
        let line = PUBLIC.lines().nth(1).expect("a line");
        assert_eq!(PublicKey::parse(line), Ok(key()), "the line alone is enough");
    }

    #[test]
    fn whatever_was_changed_does_not_verify() {
        let wrong = Err(SignatureError::Wrong(key().id()));
        let signature = Signature::parse(SIGNED).expect("a signature");
        assert_eq!(signature.verify(&key(), b"Test"), wrong);
        let comment = SIGNED.replace("file:", "file:x");
        assert_eq!(Signature::parse(&comment).expect("reads").verify(&key(), b"test"), wrong);
        let legacy = Signature::parse(LEGACY).expect("reads").verify(&key(), b"test");
        assert_eq!(legacy, Err(SignatureError::Legacy));
    }

    #[test]
    fn what_is_no_key_or_signature_is_told_apart() {
        for text in
            ["", "RW", "untrusted comment: x", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO"]
        {
            assert_eq!(PublicKey::parse(text), Err(SignatureError::NoKey), "{text}");
        }
        let lines: Vec<_> = SIGNED.lines().collect();
        for text in
            [String::new(), lines[..3].join("\n"), format!("{SIGNED}more\n"), SIGNED.replacen('R', "!", 1)]
        {
            let refused = Signature::parse(&text).map(|_| ()).expect_err("refused");
            assert_eq!(refused, SignatureError::NoSignature, "{text}");
        }
        for text in ["", "none", "+123456789ABCDEF", "123456789ABCDEF01"] {
            assert_eq!(text.parse::<KeyId>(), Err(SignatureError::NoKeyId), "{text}");
        }
    }
}
