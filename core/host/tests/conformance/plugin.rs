//! The conforming plugin, built for each runtime.

use std::path::Path;
use std::sync::OnceLock;

use regard_host::Package;

use crate::world::{Runtime, allowed, component, fixture, library};

/// With another manifest.
pub fn conforming_with(runtime: Runtime, change: impl FnOnce(String) -> String) -> Package {
    static COMPONENT: OnceLock<Package> = OnceLock::new();
    static LIBRARY: OnceLock<Package> = OnceLock::new();
    let folder = fixture("conforming");
    let package = match runtime {
        Runtime::Luau => Package::from_folder(&fixture("conforming-luau")).expect("the Luau fixture"),
        Runtime::Wasm => COMPONENT.get_or_init(|| component(&folder)).clone(),
        Runtime::Native => LIBRARY.get_or_init(|| library(&folder)).clone(),
    };
    let manifest = change(package.manifest_text().to_owned());
    let package = Package::from_parts(Path::new("conforming/plugin.toml"), manifest, package.files().clone());
    allowed(package.expect("a package"))
}

pub fn conforming(runtime: Runtime) -> Package {
    conforming_with(runtime, |manifest| manifest)
}
