//! A plugin's files and the digest that names them.
//!
//! - [`archive`]: a package as one file
//! - [`signature`]: who made that file
//! - [`index`]: which packages a publisher offers

pub mod archive;
pub mod index;
pub mod signature;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::manifest::{MANIFEST_FILE, Manifest, ManifestError, Runtime};

/// Largest component or library, in bytes: a Rust guest has some hundred kilobytes, one with an embedded interpreter 10 to
/// 20 MB.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// Most Luau files in a package; more are a program, not a plugin.
pub const SOURCES_MAX: usize = 256;
/// Largest Luau file, in bytes.
pub const SOURCE_BYTES_MAX: u64 = 1 << 20;
/// Deepest folder below the package's own that is looked into.
const DEPTH_MAX: usize = 4;
/// Folders whose Luau files belong to the author's tests or tools, not to the plugin.
const LEFT_OUT: [&str; 4] = ["tests", "fixtures", "target", "node_modules"];

/// A plugin as it is installed: its manifest and its code.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    manifest: Manifest,
    manifest_text: String,
    manifest_file: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    digest: String,
}

/// Why a package cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PackageError {
    /// Its manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file is missing, unreadable or too large.
    #[error("{}: {problem}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and how to mend it.
        problem: String,
    },
}

impl Package {
    /// Reads a plugin's folder: `plugin.toml`, and the component, the library, or all Luau files; those of tests and tools,
    /// and hidden ones, are left out.
    pub fn from_folder(folder: &Path) -> Result<Self, PackageError> {
        let file = folder.join(MANIFEST_FILE);
        let manifest = Manifest::read(folder)?;
        let text = std::fs::read_to_string(&file).map_err(|why| fault(&file, why))?;
        let mut files = BTreeMap::new();
        match manifest.runtime {
            Runtime::Wasm | Runtime::Native => {
                let entry = folder.join(manifest.entry());
                files.insert(slashed(&manifest.entry()), read(&entry, COMPONENT_BYTES_MAX)?);
            }
            Runtime::Luau => sources(folder, folder, 0, &mut files)?,
        }
        Self::from_parts(&file, text, files)
    }

    /// A package from its parts, as they come out of an archive or a database. `manifest_file` only serves messages.
    pub fn from_parts(
        manifest_file: &Path,
        manifest_text: String,
        files: BTreeMap<String, Vec<u8>>,
    ) -> Result<Self, PackageError> {
        let manifest = Manifest::parse(&manifest_text, manifest_file)?;
        let entry = slashed(&manifest.entry());
        if !files.contains_key(&entry) {
            let problem = match manifest.runtime {
                Runtime::Wasm | Runtime::Native => {
                    "no such file; build the plugin first, or set `entry` in plugin.toml".to_owned()
                }
                Runtime::Luau => "no such file; a Luau plugin begins in handler.luau".to_owned(),
            };
            return Err(PackageError::File { file: manifest_file.with_file_name(entry), problem });
        }
        for (name, bytes) in &files {
            if manifest.runtime == Runtime::Luau {
                check_source(bytes).map_err(|problem| PackageError::File {
                    file: manifest_file.with_file_name(name),
                    problem: problem.to_owned(),
                })?;
            }
        }
        let digest = digest(&manifest_text, &files);
        Ok(Self { manifest, manifest_text, manifest_file: manifest_file.to_owned(), files, digest })
    }

    /// The parsed manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest as it was written.
    pub fn manifest_text(&self) -> &str {
        &self.manifest_text
    }

    /// Where the manifest was read; names the package in messages.
    pub fn manifest_file(&self) -> &Path {
        &self.manifest_file
    }

    /// The code: file names, with `/` between folders, and contents.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// SHA-256 over manifest and code, in hex: two packages with the same digest are the same plugin.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The file that is run first.
    pub(crate) fn entry(&self) -> &[u8] {
        self.files.get(&slashed(&self.manifest.entry())).map_or(&[], Vec::as_slice)
    }

    /// A complaint about `key` of this package's manifest that names the line where it stands.
    pub(crate) fn manifest_fault(&self, key: &str, problem: String, mend: String) -> ManifestError {
        self.located(ManifestError { file: self.manifest_file.clone(), key: key.to_owned(), problem, mend })
    }

