//! What a package must not be: code with other imports than the contract's, compiled code, and sources made to break the
//! compiler.

use std::collections::BTreeMap;
use std::path::Path;

use regard_host::{LoadError, Package};
use serde_json::Value;
use wasm_encoder::{
    ComponentImportSection, ComponentSection as _, ComponentTypeRef, ComponentTypeSection, InstanceType,
};
use wasmparser::{Parser, Payload, Validator};

use crate::world::{Runtime, World, hostile};

async fn refused(package: Package) -> String {
    World::new().host.load(package, Value::Null, None).await.expect_err("refused").to_string()
}

/// The package of the hostile component with other code.
fn with_code(code: Vec<u8>) -> Package {
    let manifest = hostile(Runtime::Wasm).manifest_text().to_owned();
    let files = BTreeMap::from([("hostile.wasm".to_owned(), code)]);
    Package::from_parts(Path::new("hostile/plugin.toml"), manifest, files).expect("a package")
}

/// The hostile component, which also imports an interface of this name.
fn importing(name: &str) -> Package {
    let mut code = hostile(Runtime::Wasm).files()["hostile.wasm"].clone();
    let types =
        Validator::new_with_features(wasmparser::WasmFeatures::all()).validate_all(&code).expect("valid");
    let next = types.as_ref().component_type_count();
    let mut declared = ComponentTypeSection::new();
    declared.instance(&InstanceType::new());
    let mut imported = ComponentImportSection::new();
    imported.import(name, ComponentTypeRef::Instance(next));
    declared.append_to_component(&mut code);
    imported.append_to_component(&mut code);
    with_code(code)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_environment_and_sockets_are_refused() {
    for name in [
        "wasi:filesystem/types@0.2.6",
        "wasi:filesystem/preopens@0.2.6",
        "wasi:cli/environment@0.2.6",
        "wasi:sockets/tcp@0.2.6",
        "wasi:clocks/wall-clock@0.2.6",
        "wasi:random/random@0.2.6",
    ] {
        let message = refused(importing(name)).await;
        assert!(message.contains(&format!("describes a component that imports `{name}`")), "{message}");
        assert!(message.contains("build it without WASI"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_that_the_contract_lacks_are_refused() {
    for (name, words) in [
        ("regard:core/shell@0.1.0", "has no interface `regard:core/shell@0.1.0`"),
        ("regard:other/thing@0.1.0", "imports `regard:other/thing@0.1.0`"),
        ("regard:core/interactions@0.1.0", "`permissions.interactions`"),
        ("regard:core/migration@0.1.0", "has no interface `regard:core/migration@0.1.0`"),
        // The name is known and the version is not.
        ("regard:core/log@9.0.0", "regard:core/log@9.0.0"),
    ] {
        let message = refused(importing(name)).await;
        assert!(message.starts_with("hostile") && message.contains(words), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_the_contract_lacks_is_refused() {
    let code = hostile(Runtime::Wasm).files()["hostile.wasm"].clone();
    let exports = Parser::new(0).parse_all(&code).filter_map(|payload| match payload {
        Ok(Payload::ComponentExportSection(exports)) => Some(exports.range()),
        _ => None,
    });
    assert!(exports.count() > 0, "the component exports something");
    // The same length, so that the component stays whole.
    let (from, to) = (&b"regard:hook/hook@0.1.0"[..], &b"regard:hack/hook@0.1.0"[..]);
    let mut other = code.clone();
    let at: Vec<usize> =
        code.windows(from.len()).enumerate().filter(|(_, word)| *word == from).map(|(at, _)| at).collect();
    for at in at {
        other[at..at + to.len()].copy_from_slice(to);
    }
    let message = refused(with_code(other)).await;
    assert!(message.contains("capabilities") && message.contains("hook"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_code_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::with(|options| options.cache_dir = folder.path().to_owned());
    world.load(hostile(Runtime::Wasm)).await;
    let mut kept = std::fs::read_dir(folder.path().join("wasm")).expect("the cache");
    let kept = std::fs::read(kept.next().expect("a file").expect("a file").path()).expect("compiled code");
    // As the host keeps it, with its checksum before it, and as wasmtime has it.
    let bare = kept.windows(4).position(|bytes| bytes == b"\x7fELF").expect("an object file");
    for (code, words) in [(kept[bare..].to_vec(), "is precompiled code"), (kept, "is no valid component")] {
        let error = world.host.load(with_code(code), Value::Null, None).await.expect_err("refused");
        assert!(matches!(error, LoadError::Code { .. }) && error.to_string().contains(words), "{error}");
    }
}

const LUAU: &str = "id = \"hook-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
    capabilities = [\"hook\"]\n";

fn luau(source: impl Into<Vec<u8>>) -> Package {
    let files = BTreeMap::from([("handler.luau".to_owned(), source.into())]);
    Package::from_parts(Path::new("hook-x/plugin.toml"), LUAU.to_owned(), files).expect("a package")
}

#[tokio::test(flavor = "multi_thread")]
async fn bytecode_is_no_source() {
    let source = "return { hook = { handle = function() end } }";
    let bytecode = mlua::chunk::Compiler::new().compile(source).expect("compiles");
    World::new().load(luau(source)).await;
    let files = BTreeMap::from([("handler.luau".to_owned(), bytecode)]);
    let refused =
        Package::from_parts(Path::new("hook-x/plugin.toml"), LUAU.to_owned(), files).expect_err("refused");
    assert!(refused.to_string().contains("bytecode is refused, ship the Luau source"), "{refused}");
}

/// A parser or a compiler that goes as deep as its source would end the host.
#[tokio::test(flavor = "multi_thread")]
async fn sources_that_nest_deeply_are_refused() {
    let deep = 100_000;
    for (before, inner, after) in [
        ("(", "1", ")"),
        ("{", "", "}"),
        ("-", "1", ""),
        ("not ", "1", ""),
        ("1 .. ", "1", ""),
        ("1 + ", "1", ""),
        ("", "x", ".x"),
        ("", "x", "()"),
        ("if x then x else ", "x", ""),
        ("function() return ", "1", " end"),
        ("`{", "1", "}`"),
    ] {
        let source = format!("local x\nreturn {}{inner}{}", before.repeat(deep), after.repeat(deep));
        let message = refused(luau(source)).await;
        assert!(message.starts_with("hook-x: ") && message.len() < 5_000, "{message}");
    }
    let types = format!("type T = {}number{}\nreturn {{}}", "{".repeat(deep), "}".repeat(deep));
    let blocks = format!("{}{}\nreturn {{}}", "do ".repeat(deep), " end".repeat(deep));
    for source in [types, blocks] {
        refused(luau(source)).await;
    }
}
