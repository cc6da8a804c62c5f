//! Tools of other languages, installed once per version below the cache folder.
//!
//! Nothing is installed into the system or the user's own environment. A folder that was installed half, because the
//! machine went down, lacks its mark and is installed anew.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::command::run;
use super::{BuildError, BuildOptions};

/// Says that a folder is complete; written last.
const MARK: &str = "installed";
/// Packages of some 100 MB on a slow line; more means that the registry does not answer.
const INSTALL_TIME_MAX: Duration = Duration::from_secs(900);
/// Asking a program for its version takes milliseconds.
const VERSION_TIME_MAX: Duration = Duration::from_secs(30);
/// Oldest Node that the tools run on, major and minor.
const NODE_MIN: (u32, u32) = (20, 19);
/// Oldest Python that the tools run on, major and minor.
const PYTHON_MIN: (u32, u32) = (3, 10);

/// What to install, under a name that says the version.
pub struct Toolchain<'a> {
    /// The folder's name below `toolchains`, such as `typescript-0.4.5`.
    pub name: &'a str,
    /// From which registry, and what.
    pub packages: Packages<'a>,
}

/// The packages of a toolchain.
pub enum Packages<'a> {
    /// The text of a `package.json` with exact versions.
    Npm(&'a str),
    /// Requirements with exact versions, such as `componentize-py==0.25.1`.
    PyPi(&'a [&'a str]),
}

/// The toolchain's folder, installed if need be: with `node_modules` for npm, a virtual environment for PyPI. Builds at the
/// same time wait for each other.
pub fn find(
    toolchain: &Toolchain<'_>,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let all = options.cache_dir.join("toolchains");
    let folder = all.join(toolchain.name);
    let mark = folder.join(MARK);
    if mark.is_file() {
        return Ok(folder);
    }
    let file = |path: &Path, source| BuildError::File { path: path.to_owned(), source };
    std::fs::create_dir_all(&all).map_err(|source| file(&all, source))?;
    let lock = all.join(format!("{}.lock", toolchain.name));
    let _held = hold(&lock, toolchain.name, progress).map_err(|source| file(&lock, source))?;
    if mark.is_file() {
        return Ok(folder);
    }
    if options.offline {
        return Err(BuildError::Toolchain(format!(
            "{} is not installed in {} and nothing may be fetched; build once without --offline",
            toolchain.name,
            folder.display()
        )));
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|source| file(&folder, source))?;
    }
    std::fs::create_dir_all(&folder).map_err(|source| file(&folder, source))?;
    progress(&format!("installing {} into {}", toolchain.name, folder.display()));
    match toolchain.packages {
        Packages::Npm(package) => npm(&folder, package, progress)?,
        Packages::PyPi(requirements) => pypi(&folder, requirements, progress)?,
    }
    std::fs::write(&mark, toolchain.name).map_err(|source| file(&mark, source))?;
    Ok(folder)
}

/// The lock is given back when the file is closed, also when the program is killed.
fn hold(lock: &Path, name: &str, progress: &mut dyn FnMut(&str)) -> std::io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(lock)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress(&format!("waiting for another build that installs {name}"));
            file.lock()?;
        }
        Err(TryLockError::Error(why)) => return Err(why),
    }
    Ok(file)
}

fn npm(folder: &Path, package: &str, progress: &mut dyn FnMut(&str)) -> Result<(), BuildError> {
    node()?;
    let path = folder.join("package.json");
    std::fs::write(&path, package).map_err(|source| BuildError::File { path, source })?;
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.current_dir(folder).args([
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--no-update-notifier",
        "--loglevel=error",
    ]);
    install(&mut npm, "npm", "install npm, which comes with Node from https://nodejs.org", progress)
}

fn pypi(folder: &Path, requirements: &[&str], progress: &mut dyn FnMut(&str)) -> Result<(), BuildError> {
    let python = python()?;
    let mut venv = Command::new(python);
    let mend = "install Python's venv, Debian's package python3-venv";
    install(venv.args(["-m", "venv"]).arg(folder), "python3 -m venv", mend, progress)?;
    let mut pip = Command::new(venv_python(folder));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
    install(pip.args(requirements), "pip", "the registry must be reachable", progress)
}

fn install(
    command: &mut Command,
    program: &str,
    mend: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<(), BuildError> {
    let finished = run(command, INSTALL_TIME_MAX, progress)
        .map_err(|e| BuildError::Toolchain(format!("{program} does not start ({e}); {mend}")))?;
    if finished.success() {
        return Ok(());
    }
    let said = if finished.stderr.trim().is_empty() { &finished.stdout } else { &finished.stderr };
    Err(BuildError::Toolchain(format!("{program}: {}; {mend}\n{said}", finished.failure())))
}

/// Node, new enough.
pub fn node() -> Result<&'static str, BuildError> {
    let mend =
        format!("install Node {}.{} or later with npm, from https://nodejs.org", NODE_MIN.0, NODE_MIN.1);
    new_enough("node", NODE_MIN, &mend)?;
    Ok("node")
}

/// Python, new enough.
pub fn python() -> Result<&'static str, BuildError> {
    let name = if cfg!(windows) { "python" } else { "python3" };
    let mend = format!("install Python {}.{} or later with venv and pip", PYTHON_MIN.0, PYTHON_MIN.1);
    new_enough(name, PYTHON_MIN, &mend)?;
    Ok(name)
}

/// The interpreter of a virtual environment.
pub fn venv_python(folder: &Path) -> PathBuf {
    if cfg!(windows) { folder.join("Scripts/python.exe") } else { folder.join("bin/python") }
}

fn new_enough(program: &str, least: (u32, u32), mend: &str) -> Result<(), BuildError> {
    let finished = run(Command::new(program).arg("--version"), VERSION_TIME_MAX, &mut |_| {})
        .map_err(|e| BuildError::Toolchain(format!("{program} does not start ({e}); {mend}")))?;
    match version(&finished.stdout) {
        Some(found) if found >= least => Ok(()),
        Some((major, minor)) => {
            Err(BuildError::Toolchain(format!("{program} {major}.{minor} is too old; {mend}")))
        }
        None => Err(BuildError::Toolchain(format!("{program} --version: {}; {mend}", finished.failure()))),
    }
}

/// Major and minor of `v20.20.2` or `Python 3.11.7`.
fn version(text: &str) -> Option<(u32, u32)> {
    let digits = text.trim().trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = digits.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("v20.20.2\n"), Some((20, 20)));
        assert_eq!(version("Python 3.11.7\n"), Some((3, 11)));
        assert_eq!(version("Python 3.15.0b1\n"), Some((3, 15)));
        assert_eq!(version("what?"), None);
    }

    #[test]
    fn nothing_is_fetched_offline() {
        let folder = tempfile::tempdir().expect("a folder");
        let options =
            BuildOptions { cache_dir: folder.path().to_owned(), offline: true, ..BuildOptions::new("out") };
        let toolchain = Toolchain { name: "none-1.0.0", packages: Packages::PyPi(&["none==1.0.0"]) };
        let error = find(&toolchain, &options, &mut |_| {}).expect_err("offline").to_string();
        assert!(
            error.starts_with("none-1.0.0 is not installed in ") && error.contains("--offline"),
            "{error}"
        );
    }

    #[test]
    fn missing_programs_are_named() {
        let error = new_enough("regard-no-such-program", (1, 0), "install it").expect_err("missing");
        assert!(error.to_string().ends_with("; install it"), "{error}");
    }
}
