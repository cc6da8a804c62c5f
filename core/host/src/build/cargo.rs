//! Compiles a plugin's folder into a core WebAssembly module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::command::run;
use super::wasm_std::WasmStd;
use super::{BuildError, BuildOptions};

/// The target of all guests: no WASI, nothing but what the contract imports.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// A guest with its dependencies and a standard library from source takes a minute or two on two cores; half
/// an hour means that something hangs.
const BUILD_TIME_MAX: Duration = Duration::from_secs(1800);

/// What a guest's release profile has, whatever its workspace says. A trap ends a guest anyway, so unwinding
/// is only weight; one codegen unit and fat LTO make the smallest and fastest module.
const PROFILE: [(&str, &str); 8] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    // Macros and build scripts run once, natively: built for a short build.
    ("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_CODEGEN_UNITS", "16"),
];

/// What the caller's own cargo run may have set for native code and must not reach a guest.
const NOT_FOR_GUESTS: [&str; 5] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_RUSTFLAGS",
];

/// Hex digits that tell source trees apart.
const TREE_DIGITS: usize = 16;

/// One line of `cargo --message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Compiles the crate in `folder` and returns the path of its module inside the target folder. Cargo decides
/// what has to be compiled again.
pub fn build(
    plugin: &str,
    folder: &Path,
    wasm_std: &WasmStd,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let kind = Kind {
        profile: &PROFILE,
        // Column loops gain from it and the runtime always has it.
        flags: &["-Ctarget-feature=+simd128"],
        arguments: &["--target", TARGET],
        target_dir: wasm_std.target_dir(&options.target_dir),
        extension: "wasm",
    };
    compile(plugin, folder, kind, &|cargo| wasm_std.apply(cargo), options, progress)
}

/// What a crate is compiled into.
pub(super) struct Kind<'a> {
    /// The release profile, as cargo's variables.
    pub(super) profile: &'a [(&'a str, &'a str)],
    /// Flags for all its crates.
    pub(super) flags: &'a [&'a str],
    /// Arguments of `cargo build`.
    pub(super) arguments: &'a [&'a str],
    /// Below it each source tree has a folder of its own.
    pub(super) target_dir: PathBuf,
    /// By which the result is told from what else cargo makes.
    pub(super) extension: &'a str,
}

/// Compiles the crate in `folder` and returns the path of the file that came out.
pub(super) fn compile(
    plugin: &str,
    folder: &Path,
    kind: Kind<'_>,
    change: &dyn Fn(&mut Command),
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let manifest_path = folder.join("Cargo.toml");
    let mut cargo = Command::new(program("CARGO", "cargo"));
    cargo.current_dir(folder);
    for name in NOT_FOR_GUESTS {
        cargo.env_remove(name);
    }
    let flags = kind.flags.iter().map(|flag| (*flag).to_owned());
    let flags: Vec<_> = flags.chain(remaps(&manifest_path, options.offline)).collect();
    cargo.envs(kind.profile.iter().copied()).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    cargo.args(["build", "--release", "--lib", "--message-format=json-render-diagnostics"]);
    cargo.args(kind.arguments).arg("--manifest-path").arg(&manifest_path);
    cargo.arg("--target-dir").arg(kind.target_dir.join(tree(&manifest_path)));
    if options.offline {
        cargo.arg("--offline");
    }
    change(&mut cargo);

    let finished = run(&mut cargo, BUILD_TIME_MAX, progress).map_err(|e| {
        BuildError::Toolchain(format!(
            "cargo does not start ({e}); install Rust, for example from https://rustup.rs"
        ))
    })?;
    if !finished.success() {
        let output = if finished.status.is_none() { finished.failure() } else { finished.stderr };
        return Err(BuildError::Compile { plugin: plugin.to_owned(), output });
    }
    artifact(&finished.stdout, &manifest_path, kind.extension).ok_or_else(|| BuildError::Compile {
        plugin: plugin.to_owned(),
        output: format!(
            "no .{} came out; {} needs `crate-type = [\"cdylib\", \"rlib\"]` under [lib]",
            kind.extension,
            manifest_path.display()
        ),
    })
}

