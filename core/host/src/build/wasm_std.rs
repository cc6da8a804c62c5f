//! Finds the standard library for guests.
//!
//! On an ordinary machine `rustup target add` is all that happens, once. Where rustup is missing or cannot
//! reach its server, the library is compiled from its source, which must be of exactly the compiler's
//! version: from the toolchain's own `rust-src`, or from Debian's package of that name.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cargo::{TARGET, program};
use super::command::{Finished, run};
use super::{BuildError, BuildOptions, debian};

/// rustup downloads 20 MB; without a server it gives up by itself only after many tries.
const RUSTUP_TIME_MAX: Duration = Duration::from_secs(120);
/// Asking the compiler for a path or its version takes milliseconds, with rustup's proxy in between a little
/// more.
const RUSTC_TIME_MAX: Duration = Duration::from_secs(60);
/// Marks the library folder of a source tree.
const SOURCE_MARK: &str = "std/src/lib.rs";

/// Where the standard library for [`TARGET`] comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WasmStd {
    /// The toolchain has it compiled.
    Installed,
    /// The `library` folder of the source of exactly the compiler's version.
    Source(PathBuf),
}

impl WasmStd {
    /// Builds with another standard library get another target folder, or they would undo each other's work.
    pub(super) fn target_dir(&self, shared: &Path) -> PathBuf {
        match self {
            Self::Installed => shared.to_owned(),
            Self::Source(_) => shared.join("std-from-source"),
        }
    }

    /// Lets a cargo run use this library. Building std is an unstable feature, which a stable compiler allows
    /// with `RUSTC_BOOTSTRAP`; the other variable is the one by which cargo's own tests point at a source
    /// tree, and it spares us from changing the toolchain's folder.
    pub(super) fn apply(&self, cargo: &mut Command) {
        if let Self::Source(library) = self {
            cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
            cargo.args(["-Z", "build-std=std,panic_abort"]);
        }
    }
}

/// Finds the library for the toolchain that is in force in `folder`, fetching it when needed and allowed.
pub fn find(
    folder: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<WasmStd, BuildError> {
    if is_installed(folder)? {
        return Ok(WasmStd::Installed);
    }
    let version = rustc_version(folder)?;
    let cached = debian::library(&options.cache_dir, &version);
    for library in [sysroot_library(folder)?, cached] {
        if library.join(SOURCE_MARK).is_file() {
            return Ok(WasmStd::Source(library));
        }
    }
    if options.offline {
        return Err(missing(&version, &["offline".to_owned()]));
    }

    let mut tried = Vec::new();
    progress(&format!("the standard library for {TARGET} is missing: asking rustup"));
    let mut rustup = Command::new("rustup");
    match run(rustup.current_dir(folder).args(["target", "add", TARGET]), RUSTUP_TIME_MAX, progress) {
        Ok(finished) if finished.success() && is_installed(folder)? => return Ok(WasmStd::Installed),
        Ok(finished) => tried.push(format!("rustup target add: {}", finished.failure())),
        Err(e) => tried.push(format!("rustup: {e}")),
    }
    progress(&format!("rustup cannot help: looking for Debian's rust-src {version}"));
    match debian::fetch_library(&options.cache_dir, &version, progress) {
        Ok(library) if library.join(SOURCE_MARK).is_file() => Ok(WasmStd::Source(library)),
        Ok(library) => {
            tried.push(format!("Debian's rust-src: {} has no standard library", library.display()));
            Err(missing(&version, &tried))
        }
        Err(reason) => {
            tried.push(format!("Debian's rust-src: {reason}"));
            Err(missing(&version, &tried))
        }
    }
}

fn missing(version: &str, tried: &[String]) -> BuildError {
    BuildError::Toolchain(format!(
        "rustc {version} has no standard library for {TARGET}; install it with `rustup target add {TARGET}`, or the \
         source of exactly this version with `rustup component add rust-src` or Debian's package rust-src (tried: {})",
        tried.join("; ")
    ))
}

fn is_installed(folder: &Path) -> Result<bool, BuildError> {
    let printed = rustc(folder, &["--print", "target-libdir", "--target", TARGET])?;
    let names = std::fs::read_dir(printed.stdout.trim()).into_iter().flatten().flatten();
    Ok(names.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("libstd-")))
}

fn sysroot_library(folder: &Path) -> Result<PathBuf, BuildError> {
    let sysroot = rustc(folder, &["--print", "sysroot"])?;
    Ok(Path::new(sysroot.stdout.trim()).join("lib/rustlib/src/rust/library"))
}

/// The compiler's version, such as `1.95.0`, with a suffix for a beta or a nightly.
fn rustc_version(folder: &Path) -> Result<String, BuildError> {
    let printed = rustc(folder, &["-vV"])?;
    let release = printed.stdout.lines().find_map(|line| line.strip_prefix("release: "));
    release
        .map(|release| release.trim().to_owned())
        .ok_or_else(|| BuildError::Toolchain("rustc -vV does not name its release".to_owned()))
}

/// Asks the compiler that cargo would use in `folder`: a toolchain file there decides.
fn rustc(folder: &Path, arguments: &[&str]) -> Result<Finished, BuildError> {
    let mut command = Command::new(program("RUSTC", "rustc"));
    let finished =
        run(command.current_dir(folder).args(arguments), RUSTC_TIME_MAX, &mut |_| {}).map_err(|e| {
            BuildError::Toolchain(format!(
                "rustc does not start ({e}); install Rust, for example from https://rustup.rs"
            ))
        })?;
    if finished.success() {
        return Ok(finished);
    }
    Err(BuildError::Toolchain(format!("rustc {}: {}", arguments.join(" "), finished.failure())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_names_its_version() {
        let version = rustc_version(Path::new(".")).expect("rustc runs");
        assert!(semver::Version::parse(&version).is_ok(), "{version}");
    }

    #[test]
    fn libraries_do_not_share_a_target_folder() {
        let shared = Path::new("/t");
        assert_ne!(WasmStd::Installed.target_dir(shared), WasmStd::Source("/s".into()).target_dir(shared));
    }

    #[test]
    fn the_last_error_says_what_to_install() {
        let text = missing("1.95.0", &["rustup: not found".into()]).to_string();
        assert!(text.contains("rustup target add wasm32-unknown-unknown"), "{text}");
        assert!(text.contains("tried: rustup: not found"), "{text}");
    }
}
