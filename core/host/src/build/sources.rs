//! A plugin's source files: what language they are in, their digest, and the component that was built from them before.
//!
//! The tools of interpreted languages store the memory of a running interpreter, which has random numbers in it: two
//! builds of the same sources differ in some bytes. So a component is kept and built again only when something that goes
//! into it has changed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{BuildError, BuildOptions};

/// Source files of a plugin together, in bytes; more is data, not a program.
const BYTES_MAX: u64 = 64 << 20;
/// Deepest folder below the plugin's own that is looked into.
const DEPTH_MAX: usize = 16;
/// Folders that hold no sources: what tools made or fetched, and what belongs to the author's tests.
const LEFT_OUT: [&str; 10] = [
    ".git",
    ".mypy_cache",
    ".pytest_cache",
    ".regard",
    ".venv",
    "__pycache__",
    "dist",
    "fixtures",
    "node_modules",
    "target",
];
/// npm's own record of what it installed, which stands for all of it.
const NPM_RECORD: &str = "node_modules/.package-lock.json";
/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;

/// The language that a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A crate.
    Rust,
    /// `plugin.ts`, with or without a package.json.
    TypeScript,
    /// `plugin.py`, with or without a pyproject.toml.
    Python,
}

impl Language {
    /// The language of the sources in `folder`; none when nothing there can be built.
    pub fn of(folder: &Path) -> Option<Self> {
        let has = |name: &str| folder.join(name).is_file();
        if has("Cargo.toml") {
            Some(Self::Rust)
        } else if has("plugin.ts") || has("package.json") {
            Some(Self::TypeScript)
        } else if has("plugin.py") || has("pyproject.toml") {
            Some(Self::Python)
        } else {
            None
        }
    }
}

/// A digest over all sources in `folder`, and over `tools`: whatever else decides what comes out.
pub fn digest(folder: &Path, tools: &[&str]) -> Result<[u8; DIGEST_BYTES], BuildError> {
    let mut files = BTreeMap::new();
    collect(folder, folder, 0, &mut files)?;
    let mut hash = Sha256::new();
    let mut bytes_left = BYTES_MAX;
    let mut add = |name: &str, bytes: &[u8]| {
        for part in [name.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    };
    for tool in tools {
        add("", tool.as_bytes());
    }
    for (name, path) in files {
        let bytes = std::fs::read(&path).map_err(|source| BuildError::File { path, source })?;
        bytes_left = bytes_left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            BuildError::Toolchain(format!(
                "{}: more than {BYTES_MAX} bytes of sources; move data out of the plugin's folder",
                folder.display()
            ))
        })?;
        add(&name, &bytes);
    }
    Ok(hash.finalize().into())
}

fn collect(
    root: &Path,
    folder: &Path,
    depth: usize,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), BuildError> {
    let fault = |source| BuildError::File { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(fault)?);
        let name = entry.file_name();
        if kind.is_dir() && depth < DEPTH_MAX && !LEFT_OUT.iter().any(|left_out| name == *left_out) {
            collect(root, &path, depth + 1, files)?;
        } else if kind.is_file() && path.extension().is_none_or(|extension| extension != "wasm") {
            let inside = path.strip_prefix(root).unwrap_or(&path);
            files.insert(inside.to_string_lossy().into_owned(), path);
        }
    }
    let record = folder.join(NPM_RECORD);
    if depth == 0 && record.is_file() {
        files.insert(NPM_RECORD.to_owned(), record);
    }
    Ok(())
}

/// The component that was built last from the sources in one folder.
pub struct Kept {
    file: PathBuf,
    sources: [u8; DIGEST_BYTES],
}

impl Kept {
    /// Of the plugin `id` in `folder`, whose sources have the digest `sources`.
    pub fn new(id: &str, folder: &Path, sources: [u8; DIGEST_BYTES], options: &BuildOptions) -> Self {
        let place = super::hex(&Sha256::digest(folder.as_os_str().as_encoded_bytes())[..8]);
        Self { file: options.cache_dir.join("built").join(format!("{id}-{place}")), sources }
    }

    /// The component, if it was built from these very sources and the file is whole.
    pub fn read(&self) -> Option<Vec<u8>> {
        let content = std::fs::read(&self.file).ok()?;
        let (sources, rest) = content.split_at_checked(DIGEST_BYTES)?;
        let (digest, component) = rest.split_at_checked(DIGEST_BYTES)?;
        let is_whole = sources == self.sources && digest == Sha256::digest(component).as_slice();
        is_whole.then(|| component.to_owned())
    }

    /// Keeps `component`, in place of what was kept for this folder before.
    pub fn write(&self, component: &[u8]) -> Result<(), BuildError> {
        let mut content = self.sources.to_vec();
        content.extend_from_slice(&Sha256::digest(component));
        content.extend_from_slice(component);
        let fault = |source| BuildError::File { path: self.file.clone(), source };
        super::write_if_changed(&self.file, &content).map(|_| ()).map_err(fault)
    }
}

/// A folder that one build works in; it is gone when the build is.
pub struct Work(PathBuf);

impl Work {
    /// A new, empty one.
    pub fn new(id: &str, options: &BuildOptions) -> Result<Self, BuildError> {
        static BUILDS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = BUILDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = options.cache_dir.join("builds").join(format!("{id}-{}-{number}", std::process::id()));
        let made = match std::fs::remove_dir_all(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            _ => std::fs::create_dir_all(&path),
        };
        match made {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(BuildError::File { path, source }),
        }
    }

    /// A file or folder inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file inside, with the folders above it.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, BuildError> {
        let path = self.path(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        match written.and_then(|()| std::fs::write(&path, text)) {
            Ok(()) => Ok(path),
            Err(source) => Err(BuildError::File { path, source }),
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // That it cannot be removed harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_sources_and_tools() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("a file");
        };
        let now = |tool: &str| digest(folder.path(), &[tool]).expect("a digest");
        write("plugin.py", "x = 1");
        let first = now("a");
        write("kpi-x.wasm", "what was built");
        write("__pycache__/plugin.pyc", "what was cached");
        assert_eq!(now("a"), first);
        assert_ne!(now("b"), first);
        write("rules/vip.py", "y = 1");
        assert_ne!(now("a"), first);
    }

    #[test]
    fn a_component_is_kept_for_its_sources() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = BuildOptions { cache_dir: folder.path().to_owned(), ..BuildOptions::new("out") };
        let kept = |sources: u8| Kept::new("kpi-x", Path::new("/p"), [sources; DIGEST_BYTES], &options);
        assert!(kept(1).read().is_none());
        kept(1).write(b"component").expect("written");
        assert_eq!(kept(1).read().as_deref(), Some(&b"component"[..]));
        assert!(kept(2).read().is_none());
        std::fs::write(&kept(1).file, b"damaged").expect("written");
        assert!(kept(1).read().is_none());
    }

    #[test]
    fn files_name_the_language() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Language::of(folder.path()), None);
        for (name, language) in [
            ("plugin.py", Language::Python),
            ("plugin.ts", Language::TypeScript),
            ("Cargo.toml", Language::Rust),
        ] {
            std::fs::write(folder.path().join(name), "").expect("a file");
            assert_eq!(Language::of(folder.path()), Some(language));
        }
    }
}