    /// The same complaint with the line of its key, when the key stands in the manifest.
    pub(crate) fn located(&self, fault: ManifestError) -> ManifestError {
        let last = fault.key.rsplit('.').next().unwrap_or_default();
        let names_it = |line: &str| {
            let line = line.trim_start().trim_start_matches('[');
            !last.is_empty()
                && line.strip_prefix(last).is_some_and(|rest| rest.trim_start().starts_with(['=', ']']))
        };
        match self.manifest_text.lines().position(names_it) {
            Some(at) => ManifestError { problem: format!("(line {}) {}", at + 1, fault.problem), ..fault },
            None => fault,
        }
    }
}

/// SHA-256 in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Lengths stand before contents, so that moving bytes from one file to the next changes the digest.
fn digest(manifest: &str, files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    let parts = std::iter::once((MANIFEST_FILE, manifest.as_bytes()))
        .chain(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    for (name, bytes) in parts {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hex(&hash.finalize())
}

/// Only text is taken: Luau trusts compiled code blindly, so bytecode from a package could break out of the sandbox.
fn check_source(bytes: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "is not UTF-8 text; bytecode is refused, ship the Luau source")?;
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if text.chars().all(is_text) {
        Ok(())
    } else {
        Err("has control characters; bytecode is refused, ship the Luau source")
    }
}

fn sources(
    root: &Path,
    folder: &Path,
    depth: usize,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), PackageError> {
    for entry in std::fs::read_dir(folder).map_err(|why| fault(folder, why))? {
        let entry = entry.map_err(|why| fault(folder, why))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(|why| fault(folder, why))?);
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // A symbolic link could lead out of the folder; neither `is_dir` nor `is_file` holds for one.
        if kind.is_dir() && depth < DEPTH_MAX && !LEFT_OUT.iter().any(|left_out| name == *left_out) {
            sources(root, &path, depth + 1, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "luau") {
            if files.len() == SOURCES_MAX {
                let problem = format!("has more than {SOURCES_MAX} Luau files");
                return Err(PackageError::File { file: root.to_owned(), problem });
            }
            let inside = path.strip_prefix(root).unwrap_or(&path);
            files.insert(slashed(inside), read(&path, SOURCE_BYTES_MAX)?);
        }
    }
    Ok(())
}

fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>, PackageError> {
    let found = std::fs::metadata(file).map_err(|why| fault(file, why))?.len();
    if found > bytes_max {
        let problem = format!("is {found} bytes long, at most {bytes_max} are taken");
        return Err(PackageError::File { file: file.to_owned(), problem });
    }
    std::fs::read(file).map_err(|why| fault(file, why))
}

fn fault(file: &Path, why: std::io::Error) -> PackageError {
    PackageError::File { file: file.to_owned(), problem: why.to_string() }
}

/// The same name on every platform.
fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "id = \"hook-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\n\
        runtime = \"luau\"\ncapabilities = [\"hook\"]\n";

    fn package(files: &[(&str, &[u8])]) -> Result<Package, PackageError> {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        Package::from_parts(Path::new("x/plugin.toml"), MANIFEST.to_owned(), files)
    }

    #[test]
    fn the_digest_covers_names_and_contents() {
        let one = package(&[("handler.luau", b"return {}")]).expect("package");
        let same = package(&[("handler.luau", b"return {}")]).expect("package");
        let other = package(&[("handler.luau", b"return {} ")]).expect("package");
        let more = package(&[("handler.luau", b"return {}"), ("a.luau", b"")]).expect("package");
        assert_eq!(one.digest(), same.digest());
        assert!(one.digest() != other.digest() && one.digest() != more.digest());
    }

    #[test]
    fn bytecode_is_refused() {
        for bytes in [&b"\x06\x03\x01"[..], &[0xff, 0xfe], b"return 1\0"] {
            let refused = package(&[("handler.luau", bytes)]).expect_err("refused").to_string();
            assert!(refused.contains("bytecode is refused"), "{refused}");
        }
        assert!(package(&[("other.luau", b"")]).is_err(), "there is no handler");
    }

    #[test]
    fn faults_name_the_line() {
        let package = package(&[("handler.luau", b"return {}")]).expect("package");
        let fault = package.manifest_fault("capabilities", "is wrong".into(), "mend it".into());
        assert_eq!(fault.to_string(), "x/plugin.toml: `capabilities` (line 6) is wrong; mend it");
    }
}
