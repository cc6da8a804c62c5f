//! What is refused before it ever runs, and what is kept between runs.

use std::collections::BTreeMap;
use std::path::Path;

use regard_host::{LoadError, Package};
use serde_json::{Value, json};

use crate::world::{RUNTIMES, Runtime, World, component, fixture, hostile, hostile_with};

const LUAU: &str = "id = \"hook-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\n\
    runtime = \"luau\"\ncapabilities = [\"hook\"]\n";
const HANDLER: &str = "return { hook = { handle = function() end } }";

fn luau(files: &[(&str, &str)]) -> Package {
    let files = files.iter().map(|(name, source)| ((*name).to_owned(), source.as_bytes().to_vec())).collect();
    Package::from_parts(Path::new("hook-x/plugin.toml"), LUAU.to_owned(), files).expect("a package")
}

async fn refused(package: Package, config: Value) -> String {
    World::new().host.load(package, config, None).await.expect_err("refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_must_equal_the_manifest() {
    for runtime in RUNTIMES {
        let less = hostile_with(runtime, |manifest| manifest.replace(", \"kpi\"", ""));
        let message = refused(less, Value::Null).await;
        assert!(
            message.starts_with("hostile/plugin.toml: `capabilities` (line 7) "),
            "{runtime:?}: {message}"
        );
        assert!(message.contains("kpi"), "{runtime:?}: {message}");
    }
    let message = refused(luau(&[("handler.luau", "return {}")]), Value::Null).await;
    assert!(
        message.contains("`capabilities` (line 6) names `hook`, but handler.luau returns no `hook` table"),
        "{message}"
    );
    let message = refused(luau(&[("handler.luau", "return { hook = {} }")]), Value::Null).await;
    assert!(message.contains("has no function hook.handle"), "{message}");
}

/// A hook describes nothing, so nothing else would call it before its first event.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_may_refuse_its_configuration() {
    let clerk = component(&fixture("clerk"));
    let message = refused(clerk.clone(), json!({ "refuses": true })).await;
    assert_eq!(message, "clerk: lifecycle.configure failed: invalid: set-up: not with me");
    World::new().host.load(clerk, json!({}), None).await.expect("the plugin loads");
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_must_be_asked_for() {
    let silent = hostile_with(Runtime::Wasm, |manifest| manifest.replace("kv = true", ""));
    let message = refused(silent, Value::Null).await;
    assert!(message.contains("permissions.kv") && message.contains("kv = true"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn precompiled_code_and_nonsense_are_refused() {
    for bytes in [b"\0asm".to_vec(), b"nonsense".to_vec(), vec![0x7f, b'E', b'L', b'F']] {
        let manifest = hostile(Runtime::Wasm).manifest_text().to_owned();
        let files = BTreeMap::from([("hostile.wasm".to_owned(), bytes)]);
        let package =
            Package::from_parts(Path::new("hostile/plugin.toml"), manifest, files).expect("a package");
        let error = World::new().host.load(package, Value::Null, None).await.expect_err("refused");
        assert!(matches!(error, LoadError::Code { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_is_kept_and_damage_is_noticed() {
    let package = hostile(Runtime::Wasm);
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::with(|options| options.cache_dir = folder.path().to_owned());
    world.load(package.clone()).await;
    let cached = || {
        let files = std::fs::read_dir(folder.path().join("wasm")).expect("the cache");
        files.map(|file| file.expect("a file").path()).collect::<Vec<_>>()
    };
    let files = cached();
    assert_eq!(files.len(), 1);
    for damage in [&b""[..], b"short", &[0; 100_000]] {
        std::fs::write(&files[0], damage).expect("damaged");
        world.load(package.clone()).await;
        assert_eq!(cached(), files);
        assert!(std::fs::metadata(&files[0]).expect("the file").len() > 100_000, "it was compiled anew");
    }
    let mut bytes = std::fs::read(&files[0]).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&files[0], &bytes).expect("one bit off");
    world.load(package).await;
    assert!(std::fs::read(&files[0]).expect("the file") != bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn luau_errors_name_file_and_line() {
    let message = refused(luau(&[("handler.luau", "return {\n  hook = }")]), Value::Null).await;
    assert!(message.contains("handler.luau:2: "), "{message}");
    let message = refused(luau(&[("handler.luau", "local x = nil\nreturn x.y")]), Value::Null).await;
    assert!(message.contains("handler.luau:2:"), "{message}");
    let message = refused(luau(&[("handler.luau", "while true do end")]), Value::Null).await;
    assert!(message.contains("computed longer than 300 ms"), "{message}");
    let files = [
        ("handler.luau", "return require('./lib/rules')"),
        ("lib/rules.luau", "return require('../handler')"),
    ];
    let message = refused(luau(&files), Value::Null).await;
    assert!(message.contains("requires itself"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_package_can_be_required() {
    let files = [
        ("handler.luau", "return require('./lib/rules')"),
        ("lib/rules.luau", "assert(require('./part') == 7) return require('../hook')"),
        ("lib/part.luau", "return 7"),
        ("hook.luau", HANDLER),
    ];
    World::new().load(luau(&files)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_is_checked_against_the_schema() {
    let schema = "return { properties = { limit = { type = 'integer', minimum = 1, default = 5, description = 'How many.' } } }";
    let files = [("handler.luau", HANDLER), ("schema.luau", schema)];
    let world = World::new();
    let status = world.load_with(luau(&files), Value::Null, None).await;
    assert_eq!(status.config, json!({ "limit": 5 }));
    assert_eq!(status.config_schema["properties"]["limit"]["description"], "How many.");
    let message = refused(luau(&files), json!({ "limit": 0 })).await;
    assert!(message.starts_with("hook-x: configuration: /limit"), "{message}");
    let undescribed = "return { properties = { limit = { type = 'integer' } } }";
    let message =
        refused(luau(&[("handler.luau", HANDLER), ("schema.luau", undescribed)]), Value::Null).await;
    assert!(message.contains("the setting /limit has no description"), "{message}");
}
