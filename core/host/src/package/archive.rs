//! A package as one file, `<id>-<version>.regard`: a gzipped tar of the manifest, the code and what people read.
//!
//! - `tar`: the container, in the one form that is allowed
//! - `gzip`: the compression around it
//!
//! An archive is input from somebody else. It is read in memory, within the bounds below, and refused as a whole at the
//! first thing that is not as we would have written it; nothing is ever unpacked to a disk. The page for other
//! implementations is `sdk/PACKAGES.md`.

mod gzip;
mod tar;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    COMPONENT_BYTES_MAX, DEPTH_MAX, LEFT_OUT, Package, PackageError, SOURCE_BYTES_MAX, SOURCES_MAX, hex,
};
use crate::manifest::{MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, Runtime};

pub use tar::NAME_BYTES_MAX;

/// What the name of an archive ends in.
pub const EXTENSION: &str = "regard";
/// Largest archive, in bytes: the largest component hardly compressed, and what stands beside it. In base 64 it fits a call.
pub const ARCHIVE_BYTES_MAX: usize = 70 << 20;
/// Most that an archive may unpack to, in bytes: the largest component and 4 MiB beside it. Bounds what a bomb can do.
pub const UNPACKED_BYTES_MAX: usize = 68 << 20;
/// Most members: all sources that a package may have, and twice as many fixtures.
pub const MEMBERS_MAX: usize = 3 * SOURCES_MAX;
/// Largest README or licence, in bytes; the longest licences in use have 40 kB.
pub const DOCUMENT_BYTES_MAX: u64 = 1 << 20;
/// Largest fixture, in bytes: some thousand recorded rows or calls.
pub const FIXTURE_BYTES_MAX: u64 = 2 << 20;
/// The folder with the author's data for the test kit.
const FIXTURES: &str = "fixtures";
/// What people read first.
const README: &str = "README.md";
/// A licence, or the first word of several, such as `LICENSE-MIT`.
const LICENSE: &str = "LICENSE";

/// An archive that was read: the plugin, and what comes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Archive {
    package: Package,
    extras: BTreeMap<String, Vec<u8>>,
    sha256: String,
}

/// Why an archive cannot be read or written. Nothing of it was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArchiveError {
    /// The file as a whole.
    #[error("the archive {0}")]
    Whole(String),
    /// One member of it.
    #[error("the archive's member `{name}` {problem}")]
    Member {
        /// Its name, as far as it can be printed.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Manifest and code do not make a plugin, or a folder cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// What a member is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Manifest,
    Code(u64),
    Extra(u64),
}

impl Archive {
    /// Reads an archive. See [`ArchiveError`] for what is refused: everything but what [`pack`] writes, compressed by
    /// whoever knows gzip.
    pub fn read(bytes: &[u8]) -> Result<Self, ArchiveError> {
        if bytes.len() > ARCHIVE_BYTES_MAX {
            let problem = format!("is {} bytes long, at most {ARCHIVE_BYTES_MAX} are taken", bytes.len());
            return Err(ArchiveError::Whole(problem));
        }
        let container = gzip::unpack(bytes, UNPACKED_BYTES_MAX).map_err(ArchiveError::Whole)?;
        let members = tar::read(&container, MEMBERS_MAX).map_err(|(name, problem)| match name {
            Some(name) => refused(&name, problem),
            None => ArchiveError::Whole(problem),
        })?;
        check_names(members.iter().map(|member| member.name.as_str()))?;
        let manifest = members.iter().find(|member| member.name == MANIFEST_FILE).ok_or_else(|| {
            ArchiveError::Whole(format!("has no {MANIFEST_FILE}; is it a .regard package?"))
        })?;
        check_size(MANIFEST_FILE, manifest.bytes.len(), MANIFEST_BYTES_MAX)?;
        let manifest_text = String::from_utf8(manifest.bytes.to_vec())
            .map_err(|_| refused(MANIFEST_FILE, "is not UTF-8 text"))?;
        let plugin = Manifest::parse(&manifest_text, Path::new(MANIFEST_FILE)).map_err(PackageError::from)?;

        let (mut files, mut extras) = (BTreeMap::new(), BTreeMap::new());
        for member in &members {
            let part = part(&member.name, &plugin)
                .ok_or_else(|| refused(&member.name, "does not belong into a package"))?;
            let (bytes_max, into) = match part {
                Part::Manifest => continue,
                Part::Code(bytes_max) => (bytes_max, &mut files),
                Part::Extra(bytes_max) => (bytes_max, &mut extras),
            };
            check_size(&member.name, member.bytes.len(), bytes_max)?;
            into.insert(member.name.clone(), member.bytes.to_vec());
            if plugin.runtime == Runtime::Luau && files.len() > SOURCES_MAX {
                return Err(ArchiveError::Whole(format!("has more than {SOURCES_MAX} Luau files")));
            }
        }
        let package = Package::from_parts(Path::new(MANIFEST_FILE), manifest_text, files)?;
        Ok(Self { package, extras, sha256: sha256(bytes) })
    }

    /// The plugin.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// The plugin, without what comes with it.
    pub fn into_package(self) -> Package {
        self.package
    }

    /// What is no code: README, licence, fixtures. The package's digest does not cover it, the archive's SHA-256 does.
    pub fn extras(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.extras
    }