/// A folder name for the source tree that the manifest belongs to. Cargo names what it builds after paths within the
/// tree and tells what is fresh by time: two clones that shared a folder would take each other's code for their own.
fn tree(manifest_path: &Path) -> String {
    let mut locate = Command::new(program("CARGO", "cargo"));
    locate.args(["locate-project", "--workspace", "--message-format", "plain", "--manifest-path"]);
    let found = locate.arg(manifest_path).output().ok().filter(|found| found.status.success());
    let root = found
        .and_then(|found| String::from_utf8(found.stdout).ok())
        .map_or_else(|| manifest_path.to_owned(), |root| PathBuf::from(root.trim()));
    let root = root.canonicalize().unwrap_or(root);
    let mut name = crate::package::hex(&Sha256::digest(root.as_os_str().as_encoded_bytes()));
    name.truncate(TREE_DIGITS);
    name
}

/// The file with this extension that cargo made of the crate with this manifest, from its messages.
fn artifact(messages: &str, manifest_path: &Path, extension: &str) -> Option<PathBuf> {
    let is_same = |path: &Path| match (path.canonicalize(), manifest_path.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => path == manifest_path,
    };
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| message.manifest_path.as_deref().is_some_and(is_same))
        .flat_map(|message| message.filenames)
        .find(|path| path.extension().is_some_and(|found| found == extension))
}

/// Flags by which paths in panic messages lose what names the machine and the folder, so that equal sources give equal
/// bytes. They are the same for every crate of a source tree, so that plugins of one tree share what they depend on.
fn remaps(manifest_path: &Path, offline: bool) -> impl Iterator<Item = String> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo").into_os_string()));
    let home = cargo_home.and_then(|home| home.into_string().ok()).map(|home| (home, "cargo".to_owned()));
    // The last one that fits counts, so a crate within another one's folder has to come later.
    let prefixes = home.into_iter().chain(local_crates(manifest_path, offline));
    prefixes.map(|(folder, name)| format!("--remap-path-prefix={folder}={name}"))
}

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<LocalCrate>,
}

#[derive(Deserialize)]
struct LocalCrate {
    name: String,
    version: String,
    source: Option<String>,
    manifest_path: PathBuf,
}

/// The crates of the tree that do not come from a registry, by folder, each with a name that does not depend on where it
/// lies. None when cargo cannot say, which the build itself will then explain.
fn local_crates(manifest_path: &Path, offline: bool) -> BTreeMap<String, String> {
    let mut metadata = Command::new(program("CARGO", "cargo"));
    metadata.args(["metadata", "--format-version", "1", "--quiet", "--manifest-path"]).arg(manifest_path);
    if offline {
        metadata.arg("--offline");
    }
    let told = metadata.output().ok().filter(|told| told.status.success());
    let told = told.and_then(|told| serde_json::from_slice::<Metadata>(&told.stdout).ok());
    let local = told.map(|told| told.packages).unwrap_or_default().into_iter();
    let local = local.filter(|package| package.source.is_none());
    local
        .filter_map(|package| {
            let folder = package.manifest_path.parent()?.to_str()?.to_owned();
            Some((folder, format!("{}-{}", package.name, package.version)))
        })
        .collect()
}

/// The program that a variable of the environment names, else the one on the path.
pub(super) fn program(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map_or_else(|| PathBuf::from(name), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_of_the_right_crate_is_found() {
        let messages = r#"
            {"reason":"compiler-artifact","manifest_path":"/sdk/Cargo.toml","filenames":["/t/sdk.wasm"]}
            not json
            {"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/p.rlib","/t/p.wasm"]}
            {"reason":"build-finished","success":true}
        "#;
        assert_eq!(artifact(messages, Path::new("/p/Cargo.toml"), "wasm"), Some(PathBuf::from("/t/p.wasm")));
        assert_eq!(artifact(messages, Path::new("/q/Cargo.toml"), "wasm"), None);
    }
}
