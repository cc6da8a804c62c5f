//! Which packages a publisher offers: `index.json`, a file beside them that any static web server can host.
//!
//! What an index says is a claim. The archive's SHA-256 is checked before it is read, and what counts then is the archive
//! and its signature.

use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::archive::{ARCHIVE_BYTES_MAX, Archive, ArchiveError, EXTENSION, check_name, sha256};
use super::signature::{KeyId, SIGNATURE_BYTES_MAX, SUFFIX, Signature, SignatureError};
use crate::manifest::contract_supported;

/// Its name inside a folder of packages.
pub const INDEX_FILE: &str = "index.json";
/// Largest index, in bytes: some ten thousand packages.
pub const INDEX_BYTES_MAX: usize = 8 << 20;
/// The form that this module reads and writes.
const FORMAT: u32 = 1;

/// An index: every package that is on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    format: u32,
    /// By id, then by version, older ones first.
    pub packages: Vec<Entry>,
}

/// One version of one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The plugin's id.
    pub id: String,
    /// Its version.
    pub version: Version,
    /// The name people read.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The contract that it was written against.
    pub contract: Version,
    /// What executes it. Text, so that a runtime of tomorrow does not make the whole index unreadable.
    pub runtime: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// The package's digest.
    pub digest: String,
    /// SHA-256 of the archive, in hex.
    pub sha256: String,
    /// Length of the archive, in bytes.
    pub size: u64,
    /// Where the archive is, relative to the index.
    pub url: String,
    /// Where its signature is, relative to the index; left out when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The key that the signature names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

/// Why a folder cannot be indexed, or an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A file that should be a package, or belong to one.
    #[error("{}: {problem}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The index itself.
    #[error("the index {0}")]
    Index(String),
    /// Nothing on offer is what was asked for.
    #[error("{0}")]
    NoneFits(String),
}

/// What somebody asks for: `NAME` or `NAME@RANGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The plugin's id.
    pub id: String,
    /// The versions that will do, in cargo's notation.
    pub range: VersionReq,
}

impl Wanted {
    /// Reads `kpi-clv`, `kpi-clv@1.2`, `kpi-clv@=1.2.3` or `kpi-clv@">=1, <3"`.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        let (id, range) = match text.split_once('@') {
            Some((id, range)) => (id, VersionReq::parse(range)),
            None => (text, Ok(VersionReq::STAR)),
        };
        let is_id = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if id.is_empty() || !is_id {
            return Err(IndexError::NoneFits(format!(
                "`{text}` is neither a folder, nor a .{EXTENSION} file, nor a plugin's id such as kpi-clv@1.2"
            )));
        }
        let range = range.map_err(|why| {
            IndexError::NoneFits(format!("`{text}` has no range of versions behind the @: {why}"))
        })?;
        Ok(Self { id: id.to_owned(), range })
    }
}

impl Index {
    /// Reads an index.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let wrong = |problem: String| IndexError::Index(problem);
        let format = serde_json::from_slice::<serde_json::Value>(bytes)
            .map_err(|why| wrong(format!("is no JSON: {why}")))?["format"]
            .clone();
        if format != FORMAT {
            return Err(wrong(format!("has format {format}, this version of regard reads {FORMAT}")));
        }
        let index: Self =
            serde_json::from_slice(bytes).map_err(|why| wrong(format!("is not of the right form: {why}")))?;
        for entry in &index.packages {
            for address in std::iter::once(&entry.url).chain(&entry.signature) {
                check_name(address).map_err(|problem| {
                    wrong(format!("names `{}`, which {problem}", address.escape_debug()))
                })?;
            }
        }
        Ok(index)
    }

    /// Reads every package of a folder.
    pub fn of_folder(folder: &Path) -> Result<Self, IndexError> {
        let fault = |file: &Path, why: std::io::Error| IndexError::File {
            file: file.to_owned(),
            problem: why.to_string(),
        };
        let mut packages: Vec<Entry> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|why| fault(folder, why))? {
            let path = entry.map_err(|why| fault(folder, why))?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                packages.push(entry_of(&path)?);
            }
        }
        packages.sort_by(|left, right| (&left.id, &left.version).cmp(&(&right.id, &right.version)));
        for pair in packages.windows(2) {
            if (&pair[0].id, &pair[0].version) == (&pair[1].id, &pair[1].version) {
                let problem = format!("is {} {}, as {} is", pair[1].id, pair[1].version, pair[0].url);
                return Err(IndexError::File { file: folder.join(&pair[1].url), problem });
            }
        }
        Ok(Self { format: FORMAT, packages })
    }

    /// The newest version that was asked for and that this host can run.
    pub fn choose(&self, wanted: &Wanted) -> Result<&Entry, IndexError> {
        let named = || self.packages.iter().filter(|entry| entry.id == wanted.id);
        let fitting = named()
            .filter(|entry| wanted.range.matches(&entry.version) && contract_supported(&entry.contract));
        fitting.max_by(|left, right| left.version.cmp(&right.version)).ok_or_else(|| {
            let offers: Vec<String> = named()
                .map(|entry| match contract_supported(&entry.contract) {
                    true => entry.version.to_string(),
                    false => format!("{} (for contract {})", entry.version, entry.contract),
                })
                .collect();
            let Wanted { id, range } = wanted;
            IndexError::NoneFits(match offers.as_slice() {
                [] => format!("the index has no plugin `{id}`; look with `regard plugin search`"),
                offers => {
                    format!("no version of {id} fits `{range}` on this host; there are {}", offers.join(", "))
                }
            })
        })
    }

    /// Packages of which id, name, description or a capability has `word` in it, in either case.
    pub fn search(&self, word: &str) -> Vec<&Entry> {
        let word = word.to_lowercase();
        let has_it = |text: &String| text.to_lowercase().contains(&word);
        let fits = |entry: &&Entry| {
            [&entry.id, &entry.name, &entry.description].into_iter().chain(&entry.capabilities).any(has_it)
        };
        self.packages.iter().filter(fits).collect()
    }
}

