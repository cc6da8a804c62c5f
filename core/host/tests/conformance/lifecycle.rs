//! Into service, or not; and from one version to another.

use regard_engine::ports::Hooks;
use regard_host::Package;
use serde_json::{Value, json};

use crate::given::{about, furnished, with_bystander};
use crate::plugin::{conforming, conforming_with};
use crate::world::Runtime;

pub async fn exports(runtime: Runtime) {
    let less = conforming_with(runtime, |manifest| manifest.replace(", \"kpi\"", ""));
    let refused = furnished(&less).host.load(less, Value::Null, None).await.expect_err("refused").to_string();
    assert!(refused.starts_with("conforming/plugin.toml: `capabilities` (line 7) "), "{refused}");
    assert!(refused.contains("kpi"), "{refused}");
}

/// Loads the plugin in a way that fails with `words`. One that serves goes on, and loading it well works.
async fn unfit(runtime: Runtime, how: &str, words: &str) {
    let package = conforming(runtime);
    let world = furnished(&package);
    with_bystander(&world).await;
    let load = async |package: Package, how: &str| {
        world.host.load(package, json!({ "set_up": how }), None).await.map_err(|why| why.to_string())
    };
    let refused = load(package.clone(), how).await.expect_err(how);
    assert!(refused.starts_with("conforming: ") && refused.contains(words), "{refused}");
    assert_eq!(world.host.list().len(), 1, "only the bystander is there");
    load(package.clone(), "").await.expect("a good configuration");
    load(package, how).await.expect_err(how);
    world.host.handle("conforming", &[about("log")]).await.expect("the one that served goes on");
    crate::given::bystander_works(&world).await;
}

pub async fn refused(runtime: Runtime) {
    unfit(runtime, "refuse", "set-up: this configuration will not do").await;
}

pub async fn crashed(runtime: Runtime) {
    unfit(runtime, "crash", "boom").await;
}

pub async fn looped(runtime: Runtime) {
    unfit(runtime, "loop", "computed longer than 300 ms").await;
}

pub async fn migrates(runtime: Runtime) {
    let world = crate::given::world(runtime).await;
    let prepared = world.host.prepare(conforming(runtime), Value::Null, None).await.expect("prepared");
    assert!(prepared.migrates());
    let kept = |text: &str| [("seen".to_owned(), Some(text.as_bytes().to_vec()))];
    let effects = prepared.upgrade("0.0.9").await.expect("upgrades").expect("it migrates");
    assert_eq!(effects.kept, kept("from 0.0.9"));
    let refused = prepared.upgrade("0.0.0").await.expect_err("refuses").to_string();
    assert_eq!(refused, "conforming: migration.upgrade failed: unsupported: too old");
    let effects =
        world.host.downgrade("conforming", "0.0.8").await.expect("downgrades").expect("it migrates");
    assert_eq!(effects.kept, kept("to 0.0.8"));
}
