//! Turns a plugin's folder into a WebAssembly component or a native library.
//!
//! The way of one build, in reading order:
//!
//! - [`sources`]: the folder's language, the digest of its files, and what was built from them before
//! - for Rust: [`wasm_std`] finds or fetches the standard library for `wasm32-unknown-unknown`, [`debian`] takes its
//!   source from the machine's Debian mirror, for machines that rustup cannot serve, and [`cargo`] compiles the folder
//!   into a core module, with the SDK that [`rust_sdk`] puts into the folders of those who have no source of ours
//! - [`typescript`] and [`python`]: a component around an interpreter, with [`toolchain`] for their tools, [`contract`]
//!   for the plugin's world, [`exports`] for what the tools leave behind, and [`editor`] for the SDK beside the sources
//! - [`component`]: makes a module a component and checks what a component imports and exports
//! - [`native`]: the other way, to a shared library, from Rust or C
//! - [`command`]: programs run with a deadline
//!
//! All guests in Rust share one target folder, apart from the host's own, so that dependencies and a standard library
//! built from source are compiled once and the locks do not meet. The workspace's profiles stay as they are:
//! what a guest needs is passed in cargo's environment. Everything blocks; call it from a thread that may
//! wait.

pub mod cargo;
pub mod command;
pub mod component;
pub mod contract;
pub mod debian;
pub mod editor;
pub mod exports;
pub mod native;
pub mod python;
pub mod rust_sdk;
pub mod sources;
pub mod toolchain;
pub mod typescript;
pub mod wasm_std;

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use self::sources::Language;
use crate::manifest::{MANIFEST_FILE, Manifest, ManifestError, Runtime};

/// Where a build puts things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOptions {
    /// The folder that receives `<id>.wasm`, or the library.
    pub out_dir: PathBuf,
    /// Cargo's target folder for all guests; never the host's own.
    pub target_dir: PathBuf,
    /// Where fetched standard-library sources, tools of other languages and what they built are kept.
    pub cache_dir: PathBuf,
    /// Whether nothing may be fetched: no rustup, no Debian mirror, `cargo --offline`, no npm, no pip.
    pub offline: bool,
}

impl BuildOptions {
    /// Options with target and cache folder below the user's cache folder, see [`cache_dir`].
    pub fn new(out_dir: impl Into<PathBuf>) -> Self {
        let cache_dir = cache_dir();
        Self { out_dir: out_dir.into(), target_dir: cache_dir.join("guests"), cache_dir, offline: false }
    }
}

/// `$XDG_CACHE_HOME/regard`, `~/.cache/regard`, or a folder below the temporary one.
pub fn cache_dir() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("regard")
}

/// A built plugin.
#[derive(Debug, Clone)]
pub struct Built {
    /// The folder's manifest.
    pub manifest: Manifest,
    /// The component, `<out_dir>/<id>.wasm`, or the library.
    pub component: PathBuf,
    /// SHA-256 of the component in lower-case hexadecimal digits.
    pub digest: String,
    /// The component's size.
    pub bytes: u64,
    /// Whether the file was written; an unchanged component keeps its file and time.
    pub changed: bool,
    /// The interfaces that the component imports, such as `regard:core/log@0.1.0`.
    pub imports: Vec<String>,
    /// The interfaces that the component exports.
    pub exports: Vec<String>,
}

