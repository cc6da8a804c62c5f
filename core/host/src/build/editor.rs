//! The SDK inside a plugin's folder, for the author's editor and type checker.
//!
//! A plugin is built with the SDK that this program brings, and nobody has to install it. For completion and type checks a
//! copy stands in `.regard/` below the plugin's folder, which ignores itself in git; the build does not read it, but for
//! that of Rust.

use std::path::Path;

use super::write_if_changed;

/// The folder's name inside the plugin's.
const FOLDER: &str = ".regard";

/// What an editor wants to know of Luau plugins: the host's types and the modules that can be required.
pub(super) const LUAU: [(&str, &str); 2] = [
    ("regard.d.luau", include_str!("../../../../sdk/luau/regard.d.luau")),
    ("regard/columns.luau", include_str!("../../../../sdk/luau/regard/columns.luau")),
];

/// Writes the SDK below `.regard/<place>` of the plugin's folder; a folder that cannot be written is only mentioned.
pub fn show(folder: &Path, place: &str, sdk: &[(&str, &str)], progress: &mut dyn FnMut(&str)) {
    let copies = folder.join(FOLDER);
    let ignore = [(copies.join(".gitignore"), "*\n")];
    let files = sdk.iter().map(|(name, text)| (copies.join(place).join(name), *text));
    for (path, text) in ignore.into_iter().chain(files) {
        if let Err(why) = write_if_changed(&path, text.as_bytes()) {
            progress(&format!("no SDK for your editor: {}: {why}", path.display()));
            return;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Names of the files below `root` with one of these extensions must be those in `sdk`.
    pub fn check_packed(root: &Path, extensions: &[&str], sdk: &[(&str, &str)]) {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if extensions.iter().any(|extension| path.extension().is_some_and(|e| e == *extension))
                {
                    found.push(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        let mut packed: Vec<_> = sdk.iter().map(|(name, _)| (*name).to_owned()).collect();
        found.sort();
        packed.sort();
        assert_eq!(packed, found);
    }

    #[test]
    fn the_copy_ignores_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        show(folder.path(), "typescript", &[("host/log.ts", "text")], &mut |line| panic!("{line}"));
        let read = |name: &str| std::fs::read_to_string(folder.path().join(FOLDER).join(name)).expect(name);
        assert_eq!((read("typescript/host/log.ts").as_str(), read(".gitignore").as_str()), ("text", "*\n"));
    }
}
