//! Turns a TypeScript plugin into a component: `plugin.ts` and the SDK are bundled into one module without types, and
//! QuickJS is put around it. What the module calls of the host becomes the component's imports.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::command::run;
use super::sources::{Kept, Work, digest};
use super::toolchain::{Packages, Toolchain, find, node};
use super::{BuildError, BuildOptions, component, contract, editor};
use crate::manifest::Manifest;

/// The tools with their versions, as the folder they are installed in is named.
const NAME: &str = "componentize-qjs-0.4.5+rolldown-1.3.2";
/// What is installed, with the same versions.
const PACKAGE: &str = include_str!("../../../../sdk/typescript/build/package.json");
/// Bundles; see there.
const BUNDLE: &str = include_str!("../../../../sdk/typescript/build/bundle.mjs");
/// The file that a plugin begins with.
const MODULE: &str = "plugin.ts";
/// The file with what happens between two versions; without it nothing does.
const MIGRATION: &str = "migration.ts";
/// Bundling takes a second and QuickJS three; minutes mean that something hangs.
const STEP_TIME_MAX: Duration = Duration::from_secs(300);

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../../sdk/typescript/src/", $name)))),+]
    };
}

/// The SDK's files.
pub(super) const SDK: [(&str, &str); 29] = files![
    "clocked.ts",
    "columns.ts",
    "connector.ts",
    "contract.d.ts",
    "date.ts",
    "environment.d.ts",
    "error.ts",
    "exports.ts",
    "globals.ts",
    "guard.ts",
    "hook.ts",
    "host.ts",
    "host/clock.ts",
    "host/config.ts",
    "host/customers.ts",
    "host/http.ts",
    "host/interactions.ts",
    "host/kv.ts",
    "host/log.ts",
    "host/messages.ts",
    "host/metrics.ts",
    "host/records.ts",
    "index.ts",
    "kpi.ts",
    "migration.ts",
    "plugin.ts",
    "types.ts",
    "text.ts",
    "values.ts",
];

/// The component of the plugin in `folder`.
pub fn build(
    manifest: &Manifest,
    folder: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<component::Encoded, BuildError> {
    let refused = |reason: String| BuildError::Refused { plugin: manifest.id.clone(), reason };
    let module = folder.join(MODULE);
    if !module.is_file() {
        return Err(refused(format!("there is no {MODULE}; a TypeScript plugin begins there")));
    }
    if folder.join("package.json").is_file() && needs_install(folder) {
        let folder = folder.display();
        return Err(refused(format!(
            "package.json has dependencies that are not installed; run `npm install` in {folder}"
        )));
    }
    editor::show(folder, "typescript", &SDK, progress);
    let sdk: String = SDK.iter().map(|(_, text)| *text).collect();
    let sources = digest(folder, &[NAME, PACKAGE, BUNDLE, &sdk, &contract::text()])?;
    let kept = Kept::new(&manifest.id, folder, sources, options);
    if let Some(bytes) = kept.read() {
        return component::check(manifest, bytes);
    }

    let tools = find(&Toolchain { name: NAME, packages: Packages::Npm(PACKAGE) }, options, progress)?;
    let work = Work::new(&manifest.id, options)?;
    let migrates = folder.join(MIGRATION).is_file();
    let imports = bundle(manifest, &module, &tools, &work, progress)?;
    contract::write(&work.path("wit"), &contract::world(manifest, &imports, migrates))
        .map_err(|source| BuildError::File { path: work.path("wit"), source })?;
    progress(&format!("{}: making a component with QuickJS", manifest.id));
    let component = work.path("component.wasm");
    let mut command = Command::new(node()?);
    command.arg(tools.join("node_modules/componentize-qjs/cli.mjs"));
    command.arg("--wit").arg(work.path("wit")).args(["--world", contract::WORLD]);
    command.arg("--js").arg(work.path("plugin.js")).arg("--output").arg(&component);
    // Without the asynchronous part of the component model, which the contract does not use.
    command.args(["--stub-wasi", "--sync"]);
    step(manifest, "QuickJS", &mut command)?;
    let bytes =
        std::fs::read(&component).map_err(|source| BuildError::File { path: component.clone(), source })?;
    let component = component::take(manifest, &bytes, migrates)?;
    kept.write(&component.bytes)?;
    Ok(component)
}

/// Bundles into `plugin.js`; returns the interfaces of the host that are left in it.
fn bundle(
    manifest: &Manifest,
    module: &Path,
    tools: &Path,
    work: &Work,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<String>, BuildError> {
    for (name, text) in SDK {
        work.write(&format!("sdk/{name}"), text)?;
    }
    let capabilities: Vec<_> = manifest.capabilities.iter().map(ToString::to_string).collect();
    progress(&format!("{}: bundling {MODULE}", manifest.id));
    let mut command = Command::new(node()?);
    command.arg(work.write("bundle.mjs", BUNDLE)?).arg(tools).arg(work.path("sdk")).arg(module);
    command.arg(capabilities.join(",")).arg(work.path("plugin.js"));
    let migration = module.with_file_name(MIGRATION);
    if migration.is_file() {
        command.arg(migration);
    }
    let printed = step(manifest, "bundling", &mut command)?;
    serde_json::from_str(&printed).map_err(|e| BuildError::Step {
        plugin: manifest.id.clone(),
        step: "bundling",
        output: format!("{e}: {printed}"),
    })
}

/// Runs a step of the build; returns what it printed.
fn step(manifest: &Manifest, step: &'static str, command: &mut Command) -> Result<String, BuildError> {
    let mut silent = |_: &str| {};
    let finished = run(command, STEP_TIME_MAX, &mut silent)
        .map_err(|e| BuildError::Toolchain(format!("{step}: node does not start ({e})")))?;
    if finished.success() {
        return Ok(finished.stdout);
    }
    let output = if finished.stderr.trim().is_empty() { finished.failure() } else { finished.stderr };
    Err(BuildError::Step { plugin: manifest.id.clone(), step, output })
}

/// Whether package.json names dependencies that npm has not installed.
fn needs_install(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join("package.json")).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let installed = |name: &String| folder.join("node_modules").join(name).is_dir();
    package["dependencies"].as_object().is_some_and(|dependencies| !dependencies.keys().all(installed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_is_packed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/typescript/src");
        editor::tests::check_packed(&root, &["ts"], &SDK);
    }

    #[test]
    fn dependencies_must_be_installed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("package.json");
        std::fs::write(&path, r#"{"devDependencies":{"typescript":"*"}}"#).expect("written");
        assert!(!needs_install(folder.path()));
        std::fs::write(&path, r#"{"dependencies":{"zod":"4"}}"#).expect("written");
        assert!(needs_install(folder.path()));
    }
}