/// Why a build failed: the stage and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The folder is not something this build makes.
    #[error("{plugin}: build refused: {reason}")]
    Refused {
        /// The plugin's id.
        plugin: String,
        /// Why, and what to do instead.
        reason: String,
    },
    /// A program the build needs is missing or did not do its part.
    #[error("{0}")]
    Toolchain(String),
    /// The plugin does not compile.
    #[error("{plugin}: cargo failed:\n{output}")]
    Compile {
        /// The plugin's id.
        plugin: String,
        /// The end of what cargo and the compiler said.
        output: String,
    },
    /// The C sources do not compile.
    #[error("{plugin}: the C compiler failed:\n{output}")]
    C {
        /// The plugin's id.
        plugin: String,
        /// The end of what the compiler said.
        output: String,
    },
    /// A step in building a plugin in another language failed.
    #[error("{plugin}: {step} failed:\n{output}")]
    Step {
        /// The plugin's id.
        plugin: String,
        /// The step or its tool.
        step: &'static str,
        /// The end of what was said.
        output: String,
    },
    /// The compiled module is no plugin.
    #[error("{plugin}: component refused: {reason}")]
    Component {
        /// The plugin's id.
        plugin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Builds the plugin in `folder` and returns its component or library. What lies there says the language: see
/// [`sources::Language`]. A crate may be inside a cargo workspace or on its own. `progress` receives lines for a person.
pub fn build_plugin(
    folder: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    let manifest = Manifest::read(folder)?;
    let plugin = manifest.id.clone();
    let refused = |reason: &str| BuildError::Refused { plugin: plugin.clone(), reason: reason.to_owned() };
    match manifest.runtime {
        Runtime::Wasm => {}
        Runtime::Native => return native::build(folder, manifest, options, progress),
        Runtime::Luau => {
            return Err(refused("a Luau plugin runs as it is; there is nothing to build"));
        }
    }
    let folder = absolute(folder)?;
    let cache_dir = absolute(&options.cache_dir)?;
    let target_dir = absolute(&options.target_dir)?;
    let options = BuildOptions { target_dir, cache_dir, ..options.clone() };

    let component = match Language::of(&folder) {
        Some(Language::Rust) => rust(&manifest, &folder, &options, progress)?,
        Some(Language::TypeScript) => typescript::build(&manifest, &folder, &options, progress)?,
        Some(Language::Python) => python::build(&manifest, &folder, &options, progress)?,
        None => {
            return Err(refused(
                "there is no Cargo.toml, plugin.ts or plugin.py; build plugins in other languages with their own tools",
            ));
        }
    };
    manifest.check_component(&folder.join(MANIFEST_FILE), &component.imports, &component.exports)?;

    let path = options.out_dir.join(format!("{plugin}.wasm"));
    let changed = write_if_changed(&path, &component.bytes)
        .map_err(|source| BuildError::File { path: path.clone(), source })?;
    Ok(Built {
        digest: hex(&Sha256::digest(&component.bytes)),
        bytes: component.bytes.len() as u64,
        manifest,
        component: path,
        changed,
        imports: component.imports,
        exports: component.exports,
    })
}

fn rust(
    manifest: &Manifest,
    folder: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<component::Encoded, BuildError> {
    rust_sdk::show(manifest, folder, progress)?;
    let wasm_std = wasm_std::find(folder, options, progress)?;
    let module = cargo::build(&manifest.id, folder, &wasm_std, options, progress)?;
    let module = std::fs::read(&module).map_err(|source| BuildError::File { path: module, source })?;
    component::encode(manifest, &module)
}

/// Puts the SDK of the plugin's language into `.regard/` below its folder, for the author's editor; see [`editor`].
pub fn show_sdk(folder: &Path, progress: &mut dyn FnMut(&str)) -> Result<(), BuildError> {
    let manifest = Manifest::read(folder)?;
    match (manifest.runtime, Language::of(folder)) {
        (Runtime::Luau, _) => editor::show(folder, "luau", &editor::LUAU, progress),
        (_, Some(Language::Rust)) => rust_sdk::show(&manifest, folder, progress)?,
        (_, Some(Language::TypeScript)) => editor::show(folder, "typescript", &typescript::SDK, progress),
        (_, Some(Language::Python)) => editor::show(folder, "python/regard", &python::SDK, progress),
        (Runtime::Native, None) => editor::show(folder, "c", &[("regard.h", native::HEADER)], progress),
        (Runtime::Wasm, None) => {}
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(|source| BuildError::File { path: path.to_owned(), source })
}

/// Writes through a temporary file beside the target, so that nobody ever reads half a component.
fn write_if_changed(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("wasm.{}", std::process::id()));
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)?;
    Ok(true)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_component_keeps_its_file() {
        let folder = std::env::temp_dir().join(format!("regard-build-{}", std::process::id()));
        let path = folder.join("nested").join("kpi-x.wasm");
        assert!(write_if_changed(&path, b"one").expect("first write"));
        assert!(!write_if_changed(&path, b"one").expect("second write"));
        assert!(write_if_changed(&path, b"two").expect("third write"));
        assert_eq!(std::fs::read_dir(path.parent().expect("parent")).expect("folder").count(), 1);
        std::fs::remove_dir_all(folder).expect("clean up");
    }

    #[test]
    fn luau_plugins_are_not_compiled() {
        let folder = std::env::temp_dir().join(format!("regard-luau-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let text = "id = \"hook-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
                    capabilities = [\"hook\"]\n";
        std::fs::write(folder.join("plugin.toml"), text).expect("manifest");
        let error = build_plugin(&folder, &BuildOptions::new(&folder), &mut |_| {}).expect_err("refused");
        assert!(
            error.to_string().starts_with("hook-x: build refused: a Luau plugin runs as it is"),
            "{error}"
        );
        std::fs::remove_dir_all(folder).expect("clean up");
    }
}
