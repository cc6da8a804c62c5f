//! The contract's text, and a world for one plugin.
//!
//! A component of an interpreted language imports and exports what its world says, whatever its code does with it. So
//! every plugin gets a world of its own: exports are the manifest's capabilities, imports are what these may have and
//! the manifest asks for. The text travels inside the program, so that plugins are built without a clone of the source.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::call::{Interface, Role};
use crate::manifest::{CONTRACT, Capability, Manifest};

/// The name of the generated world.
pub const WORLD: &str = "plugin";
/// The contract's packages: their folder's name and their text.
const PACKAGES: [(&str, &str); 4] = [
    ("core", include_str!("../../../../sdk/wit/core/core.wit")),
    ("connector", include_str!("../../../../sdk/wit/connector/connector.wit")),
    ("hook", include_str!("../../../../sdk/wit/hook/hook.wit")),
    ("kpi", include_str!("../../../../sdk/wit/kpi/kpi.wit")),
];

/// The interfaces of `regard:core` that `manifest` may import, such as `regard:core/log@0.1.0`.
pub fn imports(manifest: &Manifest) -> Vec<String> {
    let roles = || {
        manifest.capabilities.iter().map(|capability| match capability {
            Capability::Connector => Role::Connector,
            Capability::Hook => Role::Hook,
            Capability::Kpi => Role::Kpi,
        })
    };
    Interface::ALL
        .into_iter()
        // Types come along with whatever uses them.
        .filter(|interface| *interface != Interface::Types)
        .filter(|interface| roles().any(|role| role.has(*interface)))
        .map(|interface| format!("regard:core/{}@{CONTRACT}", interface.as_str()))
        .filter(|import| manifest.covers(import))
        .collect()
}

/// The interfaces that `manifest` has to export, with their versions; that of a migration where there is one.
pub fn exports(manifest: &Manifest, migrates: bool) -> Vec<String> {
    let capabilities = manifest.capabilities.iter().map(|capability| capability.interface());
    std::iter::once("regard:core/lifecycle")
        .chain(migrates.then_some("regard:core/migration"))
        .chain(capabilities)
        .map(|name| format!("{name}@{CONTRACT}"))
        .collect()
}

/// The text of a world with these imports and what `manifest` exports.
pub fn world(manifest: &Manifest, imports: &[String], migrates: bool) -> String {
    let mut text = format!("package regard:guest@{CONTRACT};\n\nworld {WORLD} {{\n");
    for import in imports {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  import {import};");
    }
    for export in exports(manifest, migrates) {
        let _ = writeln!(text, "  export {export};");
    }
    text.push_str("}\n");
    text
}

/// Writes `world` and the contract's packages into `folder`, as tools for components expect them.
pub fn write(folder: &Path, world: &str) -> io::Result<()> {
    for (name, text) in PACKAGES {
        let package = folder.join("deps").join(name);
        std::fs::create_dir_all(&package)?;
        std::fs::write(package.join(format!("{name}.wit")), text)?;
    }
    std::fs::write(folder.join("world.wit"), world)
}

/// The contract's text as a whole; a digest over it changes with the contract.
pub fn text() -> String {
    PACKAGES.iter().map(|(_, text)| *text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(rest: &str) -> Manifest {
        let text = format!(
            "id = \"x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"wasm\"\n{rest}\n"
        );
        Manifest::parse(&text, Path::new("plugin.toml")).expect("manifest")
    }

    #[test]
    fn an_evaluators_world_has_neither_clock_nor_customers() {
        let manifest = manifest("capabilities = [\"kpi\"]\n[permissions]\ncustomers = \"read\"\nkv = true");
        let imports = imports(&manifest);
        assert_eq!(imports, ["regard:core/log@0.1.0", "regard:core/config@0.1.0"]);
        let world = world(&manifest, &imports, false);
        assert!(
            world.ends_with(
                "  export regard:core/lifecycle@0.1.0;\n  export regard:kpi/evaluator@0.1.0;\n}\n"
            )
        );
    }

    #[test]
    fn a_hooks_world_has_what_it_asks_for() {
        let manifest = manifest("capabilities = [\"hook\"]\n[permissions]\ncustomers = \"read\"");
        let names: Vec<_> = imports(&manifest);
        assert_eq!(
            names,
            ["log", "clock", "config", "customers"].map(|name| format!("regard:core/{name}@0.1.0"))
        );
    }

    /// Names of functions, fields and cases in the contract's text.
    fn names() -> Vec<String> {
        let text: String = text()
            .lines()
            .map(|line| line.trim_start())
            .filter(|line| !line.starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let mut found = Vec::new();
        for (at, _) in text.match_indices(": ") {
            let before = &text[..at];
            let start = before.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
            // `regard:core` and the like have no space after the colon, so what is left is a declaration.
            if start < at {
                found.push(before[start..].to_owned());
            }
        }
        found
    }

    /// The SDKs in other languages are written by hand, so a name that the contract gains must be added there.
    #[test]
    fn every_name_of_the_contract_is_in_the_sdks() {
        let camel = |name: &str| {
            let mut words = name.split('-');
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
        };
        let typescript: String = super::super::typescript::SDK.iter().map(|(_, text)| *text).collect();
        let python: String = super::super::python::SDK.iter().map(|(_, text)| *text).collect();
        let names = names();
        assert!(names.len() > 80, "{names:?}");
        for name in names {
            assert!(typescript.contains(&camel(&name)), "sdk/typescript lacks {name}");
            assert!(python.contains(&name.replace('-', "_")), "sdk/python lacks {name}");
        }
    }
}
