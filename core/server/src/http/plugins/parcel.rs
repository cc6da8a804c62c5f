//! What a call that installs a plugin brings: manifest and files, or an archive with its signature.
//!
//! The signature is verified before anything in the archive is looked at. What is refused here leaves a line in the audit
//! log and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regard_host::manifest::MANIFEST_FILE;
use regard_host::package::archive::{self, Archive};
use regard_host::package::signature::KeyId;
use regard_host::{ArchiveError, Package};
use regard_model::SignedBy;
use serde_json::json;

use crate::http::auth::Principal;
use crate::http::problem::{Problem, Trouble, escape};
use crate::http::{Site, audit};
use crate::plugins::trust::Untrusted;

/// The fields of the call.
pub(super) struct Parcel {
    pub(super) manifest: Option<String>,
    pub(super) files: Option<BTreeMap<String, String>>,
    pub(super) archive: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) signed_by: Option<String>,
}

/// Why an archive was not opened.
enum Refusal {
    Untrusted(Untrusted),
    Unreadable(ArchiveError),
}

impl Parcel {
    /// The plugin, and who signed it.
    pub(super) async fn open(
        self,
        site: &Site,
        who: &Principal,
    ) -> Result<(Package, Option<SignedBy>), Problem> {
        let wanted = self.signed_by.as_deref().map(str::parse::<KeyId>).transpose();
        let wanted = wanted.map_err(|why| refused("/signed_by", why.to_string()))?;
        match (self.manifest, self.files, self.archive) {
            (None, None, Some(text)) => {
                let bytes = STANDARD.decode(text).map_err(|_| {
                    refused("/archive", "the archive is not base 64 (RFC 4648, section 4)".to_owned())
                })?;
                open_archive(site, who, bytes, self.signature, wanted).await
            }
            (Some(manifest), Some(files), None) if self.signature.is_none() => {
                let package = from_files(manifest, files)?;
                // Loose files carry no signature, so the policy decides.
                if let Err(why) = site.trust.check(&[], None, wanted) {
                    let subject = super::subject(&package.manifest().id);
                    return Err(untrusted(site, who, &subject, package.digest(), &why).await);
                }
                Ok((package, None))
            }
            _ => Err(Problem::new(
                Trouble::Invalid,
                "give either `manifest` and `files`, or `archive` and, where it has one, its `signature`",
            )),
        }
    }
}

async fn open_archive(
    site: &Site,
    who: &Principal,
    bytes: Vec<u8>,
    signature: Option<String>,
    wanted: Option<KeyId>,
) -> Result<(Package, Option<SignedBy>), Problem> {
    let trust = site.trust.clone();
    // Hashing and unpacking 70 MB takes a while, in which this thread serves others.
    let opened = tokio::task::spawn_blocking(move || {
        let sha256 = archive::sha256(&bytes);
        let opened = match trust.check(&bytes, signature.as_deref(), wanted) {
            Err(why) => Err(Refusal::Untrusted(why)),
            Ok(signed_by) => match Archive::read(&bytes) {
                Ok(archive) => Ok((archive.into_package(), signed_by)),
                Err(why) => Err(Refusal::Unreadable(why)),
            },
        };
        (sha256, opened)
    });
    let (sha256, opened) = opened.await.map_err(Problem::internal)?;
    let subject = format!("archive:{sha256}");
    match opened {
        Ok(opened) => Ok(opened),
        Err(Refusal::Untrusted(why)) => Err(untrusted(site, who, &subject, &sha256, &why).await),
        Err(Refusal::Unreadable(why)) => {
            let details = [("reason", json!(why.to_string()))];
            audit::record(site, who, "plugin.refused", subject, details).await;
            Err(refused("/archive", why.to_string()))
        }
    }
}

async fn untrusted(site: &Site, who: &Principal, subject: &str, digest: &str, why: &Untrusted) -> Problem {
    let details = [("reason", json!(why.to_string())), ("digest", json!(digest))];
    audit::record(site, who, "plugin.refused", subject, details).await;
    refused("/signature", why.to_string())
}

fn from_files(manifest: String, files: BTreeMap<String, String>) -> Result<Package, Problem> {
    let mut decoded = BTreeMap::new();
    for (name, text) in files {
        let bytes = STANDARD.decode(text).map_err(|_| {
            let told = format!("the file `{name}` is not base 64 (RFC 4648, section 4)");
            refused(&format!("/files/{}", escape(&name)), told)
        })?;
        decoded.insert(name, bytes);
    }
    Ok(Package::from_parts(Path::new(MANIFEST_FILE), manifest, decoded)?)
}

fn refused(pointer: &str, told: String) -> Problem {
    Problem::new(Trouble::Invalid, told.clone()).at(pointer, told)
}
