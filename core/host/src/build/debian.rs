//! The standard library's source from the machine's Debian mirror.
//!
//! apt itself does the work, with folders of its own below our cache instead of the system's: it knows the
//! mirror, the proxy and the archive's keys, and it refuses what is not signed. Nothing on the system changes
//! and no rights are needed; the package is unpacked, not installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::command::run;

/// The suites that may hold a version of Rust, those with small indexes first.
const SUITES: [&str; 6] =
    ["trixie-backports", "bookworm-backports", "forky-backports", "trixie", "forky", "sid"];
/// An index is at most some 10 MB, the package 45 MB.
const APT_TIME_MAX: Duration = Duration::from_secs(300);
/// Unpacking takes seconds.
const UNPACK_TIME_MAX: Duration = Duration::from_secs(300);
/// The keys of the Debian archive, from the package debian-archive-keyring, which every Debian has.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The package with the source of the standard library.
const PACKAGE: &str = "rust-src";

/// Where the library of this version lies below the cache folder once it was fetched.
pub fn library(cache_dir: &Path, version: &str) -> PathBuf {
    cache_dir.join(format!("rust-src-{version}")).join(format!("usr/src/rustc-{version}/library"))
}

/// Fetches and unpacks the package of exactly this version of the compiler; returns the library's folder, or
/// why not.
pub fn fetch_library(
    cache_dir: &Path,
    version: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, String> {
    let mirrors = mirrors(progress)?;
    let work = cache_dir.join(format!("apt-{}", std::process::id()));
    let apt = Apt::new(&work)?;
    let fetched = fetch(&apt, &mirrors, version, cache_dir, progress);
    // Indexes and the package are of no use any more; that they cannot be removed harms nobody.
    let _ = std::fs::remove_dir_all(&work);
    fetched
}

fn fetch(
    apt: &Apt,
    mirrors: &BTreeSet<String>,
    version: &str,
    cache_dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, String> {
    let mut seen = BTreeSet::new();
    for suite in SUITES {
        for mirror in mirrors {
            // A mirror does not carry every suite, which says nothing about the next one.
            if apt.update(mirror, suite, progress).is_err() {
                continue;
            }
            let versions = apt.versions(progress)?;
            let wanted = versions.iter().find(|found| upstream(found) == version);
            if let Some(wanted) = wanted {
                progress(&format!("fetching {PACKAGE} {wanted} from {mirror} {suite}"));
                let package = apt.download(wanted, progress)?;
                return unpack(&package, cache_dir, version, progress);
            }
            seen.extend(versions);
        }
    }
    let seen =
        if seen.is_empty() { "none".to_owned() } else { seen.into_iter().collect::<Vec<_>>().join(", ") };
    Err(format!("no suite has version {version} (found {seen})"))
}

/// Unpacks beside the final place and renames, so that a half unpacked folder is never taken for a whole one.
fn unpack(
    package: &Path,
    cache_dir: &Path,
    version: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, String> {
    let place = cache_dir.join(format!("rust-src-{version}"));
    let unpacked = package.with_extension("unpacked");
    let mut dpkg = Command::new("dpkg-deb");
    succeed(dpkg.arg("-x").arg(package).arg(&unpacked), UNPACK_TIME_MAX, progress)?;
    if let Err(e) = std::fs::rename(&unpacked, &place)
        && !place.is_dir()
    {
        return Err(format!("{}: {e}", place.display()));
    }
    Ok(library(cache_dir, version))
}

/// `1.95.0` of `1.95.0+dfsg1-2~bpo13+1`: what comes before the packager's own parts.
fn upstream(version: &str) -> &str {
    let end = version.find(['+', '-', '~']).unwrap_or(version.len());
    &version[..end]
}

/// The base addresses of the Debian archive in the machine's apt configuration. Those of other archives,
/// security included, do not carry the suites.
fn mirrors(progress: &mut dyn FnMut(&str)) -> Result<BTreeSet<String>, String> {
    let mut apt = Command::new("apt-get");
    let format = "$(REPO_URI) $(ORIGIN) $(CODENAME)";
    let listed = succeed(
        apt.args(["indextargets", "--format", format, "Created-By: Packages"]),
        APT_TIME_MAX,
        progress,
    )?;
    let mirrors = mirrors_of(&listed);
    if mirrors.is_empty() {
        return Err("apt knows no Debian mirror (run `apt-get update` if this is a Debian)".to_owned());
    }
    Ok(mirrors)
}

fn mirrors_of(index_targets: &str) -> BTreeSet<String> {
    let debian = |line: &str| {
        let mut words = line.split_whitespace();
        let (uri, origin, codename) = (words.next()?, words.next()?, words.next()?);
        (origin == "Debian" && !codename.ends_with("-security")).then(|| uri.trim_end_matches('/').to_owned())
    };
    index_targets.lines().filter_map(debian).collect()
}

/// apt with its own state, so that the system's lists and caches are neither read nor written.
struct Apt {
    work: PathBuf,
}

impl Apt {
    fn new(work: &Path) -> Result<Self, String> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            let folder = work.join(folder);
            std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let work = work.canonicalize().map_err(|e| format!("{}: {e}", work.display()))?;
        Ok(Self { work })
    }

    fn update(&self, mirror: &str, suite: &str, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
        let sources = self.work.join("sources.list");
        std::fs::write(&sources, format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))
            .map_err(|e| format!("{}: {e}", sources.display()))?;
        let mut apt = self.command("apt-get");
        // Without this apt reports a missing suite as a warning and goes on with nothing.
        apt.args(["-o", "APT::Update::Error-Mode=any", "-qq", "update"]);
        succeed(&mut apt, APT_TIME_MAX, progress).map(|_| ())
    }

    /// The versions of the package in the suite last updated from.
    fn versions(&self, progress: &mut dyn FnMut(&str)) -> Result<Vec<String>, String> {
        let listed = succeed(self.command("apt-cache").args(["madison", PACKAGE]), APT_TIME_MAX, progress)?;
        let version = |line: &str| Some(line.split('|').nth(1)?.trim().to_owned());
        Ok(listed.lines().filter_map(version).collect())
    }

    fn download(&self, version: &str, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, String> {
        let mut apt = self.command("apt-get");
        apt.current_dir(&self.work).args(["-qq", "download", &format!("{PACKAGE}={version}")]);
        succeed(&mut apt, APT_TIME_MAX, progress)?;
        let entries = std::fs::read_dir(&self.work).map_err(|e| e.to_string())?;
        let package = entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| e == "deb"));
        package.ok_or_else(|| "apt-get download left no package".to_owned())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = |name: &str| self.work.join(name).display().to_string();
        let options = [
            format!("Dir::State::Lists={}", path("lists")),
            "Dir::State::Status=/dev/null".to_owned(),
            format!("Dir::Cache={}", path("cache")),
            format!("Dir::Etc::SourceList={}", path("sources.list")),
            "Dir::Etc::SourceParts=-".to_owned(),
            "Acquire::Languages=none".to_owned(),
            // As root, apt would download as a user who cannot enter our folder.
            "APT::Sandbox::User=".to_owned(),
        ];
        for option in options {
            command.args(["-o", &option]);
        }
        command
    }
}

fn succeed(
    command: &mut Command,
    time_max: Duration,
    progress: &mut dyn FnMut(&str),
) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let finished = run(command, time_max, progress).map_err(|e| format!("{name}: {e}"))?;
    if finished.success() { Ok(finished.stdout) } else { Err(format!("{name}: {}", finished.failure())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packaged_versions_name_the_compilers() {
        assert_eq!(upstream("1.95.0+dfsg1-2~bpo13+1"), "1.95.0");
        assert_eq!(upstream("1.63.0-1"), "1.63.0");
    }

    #[test]
    fn mirrors_are_those_of_the_debian_archive() {
        let targets = "http://mirror.example/debian/ Debian bookworm\n\
                       http://mirror.example/debian/ Debian bookworm-updates\n\
                       http://mirror.example/debian-security/ Debian bookworm-security\n\
                       https://other.example/ Other nodistro\n";
        assert_eq!(mirrors_of(targets), BTreeSet::from(["http://mirror.example/debian".to_owned()]));
    }
}
