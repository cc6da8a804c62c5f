//! The Rust SDK inside a plugin's folder, for those who have this program and not its source.
//!
//! A crate needs its dependencies as files, whether this program builds it, cargo alone or an editor. So the SDK's crates
//! stand in `.regard/rust` below the plugin's folder, where the plugin's Cargo.toml points. They are those of this program:
//! a plugin that was written for another contract keeps what it has, and a plugin that wants another version of the crate
//! is refused by cargo, which says so.

use std::path::Path;

use toml::{Table, Value};

use super::{BuildError, editor};
use crate::manifest::{CONTRACT, Manifest};

/// The folder below `.regard`.
const PLACE: &str = "rust";
/// How the path of a plugin's dependency on an SDK of this place begins.
const PATH: &str = ".regard/rust";
/// The dependency's name.
const CRATE: &str = "regard-sdk";
/// The members of the workspace that stands there: folder, name and Cargo.toml.
const MEMBERS: [(&str, &str, &str); 2] = [
    ("native", "regard-abi", include_str!("../../../../sdk/native/Cargo.toml")),
    ("sdk", CRATE, include_str!("../../../../sdk/rust/Cargo.toml")),
];
/// Where versions of what the SDK depends on stand.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

macro_rules! files {
    ($($name:literal from $path:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../../sdk/", $path)))),+]
    };
}

/// The SDK's files, but for the Cargo.toml of the workspace and its members.
const SDK: [(&str, &str); 28] = files![
    "native/src/lent.rs" from "native/src/lent.rs",
    "native/src/lib.rs" from "native/src/lib.rs",
    "sdk/src/bindings.rs" from "rust/src/bindings.rs",
    "sdk/src/columns.rs" from "rust/src/columns.rs",
    "sdk/src/connector.rs" from "rust/src/connector.rs",
    "sdk/src/days.rs" from "rust/src/days.rs",
    "sdk/src/error.rs" from "rust/src/error.rs",
    "sdk/src/hook.rs" from "rust/src/hook.rs",
    "sdk/src/host.rs" from "rust/src/host.rs",
    "sdk/src/kpi.rs" from "rust/src/kpi.rs",
    "sdk/src/lib.rs" from "rust/src/lib.rs",
    "sdk/src/lifecycle.rs" from "rust/src/lifecycle.rs",
    "sdk/src/migration.rs" from "rust/src/migration.rs",
    "sdk/src/native.rs" from "rust/src/native.rs",
    "sdk/src/native/columns.rs" from "rust/src/native/columns.rs",
    "sdk/src/native/exports.rs" from "rust/src/native/exports.rs",
    "sdk/src/native/forms.rs" from "rust/src/native/forms.rs",
    "sdk/src/native/host.rs" from "rust/src/native/host.rs",
    "sdk/src/native/imports.rs" from "rust/src/native/imports.rs",
    "sdk/src/rows.rs" from "rust/src/rows.rs",
    "sdk/src/state.rs" from "rust/src/state.rs",
    "sdk/src/testing.rs" from "rust/src/testing.rs",
    "sdk/src/value.rs" from "rust/src/value.rs",
    "wit/connector/connector.wit" from "wit/connector/connector.wit",
    "wit/core/core.wit" from "wit/core/core.wit",
    "wit/hook/hook.wit" from "wit/hook/hook.wit",
    "wit/kpi/kpi.wit" from "wit/kpi/kpi.wit",
    "README.md" from "rust/INSIDE.md",
];

/// Writes the SDK below `.regard/rust` of a crate that depends on it there; any other crate is left alone.
pub fn show(manifest: &Manifest, folder: &Path, progress: &mut dyn FnMut(&str)) -> Result<(), BuildError> {
    if !wants_it(folder) {
        return Ok(());
    }
    if manifest.contract != CONTRACT && folder.join(PATH).is_dir() {
        progress(&format!(
            "{}: the SDK in {PATH} stays as it is, since the plugin says contract {} and this program brings the SDK of \
             {CONTRACT}; to change over, write `contract = \"{CONTRACT}\"` into plugin.toml",
            manifest.id, manifest.contract
        ));
        return Ok(());
    }
    let made =
        made().map_err(|why| BuildError::Toolchain(format!("the SDK in this program is damaged: {why}")))?;
    let made: Vec<(&str, &str)> = made.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    editor::show(folder, PLACE, &[made.as_slice(), &SDK].concat(), progress);
    Ok(())
}

/// The version of the SDK, as a new plugin asks for it: any that is compatible.
pub fn version() -> String {
    let workspace: Table = toml::from_str(WORKSPACE).unwrap_or_default();
    let version = workspace.get("workspace").and_then(|all| all.get("package")?.get("version")?.as_str());
    version.unwrap_or_default().to_owned()
}

/// Whether the crate in `folder` depends on an SDK in this place.
fn wants_it(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let crate_: Table = toml::from_str(&text).unwrap_or_default();
    let path = crate_.get("dependencies").and_then(|all| all.get(CRATE)?.get("path")?.as_str());
    path.is_some_and(|path| Path::new(path).starts_with(PATH))
}

/// The Cargo.toml of each member, and that of a workspace around them: ours, with what the members name and no more.
fn made() -> Result<Vec<(String, String)>, String> {
    let fault = |why: &dyn std::fmt::Display| why.to_string();
    let root: Table = toml::from_str(WORKSPACE).map_err(|why| fault(&why))?;
    let ours = root.get("workspace").and_then(Value::as_table).ok_or("no workspace")?;
    let versions = ours.get("dependencies").and_then(Value::as_table).ok_or("no versions")?;
    let mut needed = Table::new();
    let mut files = Vec::new();
    for (folder, _, text) in MEMBERS {
        let mut member: Table = toml::from_str(text).map_err(|why| fault(&why))?;
        // How strictly our code is written is for us to check.
        member.remove("lints");
        let targets = member.get("target").and_then(Value::as_table).into_iter().flatten();
        let plain = member.get("dependencies");
        let tables = targets.filter_map(|(_, target)| target.get("dependencies")).chain(plain);
        for name in tables.filter_map(Value::as_table).flat_map(Table::keys) {
            let version = match MEMBERS.iter().find(|(_, crate_, _)| crate_ == name) {
                Some((folder, ..)) => Table::from_iter([("path".to_owned(), Value::from(*folder))]).into(),
                None => versions.get(name).ok_or_else(|| format!("no version of {name}"))?.clone(),
            };
            needed.insert(name.clone(), version);
        }
        let text = toml::to_string(&member).map_err(|why| fault(&why))?;
        files.push((format!("{folder}/Cargo.toml"), text));
    }
    let mut workspace = Table::new();
    workspace.insert("resolver".into(), ours.get("resolver").cloned().ok_or("no resolver")?);
    workspace.insert("members".into(), MEMBERS.map(|(folder, ..)| folder).to_vec().into());
    workspace.insert("package".into(), ours.get("package").cloned().ok_or("no package")?);
    workspace.insert("dependencies".into(), needed.into());
    let root = Table::from_iter([("workspace".to_owned(), Value::from(workspace))]);
    files.push(("Cargo.toml".to_owned(), toml::to_string(&root).map_err(|why| fault(&why))?));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_is_packed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
        for (here, there, extension) in
            [("native/src/", "native/src", "rs"), ("sdk/src/", "rust/src", "rs"), ("wit/", "wit", "wit")]
        {
            let packed: Vec<_> =
                SDK.iter().filter_map(|(name, text)| Some((name.strip_prefix(here)?, *text))).collect();
            editor::tests::check_packed(&root.join(there), &[extension], &packed);
        }
    }

    #[test]
    fn the_workspace_has_what_its_members_name() {
        let files = made().expect("made");
        let (_, root) = files.iter().find(|(name, _)| name == "Cargo.toml").expect("a workspace");
        let root: Table = toml::from_str(root).expect("TOML");
        let dependencies = root["workspace"]["dependencies"].as_table().expect("dependencies");
        assert_eq!(dependencies["regard-abi"]["path"].as_str(), Some("native"));
        assert!(dependencies.contains_key("wit-bindgen") && !dependencies.contains_key("wasmtime"));
        assert!(semver::Version::parse(&version()).is_ok());
    }

    #[test]
    fn only_a_crate_that_points_there_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "id = \"hook-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"wasm\"\n\
                    capabilities = [\"hook\"]\n";
        let mut manifest = Manifest::parse(text, Path::new("plugin.toml")).expect("a manifest");
        let lib = folder.path().join(".regard/rust/sdk/src/lib.rs");
        let write = |path: &str| {
            let text = format!("[dependencies]\nregard-sdk = {{ path = \"{path}\" }}\n");
            std::fs::write(folder.path().join("Cargo.toml"), text).expect("written");
        };
        write("../../sdk/rust");
        show(&manifest, folder.path(), &mut |line| panic!("{line}")).expect("nothing to do");
        assert!(!lib.exists());
        write(".regard/rust/sdk");
        show(&manifest, folder.path(), &mut |line| panic!("{line}")).expect("shown");
        assert!(lib.is_file() && folder.path().join(".regard/rust/native/Cargo.toml").is_file());
        // What was written for another contract is not given another SDK behind its author's back.
        std::fs::write(&lib, "// of another time").expect("written");
        manifest.contract.patch += 1;
        let mut said = String::new();
        show(&manifest, folder.path(), &mut |line| said.push_str(line)).expect("left alone");
        assert!(said.contains("stays as it is"), "{said}");
        assert_eq!(std::fs::read_to_string(&lib).expect("text"), "// of another time");
    }
}
