//! A manifest against the component it describes: exports must equal the capabilities, imports must be
//! covered by the permissions.

use std::path::Path;

use super::permissions::{CustomerAccess, InteractionAccess, MetricAccess};
use super::{Capability, Fault, Manifest, ManifestError};

/// The interfaces that a plugin may import without asking.
const FREE_IMPORTS: [&str; 4] = ["types", "log", "clock", "config"];

impl Capability {
    /// The interface that a component exports for this capability, without its version.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Connector => "regard:connector/connector",
            Self::Hook => "regard:hook/hook",
            Self::Kpi => "regard:kpi/evaluator",
        }
    }
}

impl Manifest {
    /// Checks the interfaces of a component (`regard:core/log@0.1.0`, ...) against this manifest; `file` only
    /// serves the error messages.
    pub fn check_component(
        &self,
        file: &Path,
        imports: &[String],
        exports: &[String],
    ) -> Result<(), ManifestError> {
        self.check_exports(exports)
            .and_then(|()| self.check_imports(imports))
            .map_err(|fault| fault.in_file(file))
    }

    /// Whether a component of this plugin may import `import`, such as `regard:core/kv@0.1.0`.
    pub(crate) fn covers(&self, import: &str) -> bool {
        self.check_imports(&[import.to_owned()]).is_ok()
    }

    fn check_exports(&self, exports: &[String]) -> Result<(), Fault> {
        for capability in [Capability::Connector, Capability::Hook, Capability::Kpi] {
            let exported = exports.iter().any(|export| interface(export) == capability.interface());
            if exported && !self.can(capability) {
                return Err(Fault::new(
                    "capabilities",
                    format!("lacks \"{capability}\", which the component exports"),
                    format!("add \"{capability}\" or stop exporting {}", capability.interface()),
                ));
            }
            if !exported && self.can(capability) {
                return Err(Fault::new(
                    "capabilities",
                    format!("names \"{capability}\", which the component does not export"),
                    format!("remove \"{capability}\" or export {}", capability.interface()),
                ));
            }
        }
        Ok(())
    }

    fn check_imports(&self, imports: &[String]) -> Result<(), Fault> {
        let asked = &self.permissions;
        for import in imports {
            let Some(name) = interface(import).strip_prefix("regard:core/") else {
                return Err(Fault::new(
                    "",
                    format!("describes a component that imports `{import}`"),
                    "build it without WASI: a plugin reaches the world through regard:core only",
                ));
            };
            let (key, allowed, mend) = match name {
                "kv" => ("kv", asked.kv, "kv = true"),
                "messages" => ("messages", asked.messages, "messages = true"),
                "customers" => {
                    ("customers", asked.customers > CustomerAccess::None, "customers = \"read\" or \"write\"")
                }
                "interactions" => {
                    ("interactions", asked.interactions > InteractionAccess::None, "interactions = \"read\"")
                }
                "metrics" => ("metrics", asked.metrics > MetricAccess::None, "metrics = \"read\""),
                "records" => {
                    let any = !asked.records.is_empty() || !self.records.is_empty();
                    ("records", any, "records = { \"case\" = \"read\" }, declare a type with [[records]]")
                }
                "http" => {
                    let any = !asked.hosts.is_empty() || !asked.private_hosts.is_empty();
                    ("hosts", any, "hosts = [\"api.example.com\"]")
                }
                name if FREE_IMPORTS.contains(&name) => continue,
                _ => {
                    return Err(Fault::new(
                        "contract",
                        format!("{} has no interface `{import}`, which the component imports", self.contract),
                        "name the contract that the plugin was built against",
                    ));
                }
            };
            if !allowed {
                return Err(Fault::new(
                    format!("permissions.{key}"),
                    format!("does not cover `{import}`, which the component imports"),
                    format!("ask for it with {mend}, or do not call it"),
                ));
            }
        }
        Ok(())
    }
}

/// An interface's name without its version.
fn interface(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(imports: &[&str], exports: &[&str]) -> Result<(), String> {
        let text = "id = \"hook-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"wasm\"\n\
                    capabilities = [\"hook\"]\n[permissions]\nkv = true\n";
        let manifest = Manifest::parse(text, Path::new("plugin.toml")).expect("manifest");
        let owned = |names: &[&str]| names.iter().map(|name| format!("{name}@0.1.0")).collect::<Vec<_>>();
        manifest
            .check_component(Path::new("plugin.toml"), &owned(imports), &owned(exports))
            .map_err(|error| format!("{} {}", error.key, error.problem))
    }

    #[test]
    fn a_component_within_its_manifest_passes() {
        let exports = ["regard:core/lifecycle", "regard:hook/hook"];
        assert_eq!(check(&["regard:core/kv", "regard:core/log", "regard:core/types"], &exports), Ok(()));
    }

    #[test]
    fn what_the_manifest_does_not_say_is_named() {
        let message = |imports, exports| check(imports, exports).expect_err("refused");
        let hook: &[&str] = &["regard:hook/hook"];
        assert_eq!(
            message(&["regard:core/http"], hook),
            "permissions.hosts does not cover `regard:core/http@0.1.0`, which the component imports"
        );
        assert!(message(&["regard:core/records"], hook).starts_with("permissions.records does not cover"));
        assert_eq!(message(&[], &[]), "capabilities names \"hook\", which the component does not export");
        assert_eq!(
            message(&[], &["regard:hook/hook", "regard:kpi/evaluator"]),
            "capabilities lacks \"kpi\", which the component exports"
        );
        assert!(message(&["wasi:io/poll"], hook).contains("imports `wasi:io/poll@0.1.0`"));
        assert!(message(&["regard:core/teleport"], hook).starts_with("contract 0.1.0 has no interface"));
    }
}
