//! Builds a native library: a Rust folder by cargo with the SDK's feature `native`, a folder with C sources by the
//! system's compiler.

use std::env::consts::{DLL_EXTENSION, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::cargo::{self, program};
use super::command::run;
use super::{BuildError, BuildOptions, Built, absolute, hex, rust_sdk, write_if_changed};
use crate::manifest::Manifest;

/// The interface in C; C plugins outside of a clone find it nowhere else.
pub(super) const HEADER: &str = include_str!("../../../../sdk/native/include/regard.h");
/// Folder of the header below the cache folder.
const INCLUDE: &str = "include";
/// Where C sources stand, relative to the plugin's folder.
const SOURCES: [&str; 2] = ["", "src"];
/// A plugin with its dependencies takes a minute on two cores; half an hour means that something hangs.
const BUILD_TIME_MAX: Duration = Duration::from_secs(1800);
/// What every library exports.
const ENTRY: &[u8] = b"regard_plugin_v1";

/// The release profile of a Rust library, whatever its workspace says. A panic must unwind, since it is caught where the
/// library meets the host.
const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_PANIC", "unwind"),
    ("CARGO_PROFILE_RELEASE_LTO", "thin"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
];

/// Flags of the C compiler: shared, position-independent, and only the entry visible from outside.
const C_FLAGS: [&str; 7] = ["-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra"];

/// Whether `folder` has sources that [`build`] compiles.
pub fn has_sources(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file() || !c_sources(folder).is_empty()
}

/// Builds the library of the plugin in `folder`. The manifest need not be the folder's own: the same Rust source makes a
/// component or a library.
pub fn build(
    folder: &Path,
    manifest: Manifest,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    let plugin = manifest.id.clone();
    let folder = absolute(folder)?;
    let sources = c_sources(&folder);
    let library = if folder.join("Cargo.toml").is_file() {
        rust_sdk::show(&manifest, &folder, progress)?;
        build_rust(&plugin, &folder, options, progress)?
    } else if !sources.is_empty() {
        build_c(&plugin, &folder, &sources, options, progress)?
    } else {
        let reason = "there is neither a Cargo.toml nor a C source; build libraries in other languages with their \
                      own tools";
        return Err(BuildError::Refused { plugin, reason: reason.to_owned() });
    };
    let bytes = std::fs::read(&library).map_err(|source| BuildError::File { path: library, source })?;
    if !bytes.windows(ENTRY.len()).any(|found| found == ENTRY) {
        let reason =
            "the library exports no function regard_plugin_v1; in Rust, `regard_sdk::plugin!` writes it";
        return Err(BuildError::Component { plugin, reason: reason.to_owned() });
    }
    let path = options.out_dir.join(format!("{plugin}{DLL_SUFFIX}"));
    let changed =
        write_if_changed(&path, &bytes).map_err(|source| BuildError::File { path: path.clone(), source })?;
    Ok(Built {
        digest: hex(&Sha256::digest(&bytes)),
        bytes: bytes.len() as u64,
        manifest,
        component: path,
        changed,
        imports: Vec::new(),
        exports: Vec::new(),
    })
}

fn build_rust(
    plugin: &str,
    folder: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let kind = cargo::Kind {
        profile: &PROFILE,
        flags: &[],
        arguments: &["--features", "regard-sdk/native"],
        target_dir: absolute(&options.target_dir)?.join("native"),
        extension: DLL_EXTENSION,
    };
    cargo::compile(plugin, folder, kind, &|_| {}, options, progress)
}

fn build_c(
    plugin: &str,
    folder: &Path,
    sources: &[PathBuf],
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let include = absolute(&options.cache_dir)?.join(INCLUDE);
    let header = include.join("regard.h");
    write_if_changed(&header, HEADER.as_bytes())
        .map_err(|source| BuildError::File { path: header, source })?;
    let out = absolute(&options.target_dir)?.join("c");
    std::fs::create_dir_all(&out).map_err(|source| BuildError::File { path: out.clone(), source })?;
    let library = out.join(format!("{plugin}.{}{DLL_SUFFIX}", std::process::id()));
    let mut compiler = Command::new(program("CC", "cc"));
    compiler.current_dir(folder).args(C_FLAGS).arg("-I").arg(include);
    compiler.arg("-o").arg(&library).args(sources).arg("-lm");
    let finished = run(&mut compiler, BUILD_TIME_MAX, progress).map_err(|why| {
        BuildError::Toolchain(format!(
            "the C compiler does not start ({why}); install one, for example with `apt-get install build-essential`, \
             or name it in CC"
        ))
    })?;
    if !finished.success() {
        let output = if finished.status.is_none() { finished.failure() } else { finished.stderr };
        return Err(BuildError::C { plugin: plugin.to_owned(), output });
    }
    Ok(library)
}

/// The C sources of a plugin, in the order of their names so that equal sources give equal libraries.
fn c_sources(folder: &Path) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    for part in SOURCES {
        let entries = std::fs::read_dir(folder.join(part)).into_iter().flatten().flatten();
        let files = entries.map(|entry| Path::new(part).join(entry.file_name()));
        sources.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "c")));
    }
    sources.sort();
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(id: &str) -> Manifest {
        let text = format!(
            "id = \"{id}\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"native\"\n\
             capabilities = [\"hook\"]\n"
        );
        Manifest::parse(&text, Path::new("plugin.toml")).expect("a manifest")
    }

    fn built(source: &str) -> Result<Built, BuildError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("src")).expect("src");
        std::fs::write(folder.path().join("src/x.c"), source).expect("the source");
        assert!(has_sources(folder.path()));
        let options = BuildOptions {
            out_dir: folder.path().join("out"),
            target_dir: folder.path().join("target"),
            cache_dir: folder.path().join("cache"),
            offline: true,
        };
        build(folder.path(), plugin("hook-x"), &options, &mut |_| {})
    }

    #[test]
    fn c_finds_the_header() {
        let source = "#include <regard.h>\nstatic const regard_plugin plugin = {.abi_major = 1};\n\
                      const regard_plugin *regard_plugin_v1(const regard_host *h) { (void)h; return &plugin; }\n";
        let built = built(source).expect("it compiles");
        assert!(built.component.ends_with(format!("out/hook-x{DLL_SUFFIX}")) && built.bytes > 0);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = built("int x(void) { return y; }").expect_err("no such variable").to_string();
        assert!(
            error.starts_with("hook-x: the C compiler failed:\n") && error.contains("src/x.c:1"),
            "{error}"
        );
        let error = built("int x(void) { return 1; }").expect_err("no plugin").to_string();
        assert!(error.contains("exports no function regard_plugin_v1"), "{error}");
        let empty = tempfile::tempdir().expect("a folder");
        let options = BuildOptions::new(empty.path());
        let error = build(empty.path(), plugin("hook-x"), &options, &mut |_| {}).expect_err("nothing there");
        assert!(error.to_string().contains("neither a Cargo.toml nor a C source"), "{error}");
    }
}