fn entry_of(path: &Path) -> Result<Entry, IndexError> {
    let fault = |problem: String| IndexError::File { file: path.to_owned(), problem };
    let url = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    check_name(&url).map_err(|problem| fault(problem.to_owned()))?;
    let length = std::fs::metadata(path).map_err(|why| fault(why.to_string()))?.len();
    if length > ARCHIVE_BYTES_MAX as u64 {
        return Err(fault(format!("is {length} bytes long, at most {ARCHIVE_BYTES_MAX} are taken")));
    }
    let bytes = std::fs::read(path).map_err(|why| fault(why.to_string()))?;
    let archive = Archive::read(&bytes).map_err(|why: ArchiveError| fault(why.to_string()))?;
    let signature_file = PathBuf::from(format!("{}{SUFFIX}", path.display()));
    let key = match std::fs::metadata(&signature_file) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
        Err(why) => return Err(fault(why.to_string())),
        Ok(found) if found.len() > SIGNATURE_BYTES_MAX as u64 => {
            return Err(fault(SignatureError::NoSignature.to_string()));
        }
        Ok(_) => {
            let text = std::fs::read_to_string(&signature_file).map_err(|why| fault(why.to_string()))?;
            Some(Signature::parse(&text).map_err(|why| fault(why.to_string()))?.key_id())
        }
    };
    let manifest = archive.package().manifest();
    Ok(Entry {
        id: manifest.id.clone(),
        version: manifest.version.clone(),
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        contract: manifest.contract.clone(),
        runtime: manifest.runtime.to_string(),
        capabilities: manifest.capabilities.iter().map(ToString::to_string).collect(),
        digest: archive.package().digest().to_owned(),
        sha256: sha256(&bytes),
        size: bytes.len() as u64,
        signature: key.map(|_| format!("{url}{SUFFIX}")),
        url,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, version: &str, contract: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            version: version.parse().expect("a version"),
            name: id.to_uppercase(),
            description: String::new(),
            contract: contract.parse().expect("a version"),
            runtime: "luau".to_owned(),
            capabilities: vec!["hook".to_owned()],
            digest: String::new(),
            sha256: String::new(),
            size: 0,
            url: format!("{id}-{version}.regard"),
            signature: None,
            key: None,
        }
    }

    fn index() -> Index {
        let versions = [
            ("0.9.0", "0.1.0"),
            ("1.0.0", "0.1.0"),
            ("1.2.0", "0.1.0"),
            ("1.10.0", "0.1.0"),
            ("2.0.0-rc.1", "0.1.0"),
            ("2.0.0", "0.1.0"),
            ("3.0.0", "9.0.0"),
        ];
        let packages = versions.map(|(version, contract)| entry("hook-x", version, contract)).to_vec();
        Index { format: FORMAT, packages }
    }

    #[test]
    fn the_newest_version_that_fits_is_chosen() {
        let index = index();
        for (wanted, chosen) in [
            ("hook-x", "2.0.0"),
            ("hook-x@1", "1.10.0"),
            ("hook-x@1.2", "1.10.0"),
            ("hook-x@~1.2", "1.2.0"),
            ("hook-x@=1.0.0", "1.0.0"),
            ("hook-x@0.9", "0.9.0"),
            ("hook-x@>=1, <2", "1.10.0"),
            ("hook-x@=2.0.0-rc.1", "2.0.0-rc.1"),
        ] {
            let found = index.choose(&Wanted::parse(wanted).expect("wanted")).expect(wanted);
            assert_eq!(found.version.to_string(), chosen, "{wanted}");
        }
        let only = Index { format: FORMAT, packages: vec![entry("hook-y", "1.0.0-rc.1", "0.1.0")] };
        assert!(
            only.choose(&Wanted::parse("hook-y").expect("wanted")).is_err(),
            "a prerelease is asked for by name"
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_there_is() {
        let tell = |wanted: &str| {
            Wanted::parse(wanted)
                .and_then(|wanted| index().choose(&wanted).cloned())
                .expect_err("refused")
                .to_string()
        };
        assert!(tell("hook-x@3").contains("3.0.0 (for contract 9.0.0)"), "{}", tell("hook-x@3"));
        assert!(tell("hook-z").contains("no plugin `hook-z`"));
        assert!(tell("hook-x@one").contains("no range of versions"));
        assert!(tell("../hook").contains("neither a folder"));
    }

    #[test]
    fn an_index_does_not_point_elsewhere() {
        for url in
            ["https://evil.example/x.regard", "../x.regard", "/x.regard", "//evil.example/x", "a\\b", ""]
        {
            let mut index = index();
            index.packages[0].url = url.to_owned();
            let text = serde_json::to_vec(&index).expect("JSON");
            assert!(Index::parse(&text).is_err(), "{url}");
        }
        let text = serde_json::to_string(&index()).expect("JSON");
        assert_eq!(Index::parse(text.as_bytes()).expect("an index"), index());
        let later = text.replace("\"format\":1", "\"format\":2");
        let refused = Index::parse(later.as_bytes()).expect_err("refused").to_string();
        assert!(refused.contains("format 2"), "{refused}");
    }

    #[test]
    fn a_word_is_found_in_whatever_people_read() {
        assert_eq!(index().search("HOOK-X").len(), 7);
        assert_eq!(index().search("kpi").len(), 0);
    }
}
