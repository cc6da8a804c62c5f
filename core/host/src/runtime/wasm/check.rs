//! Whether a component is what its manifest says, as far as the manifest alone cannot tell: which interfaces the
//! capabilities' worlds have, and what every plugin exports.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::call::{Interface, Role};
use crate::manifest::{Capability, ContractLine, ManifestError};
use crate::package::Package;

/// What every component exports.
const LIFECYCLE: &str = "regard:core/lifecycle";
/// What a component may export beside its capabilities.
pub(super) const MIGRATION: &str = "regard:core/migration";

/// Refuses a component that does not fit its manifest; the message names the line to change.
pub(super) fn exports_and_imports(
    package: &Package,
    engine: &Engine,
    component: &Component,
) -> Result<(), ManifestError> {
    let described = component.component_type();
    let exports: Vec<String> = described.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let imports: Vec<String> = described.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let checked = package.manifest().check_component(package.manifest_file(), &imports, &exports);
    checked.map_err(|fault| package.located(fault))?;
    check_exports(package, &exports)?;
    let migrates = exports.iter().any(|export| unversioned(export) == MIGRATION);
    imports.iter().try_for_each(|import| check_import(package, import, migrates))
}

fn check_exports(package: &Package, exports: &[String]) -> Result<(), ManifestError> {
    let contract = &package.manifest().contract;
    if !exports.iter().any(|export| unversioned(export) == LIFECYCLE) {
        return Err(package.manifest_fault(
            "contract",
            format!("is {contract}, but the component does not export {LIFECYCLE}"),
            "every plugin exports it; the SDK's plugin! macro does".to_owned(),
        ));
    }
    let known = |export: &&String| {
        let name = unversioned(export);
        let capabilities = [Capability::Connector, Capability::Hook, Capability::Kpi];
        name == LIFECYCLE
            || name == MIGRATION
            || capabilities.iter().any(|capability| capability.interface() == name)
    };
    match exports.iter().find(|export| !known(export)) {
        None => Ok(()),
        Some(export) => Err(package.manifest_fault(
            "contract",
            format!("is {contract}, which has no `{export}`, but the component exports it"),
            "remove the export".to_owned(),
        )),
    }
}

/// An evaluator has no clock and no customers, whatever its manifest asks for.
fn check_import(package: &Package, import: &str, migrates: bool) -> Result<(), ManifestError> {
    let name = unversioned(import);
    let contract = &package.manifest().contract;
    let version = import.split_once('@').and_then(|(_, version)| version.parse().ok());
    // The linker would notice as soon as a function of another version is missing, but not an interface without any.
    if version.is_none_or(|version| ContractLine::of(&version) != ContractLine::of(contract)) {
        return Err(package.manifest_fault(
            "contract",
            format!("is {contract}, but the component imports `{import}`"),
            "name the contract that the plugin was built against".to_owned(),
        ));
    }
    let known = |interface: &Interface| name.strip_prefix("regard:core/") == Some(interface.as_str());
    let roles = package.manifest().capabilities.iter().map(|capability| match capability {
        Capability::Connector => Role::Connector,
        Capability::Hook => Role::Hook,
        Capability::Kpi => Role::Kpi,
    });
    let mut roles = roles.chain(migrates.then_some(Role::Migration));
    let there = Interface::ALL.iter().find(|interface| known(interface));
    if there.is_some_and(|interface| roles.any(|role| role.has(*interface))) {
        return Ok(());
    }
    Err(package.manifest_fault(
        "capabilities",
        format!("names nothing that has {name}, but the component imports it"),
        "remove the call from the code".to_owned(),
    ))
}

/// Imports' versions are compared with the contract's line above, exports' by the linker.
fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}
