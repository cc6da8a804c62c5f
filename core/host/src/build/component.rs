//! Makes a core module a component, and reads what a component imports and exports.

use wit_component::{ComponentEncoder, DecodedWasm};

use super::{BuildError, contract, exports};
use crate::manifest::Manifest;

/// A component with its interfaces.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The component.
    pub bytes: Vec<u8>,
    /// The interfaces it imports, such as `regard:core/log@0.1.0`.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
}

/// Encodes a guest's core module. The contract's types come from the sections that the SDK's bindings left in
/// it; imports that the guest never calls are dropped.
pub fn encode(manifest: &Manifest, module: &[u8]) -> Result<Encoded, BuildError> {
    let refused = |reason: String| BuildError::Component { plugin: manifest.id.clone(), reason };
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| refused(format!("{e:#}; does the crate call `regard_sdk::plugin!`?")))?;
    check(manifest, bytes)
}

/// Takes the component that the tool of an interpreted language made, without what the tool left among its exports.
pub fn take(manifest: &Manifest, component: &[u8], migrates: bool) -> Result<Encoded, BuildError> {
    let wanted = contract::exports(manifest, migrates);
    let kept = exports::keep(component, &|name| wanted.iter().any(|wanted| wanted == name));
    check(manifest, kept.map_err(|reason| BuildError::Component { plugin: manifest.id.clone(), reason })?)
}

/// Reads what a component imports and exports, and refuses one that wants more than the contract.
pub fn check(manifest: &Manifest, bytes: Vec<u8>) -> Result<Encoded, BuildError> {
    let refused = |reason: String| BuildError::Component { plugin: manifest.id.clone(), reason };
    let (imports, exports) = interfaces(&bytes).map_err(refused)?;
    if let Some(foreign) = imports.iter().find(|import| !import.starts_with("regard:")) {
        return Err(refused(format!(
            "it imports `{foreign}`; a plugin reaches the world through `regard:core` only"
        )));
    }
    Ok(Encoded { bytes, imports, exports })
}

/// The names of the interfaces that a component imports and exports.
pub fn interfaces(component: &[u8]) -> Result<(Vec<String>, Vec<String>), String> {
    let decoded = wit_component::decode(component).map_err(|e| format!("it cannot be decoded: {e:#}"))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err("it is a WIT package, not a component".to_owned());
    };
    let world = &resolve.worlds[world];
    let imports = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    let exports = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    Ok((imports, exports))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_is_no_plugin_is_refused() {
        let text = "id = \"kpi-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"wasm\"\n\
                    capabilities = [\"kpi\"]\n";
        let manifest = Manifest::parse(text, Path::new("plugin.toml")).expect("manifest");
        let error = encode(&manifest, b"not a module").expect_err("no module").to_string();
        assert!(error.starts_with("kpi-x: component refused: "), "{error}");
        assert!(interfaces(b"\0asm").is_err());
    }
}