    /// SHA-256 of the archive, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// The name that an archive of this plugin has.
pub fn file_name(manifest: &Manifest) -> String {
    format!("{}-{}.{EXTENSION}", manifest.id, manifest.version)
}

/// SHA-256 of an archive, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Packs a plugin with what lies beside it in `folder`: README, licence and fixtures. The same files give the same bytes,
/// whenever and wherever they are packed.
pub fn pack(package: &Package, folder: &Path) -> Result<Vec<u8>, ArchiveError> {
    let mut extras = BTreeMap::new();
    collect(folder, folder, 0, &mut extras)?;
    let mut members: BTreeMap<&str, &[u8]> =
        extras.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    members.extend(package.files().iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    members.insert(MANIFEST_FILE, package.manifest_text().as_bytes());
    check_names(members.keys().copied())?;
    let archive = gzip::pack(&tar::write(members.into_iter()));
    // Whoever packs hears what others would say on reading.
    Archive::read(&archive)?;
    Ok(archive)
}

/// What a member with this name is for; `None` for what no package holds.
fn part(name: &str, manifest: &Manifest) -> Option<Part> {
    if name == MANIFEST_FILE {
        return Some(Part::Manifest);
    }
    if let Some(part) = extra(name) {
        return Some(part);
    }
    match manifest.runtime {
        Runtime::Wasm | Runtime::Native => {
            (Path::new(name) == manifest.entry()).then_some(Part::Code(COMPONENT_BYTES_MAX))
        }
        Runtime::Luau => is_source(name).then_some(Part::Code(SOURCE_BYTES_MAX)),
    }
}

fn extra(name: &str) -> Option<Part> {
    let is_license = name.strip_prefix(LICENSE).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if name == README || (is_license && !name.contains('/')) {
        return Some(Part::Extra(DOCUMENT_BYTES_MAX));
    }
    let is_fixture =
        name.split_once('/').is_some_and(|(first, rest)| first == FIXTURES && folders(rest) < DEPTH_MAX);
    is_fixture.then_some(Part::Extra(FIXTURE_BYTES_MAX))
}

/// Whether [`Package::from_folder`] takes a file of this name for code.
fn is_source(name: &str) -> bool {
    let (inside, file) = name.rsplit_once('/').unwrap_or(("", name));
    file.ends_with(".luau")
        && folders(name) <= DEPTH_MAX
        && !inside.split('/').any(|folder| LEFT_OUT.contains(&folder))
}

fn folders(name: &str) -> usize {
    name.matches('/').count()
}

/// Names ascend, mean the same file on every system and stay inside the folder that somebody may unpack them into.
fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), ArchiveError> {
    let (mut before, mut folded) = ("", BTreeSet::new());
    for name in names {
        check_name(name).map_err(|problem| refused(name, problem))?;
        if name == before {
            return Err(refused(name, "is there twice"));
        }
        if name < before {
            return Err(refused(name, "is out of order; members are sorted by name"));
        }
        if !folded.insert(name.to_ascii_lowercase()) {
            return Err(refused(name, "differs from another member only in upper and lower case"));
        }
        before = name;
    }
    Ok(())
}

/// Whether a relative name is plain: safe to join to a folder or to an address. Says what is wrong otherwise.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+/".contains(c);
    if name.starts_with('/') {
        Err("is an absolute path")
    } else if name.contains('\\') {
        Err("has a backslash in its name")
    } else if name.is_empty() {
        Err("has no name")
    } else if name.len() > NAME_BYTES_MAX {
        Err("has a name of more than 100 bytes")
    } else if !name.chars().all(is_plain) {
        Err("has a name with other characters than letters, digits, `.`, `_`, `-` and `+`")
    } else if name.split('/').any(|part| part == "..") {
        Err("leaves its folder by `..`")
    } else if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        Err("has an empty or hidden part in its path")
    } else {
        Ok(())
    }
}

fn check_size(name: &str, found: usize, bytes_max: u64) -> Result<(), ArchiveError> {
    if found as u64 <= bytes_max {
        return Ok(());
    }
    Err(refused(name, format!("is {found} bytes long, at most {bytes_max} are taken")))
}

fn refused(name: &str, problem: impl Into<String>) -> ArchiveError {
    ArchiveError::Member { name: name.escape_debug().to_string(), problem: problem.into() }
}

/// README and licence at the top, everything below `fixtures`. Links and hidden files stay out.
fn collect(
    root: &Path,
    folder: &Path,
    depth: usize,
    extras: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), ArchiveError> {
    let fault = |file: &Path, why: std::io::Error| super::fault(file, why);
    for entry in std::fs::read_dir(folder).map_err(|why| fault(folder, why))? {
        let entry = entry.map_err(|why| fault(folder, why))?;
        let (path, kind): (PathBuf, _) =
            (entry.path(), entry.file_type().map_err(|why| fault(&entry.path(), why))?);
        let name = super::slashed(path.strip_prefix(root).unwrap_or(&path));
        if name.split('/').any(|part| part.starts_with('.')) {
            continue;
        }
        if kind.is_dir() && (depth > 0 || name == FIXTURES) && depth < DEPTH_MAX {
            collect(root, &path, depth + 1, extras)?;
        } else if kind.is_file()
            && let Some(Part::Extra(bytes_max)) = extra(&name)
        {
            if extras.len() == MEMBERS_MAX {
                return Err(ArchiveError::Whole(format!("has more than {MEMBERS_MAX} members")));
            }
            extras.insert(name, super::read(&path, bytes_max)?);
        }
    }
    Ok(())
}
