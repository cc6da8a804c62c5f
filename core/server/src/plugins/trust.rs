//! Whose packages are installed: the operator's trusted publishers and the policy.
//!
//! A signature that names a trusted key must fit, or the package is refused. One that names an unknown key says nothing,
//! because a signature does not carry its key; such a package counts as unsigned.

use anyhow::{Context as _, Result, bail};
use regard_host::package::signature::{KeyId, PublicKey, Signature, SignatureError};
use regard_model::SignedBy;

use crate::config::{FILE, Plugins};

/// Trusted keys and the policy.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    require_signatures: bool,
    publishers: Vec<(String, PublicKey)>,
}

/// Why a package is not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// There is no signature, and there must be one.
    #[error("the package is not signed, and `require_signatures` is set in {FILE}")]
    Unsigned,
    /// There is a signature, by a key that is not among the publishers, and there must be one by them.
    #[error("the package is signed by key {0}, which is not among `plugins.publishers` in {FILE}")]
    Unknown(KeyId),
    /// The caller insists on a key.
    #[error("the package must be signed by key {wanted}, and {}", told(*.found))]
    OtherSigner {
        /// Whose signature the caller wants.
        wanted: KeyId,
        /// Whose signature was verified.
        found: Option<KeyId>,
    },
    /// The signature cannot be read, or does not fit.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

fn told(found: Option<KeyId>) -> String {
    match found {
        Some(key) => format!("is signed by {key}"),
        None => format!("no signature by one of `plugins.publishers` in {FILE} was found"),
    }
}

impl Trust {
    /// Reads the publishers' keys.
    pub fn new(plugins: &Plugins) -> Result<Self> {
        let mut publishers: Vec<(String, PublicKey)> = Vec::new();
        for (name, text) in &plugins.publishers {
            let key = PublicKey::parse(text).with_context(|| format!("{FILE}: plugins.publishers.{name}"))?;
            if let Some((other, _)) = publishers.iter().find(|(_, known)| known.id() == key.id()) {
                bail!("{FILE}: plugins.publishers.{name} has the same key id as {other}; name each key once");
            }
            publishers.push((name.clone(), key));
        }
        Ok(Self { require_signatures: plugins.require_signatures, publishers })
    }

    /// Who signed `archive`, and whether it may be installed. `wanted` is a key that the caller insists on.
    ///
    /// # Errors
    /// When the signature is unreadable or wrong, when the policy asks for one that is not there, or when it is not by
    /// the wanted key.
    pub fn check(
        &self,
        archive: &[u8],
        signature: Option<&str>,
        wanted: Option<KeyId>,
    ) -> Result<Option<SignedBy>, Untrusted> {
        let signature = signature.map(Signature::parse).transpose()?;
        let named = signature.as_ref().map(Signature::key_id);
        let known = self.publishers.iter().find(|(_, key)| Some(key.id()) == named);
        let signed_by = match (&signature, known) {
            (Some(signature), Some((name, key))) => {
                signature.verify(key, archive)?;
                Some(SignedBy { key: key.id().to_string(), name: name.clone() })
            }
            _ => None,
        };
        let found = signed_by.as_ref().and(named);
        if let Some(wanted) = wanted
            && found != Some(wanted)
        {
            return Err(Untrusted::OtherSigner { wanted, found });
        }
        match (found, named) {
            (None, Some(unknown)) if self.require_signatures => Err(Untrusted::Unknown(unknown)),
            (None, None) if self.require_signatures => Err(Untrusted::Unsigned),
            _ => Ok(signed_by),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    // Two keys, and the text "test" signed with the first by minisign 0.11.
    const ONE: &str = "RWRf1AjjvO3MCIczfis+rrpp+z39KoLjmIsYqoSrSw4uvP+2jIhdC8fb";
    const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const BY_ONE: &str = "untrusted comment: signature from minisign secret key\n\
        RURf1AjjvO3MCLrFl0kVcJfxGIHjhr0uVlve8IaPdtFqPyPFzFG95qThRaAcaZK8Bey8eggT5xN309srSkOx6/sQ804oYHAJJg0=\n\
        trusted comment: timestamp:1795321975\tfile:test\thashed\n\
        nbJLhbMeyxVM90YE59c17I1wnbXCFSwAssuPvKZR9MaGTPeRvo6lW+YwIIqZIWMH+vLD15Sl2r69Zu16Opi2Bw==\n";

    fn trust(require_signatures: bool, keys: &[(&str, &str)]) -> Result<Trust> {
        let publishers: BTreeMap<String, String> =
            keys.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned())).collect();
        Trust::new(&Plugins { require_signatures, index: None, publishers })
    }

    fn id(key: &str) -> KeyId {
        PublicKey::parse(key).expect("a key").id()
    }

    #[test]
    fn a_known_signature_must_fit_whatever_the_policy() {
        for require in [false, true] {
            let trust = trust(require, &[("acme", ONE)]).expect("keys");
            let by = trust.check(b"test", Some(BY_ONE), None).expect("trusted").expect("signed");
            assert_eq!((by.name.as_str(), by.key.as_str()), ("acme", "08CCEDBCE308D45F"));
            let wrong = Untrusted::Signature(SignatureError::Wrong(id(ONE)));
            assert_eq!(trust.check(b"other", Some(BY_ONE), None), Err(wrong));
            let unreadable = Untrusted::Signature(SignatureError::NoSignature);
            assert_eq!(trust.check(b"test", Some("x"), None), Err(unreadable));
        }
    }

    #[test]
    fn unknown_and_missing_signatures_are_a_matter_of_policy() {
        let lenient = trust(false, &[("other", OTHER)]).expect("keys");
        assert_eq!(
            lenient.check(b"test", Some(BY_ONE), None),
            Ok(None),
            "it proves nothing, so it says nothing"
        );
        assert_eq!(lenient.check(b"test", None, None), Ok(None));
        let strict = trust(true, &[("other", OTHER)]).expect("keys");
        assert_eq!(strict.check(b"test", Some(BY_ONE), None), Err(Untrusted::Unknown(id(ONE))));
        assert_eq!(strict.check(b"test", None, None), Err(Untrusted::Unsigned));
    }

    #[test]
    fn a_caller_may_insist_on_a_key() {
        let both = trust(false, &[("acme", ONE), ("other", OTHER)]).expect("keys");
        assert!(both.check(b"test", Some(BY_ONE), Some(id(ONE))).is_ok());
        let refused = both.check(b"test", Some(BY_ONE), Some(id(OTHER))).expect_err("refused");
        assert_eq!(refused, Untrusted::OtherSigner { wanted: id(OTHER), found: Some(id(ONE)) });
        // A key that is trusted no more proves nothing, even when the signature names it.
        let without = trust(false, &[("other", OTHER)]).expect("keys");
        let refused = without.check(b"test", Some(BY_ONE), Some(id(ONE))).expect_err("refused");
        assert_eq!(refused, Untrusted::OtherSigner { wanted: id(ONE), found: None });
    }

    #[test]
    fn keys_are_named_once_and_readable() {
        let twice = trust(false, &[("a", ONE), ("b", ONE)]).expect_err("refused").to_string();
        assert!(twice.contains("publishers.b has the same key id as a"), "{twice}");
        let broken = trust(false, &[("a", "RW")]).expect_err("refused");
        assert!(format!("{broken:#}").contains("publishers.a: this is no minisign public key"), "{broken:#}");
    }
}
