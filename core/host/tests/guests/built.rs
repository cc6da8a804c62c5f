//! The fixture and the examples, built once per run of the tests.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regard_host::build::{BuildOptions, Built, build_plugin};
use regard_host::{CallLimits, OperatorLimits, Package};

use crate::world::{World, fixture};

/// Both languages.
pub const LANGUAGES: [Language; 2] = [Language::TypeScript, Language::Python];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    TypeScript,
    Python,
}

impl Language {
    /// The fixture's id.
    pub fn guest(self) -> &'static str {
        match self {
            Self::TypeScript => "guest-typescript",
            Self::Python => "guest-python",
        }
    }
}

/// The package of the plugin in `folder`.
pub fn package(folder: &Path) -> Package {
    static PACKAGES: Mutex<BTreeMap<PathBuf, Package>> = Mutex::new(BTreeMap::new());
    let mut packages = PACKAGES.lock();
    if let Some(package) = packages.get(folder) {
        return package.clone();
    }
    let out = tempfile::tempdir().expect("a folder");
    let built = build(folder, out.path());
    for import in &built.imports {
        assert!(import.starts_with("regard:core/"), "{} imports {import}", folder.display());
    }
    let manifest_file = folder.join("plugin.toml");
    let manifest = std::fs::read_to_string(&manifest_file).expect("the manifest");
    let component = std::fs::read(&built.component).expect("the component");
    let files = BTreeMap::from([(format!("{}.wasm", built.manifest.id), component)]);
    let package = Package::from_parts(&manifest_file, manifest, files).expect("a package");
    packages.insert(folder.to_owned(), package.clone());
    package
}

/// Builds with the tools in the user's cache, which are installed if need be.
pub fn build(folder: &Path, out: &Path) -> Built {
    build_plugin(folder, &BuildOptions::new(out), &mut |line| eprintln!("{line}"))
        .unwrap_or_else(|why| panic!("{}: {why}", folder.display()))
}

/// A world with the fixture in `language`, and bounds that an interpreter fits in.
pub async fn world(language: Language) -> World {
    let world = World::with(|options| options.limits = limits());
    world.load(package(&fixture(language.guest()))).await;
    world
}

pub fn limits() -> OperatorLimits {
    let tight = crate::world::limits();
    let interactive = CallLimits { memory_bytes: 96 << 20, cpu: Duration::from_secs(1), ..tight.interactive };
    OperatorLimits { interactive, evaluation: CallLimits { output_bytes: 8 << 20, ..interactive } }
}
