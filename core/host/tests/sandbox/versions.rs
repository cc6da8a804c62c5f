//! What lasts from call to call and from version to version. A native library is one for all calls, so what it remembers
//! is its own affair.

use regard_engine::Fault;
use regard_engine::ports::{Effects, Hooks};
use serde_json::Value;

use crate::world::{RUNTIMES, SANDBOXED, World, event, hostile, hostile_with};

fn kept(effects: &Effects, key: &str) -> Option<String> {
    let (_, value) = effects.kept.iter().find(|(found, _)| found == key)?;
    value.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_sees_nothing_of_the_one_before() {
    for runtime in SANDBOXED {
        let world = World::hostile(runtime).await;
        for _ in 0..3 {
            let effects =
                world.host.handle("hostile", &[event("count"), event("count")]).await.expect("counts");
            assert_eq!(kept(&effects, "calls").as_deref(), Some("2"), "{runtime:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_serves_as_many_calls_as_the_manifest_says() {
    for runtime in SANDBOXED {
        let world = World::new();
        let asks = |manifest: String| {
            manifest.replace("[permissions]", "[limits]\ncalls_per_instance = 3\n\n[permissions]")
        };
        world.load(hostile_with(runtime, asks)).await;
        let mut seen = Vec::new();
        for _ in 0..7 {
            let effects = world.host.handle("hostile", &[event("count")]).await.expect("counts");
            seen.push(kept(&effects, "calls").expect("counted"));
        }
        assert_eq!(seen, ["1", "2", "3", "1", "2", "3", "1"], "{runtime:?}");
        world.host.handle("hostile", &[event("crash")]).await.expect_err("crashes");
        let effects = world.host.handle("hostile", &[event("count")]).await.expect("counts");
        assert_eq!(
            kept(&effects, "calls").as_deref(),
            Some("1"),
            "{runtime:?}: what crashed is never used again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_hand_over_what_they_keep() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        let prepared = world.host.prepare(hostile(runtime), Value::Null, None).await.expect("prepared");
        assert!(prepared.migrates());
        let effects = prepared.upgrade("0.0.9").await.expect("upgrades").expect("it migrates");
        assert_eq!(kept(&effects, "upgraded-from").as_deref(), Some("0.0.9"), "{runtime:?}");
        let refused = prepared.upgrade("0.0.0").await.expect_err("refuses");
        assert_eq!(
            refused.to_string(),
            "hostile: migration.upgrade failed: unsupported: too old",
            "{runtime:?}"
        );
        let crashed = prepared.upgrade("0.0.1").await.expect_err("crashes");
        assert_eq!(crashed.fault, Fault::Trap, "{runtime:?}");
        let effects =
            world.host.downgrade("hostile", "0.0.8").await.expect("downgrades").expect("it migrates");
        assert_eq!(kept(&effects, "downgraded-to").as_deref(), Some("0.0.8"), "{runtime:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_while_versions_hand_over() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        // The effects of a call are stored later; until then its version stays.
        let effects = world.host.handle("hostile", &[event("count")]).await.expect("counts");
        let host = world.host.clone();
        let closing = tokio::spawn(async move { host.quiet("hostile").await.expect("becomes quiet") });
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(!closing.is_finished(), "{runtime:?}: effects are not stored yet");
        drop(effects);
        let quiet = closing.await.expect("quiet");
        let host = world.host.clone();
        let waiting = tokio::spawn(async move { host.handle("hostile", &[event("count")]).await });
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(!waiting.is_finished(), "{runtime:?}: a call ran beside the migration");
        drop(quiet);
        waiting.await.expect("the caller").expect("the call waited and was made");
    }
}
