//! The plugins that come with the source: found, built where they need it, installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use regard_host::Package;
use regard_host::build::sources::Language;
use regard_host::build::{self, BuildOptions, Built};
use regard_host::manifest::{MANIFEST_FILE, Manifest, Runtime};

use crate::app::App;
use crate::plugins::{self, Install};

/// Finds a folder of the source tree, such as `plugins` or `examples/quickstart`: from the working folder upwards, then
/// from the program's own place, then where the program was compiled.
pub fn source_folder(name: &str) -> Result<PathBuf> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR"));
    let starts = here.iter().chain(&program).map(PathBuf::as_path).chain([compiled]);
    for start in starts {
        for folder in start.ancestors() {
            // A folder of that name may stand anywhere; the source tree is told by its contract.
            if folder.join("sdk/wit").is_dir() && folder.join(name).is_dir() {
                return Ok(folder.join(name));
            }
        }
    }
    bail!("cannot find the folder `{name}` of the source: run this command inside a clone of the project")
}

/// Builds a plugin's folder where it needs it, and reads it. `say` hears what is going on.
pub fn package(folder: &Path, say: &mut dyn FnMut(&str)) -> Result<Package> {
    let manifest = Manifest::read(folder)?;
    // Without sources that can be built, the code lies there already.
    let is_built = match manifest.runtime {
        Runtime::Wasm => Language::of(folder).is_some(),
        Runtime::Native => build::native::has_sources(folder),
        Runtime::Luau => false,
    };
    if !is_built {
        return Ok(Package::from_folder(folder)?);
    }
    let options = BuildOptions::new(build::cache_dir().join("components"));
    packed(folder, &build::build_plugin(folder, &options, say)?)
}

/// The package of a plugin that was just built from `folder`.
pub fn packed(folder: &Path, built: &Built) -> Result<Package> {
    let text = std::fs::read_to_string(folder.join(MANIFEST_FILE))
        .with_context(|| format!("cannot read {}", folder.join(MANIFEST_FILE).display()))?;
    let bytes = std::fs::read(&built.component)
        .with_context(|| format!("cannot read {}", built.component.display()))?;
    let entry = built.manifest.entry().to_string_lossy().into_owned();
    Ok(Package::from_parts(&folder.join(MANIFEST_FILE), text, [(entry, bytes)].into())?)
}

/// Installs every bundled plugin that is not installed in this very version. Returns their ids.
pub async fn install_all(app: &App, mut say: impl FnMut(&str) + Send) -> Result<Vec<String>> {
    let root = source_folder("plugins")?;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)
        .with_context(|| format!("cannot list {}", root.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(MANIFEST_FILE).is_file())
        .collect();
    folders.sort();
    let mut ids = Vec::new();
    for folder in folders {
        // Cargo runs and blocks; nothing else happens in a demo meanwhile.
        let package = tokio::task::block_in_place(|| package(&folder, &mut say))?;
        let id = package.manifest().id.clone();
        let known = app.store.find_plugin(&id).await?;
        if known.is_none_or(|known| known.digest != package.digest() || known.fault.is_some()) {
            plugins::install(app, Install { package, config: None, grants: None, signed_by: None }, "cli")
                .await?;
        }
        ids.push(id);
    }
    Ok(ids)
}
