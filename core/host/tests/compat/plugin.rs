//! The released plugin whose turn it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use regard_host::Package;
use serde_json::Value;

use crate::world::{Runtime, root};

static TAKEN: Mutex<Option<Package>> = Mutex::new(None);

fn folder() -> PathBuf {
    root().join("tests/compat")
}

/// The versions that were released.
pub fn versions() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("tests/compat");
    let names = entries.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_dir());
    let mut versions: Vec<_> =
        names.map(|entry| entry.file_name().into_string().expect("a version")).collect();
    versions.sort();
    versions
}

/// Has the cases that follow use the plugin `name` of `version`.
pub fn take(version: &str, name: &str, runtime: Runtime) {
    let folder = folder().join(version).join("plugins").join(name);
    let package = match runtime {
        Runtime::Luau => Package::from_folder(&folder).expect("a released plugin in Luau"),
        _ => component(&folder),
    };
    *TAKEN.lock() = Some(package);
}

fn component(folder: &Path) -> Package {
    let read = |name: &str| {
        std::fs::read(folder.join(name)).unwrap_or_else(|why| panic!("{}/{name}: {why}", folder.display()))
    };
    let manifest = String::from_utf8(read("plugin.toml")).expect("text");
    let files = BTreeMap::from([("conforming.wasm".to_owned(), read("conforming.wasm"))]);
    Package::from_parts(Path::new("conforming/plugin.toml"), manifest, files).expect("a released plugin")
}

/// What the conformance suite builds, and this suite has.
pub fn conforming(_: Runtime) -> Package {
    TAKEN.lock().clone().expect("a plugin was taken")
}

pub async fn migrates(runtime: Runtime) {
    let world = crate::given::world(runtime).await;
    let prepared = world.host.prepare(conforming(runtime), Value::Null, None).await.expect("prepared");
    let effects = prepared.upgrade("0.0.9").await.expect("upgrades").expect("it migrates");
    assert_eq!(effects.kept, [("seen".to_owned(), Some(b"from 0.0.9".to_vec()))]);
    let effects =
        world.host.downgrade("conforming", "0.0.8").await.expect("downgrades").expect("it migrates");
    assert_eq!(effects.kept, [("seen".to_owned(), Some(b"to 0.0.8".to_vec()))]);
}
