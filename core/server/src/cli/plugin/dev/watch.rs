//! Sees when a plugin's folder has changed, by looking at the times and lengths of its files.
//!
//! A plugin has a few dozen files, so looking at all of them several times a second costs nothing that could be measured,
//! works on every file system and in every container, and needs no library.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};

/// How often the folder is looked at, in milliseconds; an author does not notice a quarter of a second.
const LOOK_EVERY_MS: u64 = 250;
/// How long nothing may change before a change counts, in milliseconds: editors write a file in several steps, and tools
/// many files one after another.
const QUIET_MS: u64 = 300;
/// Deepest folder below the plugin's own that is looked into.
const DEPTH_MAX: usize = 16;
/// Most files that are watched; more means that this is no plugin's folder.
const FILES_MAX: usize = 10_000;
/// What tools make or fetch. Hidden files and folders are left out as well.
const LEFT_OUT: [&str; 6] =
    ["Cargo.lock", "__pycache__", "dist", "node_modules", "package-lock.json", "target"];

/// The files of a folder as they were at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Seen {
    /// Looks at `folder`.
    pub(super) fn now(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        look(folder, 0, &mut files)?;
        Ok(Self(files))
    }

    /// The files that are not as they were, relative to `folder`.
    pub(super) fn changed(&self, since: &Self, folder: &Path) -> Vec<String> {
        let all = self.0.keys().chain(since.0.keys().filter(|path| !self.0.contains_key(*path)));
        let changed = all.filter(|path| self.0.get(*path) != since.0.get(*path));
        let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap_or(path).display().to_string();
        changed.map(relative).collect()
    }
}

/// Waits until the folder is not as it was `since`, and quiet again; says how it is then.
pub(super) async fn change(folder: &Path, since: &Seen) -> Result<Seen> {
    loop {
        tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
        let mut seen = Seen::now(folder)?;
        if seen == *since {
            continue;
        }
        loop {
            tokio::time::sleep(Duration::from_millis(QUIET_MS)).await;
            let later = Seen::now(folder)?;
            if later == seen {
                break;
            }
            seen = later;
        }
        // Whoever takes a change back has changed nothing.
        if seen != *since {
            return Ok(seen);
        }
    }
}

fn look(folder: &Path, depth: usize, files: &mut BTreeMap<PathBuf, (Option<SystemTime>, u64)>) -> Result<()> {
    // What goes away while it is looked at is a change like any other.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        if name.as_encoded_bytes().starts_with(b".") || LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() && depth < DEPTH_MAX {
            look(&path, depth + 1, files)?;
        } else if about.is_file() && path.extension().is_none_or(|extension| extension != "wasm") {
            files.insert(path, (about.modified().ok(), about.len()));
        }
        ensure!(
            files.len() <= FILES_MAX,
            "{} has more than {FILES_MAX} files; move what is not the plugin's out of it",
            folder.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_seen_when_it_is_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("handler.luau", "one");
        let before = Seen::now(folder.path()).expect("seen");
        write("Cargo.lock", "made by a tool");
        write(".hidden", "x");
        assert_eq!(Seen::now(folder.path()).expect("seen"), before);
        let writing = async {
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
            write("handler.luau", "");
            tokio::time::sleep(Duration::from_millis(QUIET_MS / 2)).await;
            write("handler.luau", "whole");
            write("schema.luau", "new");
        };
        let (after, ()) = tokio::join!(change(folder.path(), &before), writing);
        let after = after.expect("a change");
        assert_eq!(after.changed(&before, folder.path()), ["handler.luau", "schema.luau"]);
        std::fs::remove_file(folder.path().join("schema.luau")).expect("removed");
        let gone = Seen::now(folder.path()).expect("seen");
        assert_eq!(gone.changed(&after, folder.path()), ["schema.luau"]);
    }
}
