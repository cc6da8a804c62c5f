//! Loops, hoards, crashes, floods: each is stopped, named, and leaves nothing behind.

use std::time::{Duration, Instant};

use regard_engine::Fault;
use regard_engine::ports::{Connectors, Hooks, Webhook};

use regard_host::Package;
use regard_model::Subject;

use crate::welcome::observed;
use crate::world::{LATE, RUNTIMES, Runtime, SANDBOXED, World, channel, event, hostile, limits, root};

/// Longest that a call which waits may take beyond its bound: other tests keep the same processors busy.
pub const SLACK: Duration = Duration::from_secs(4);

/// Has the hostile plugin do `how`; it must fail like this, within bounds, and every later call must work.
async fn check(runtime: Runtime, how: &str, fault: Fault, message: &str) {
    let world = World::hostile(runtime).await;
    world.load(Package::from_folder(&root().join("plugins/hook-welcome")).expect("a bystander")).await;

    let failed = world.host.handle("hostile", &[event(how)]).await.expect_err(how);
    let label = format!("{runtime:?} {how}: {failed}");
    let (computed, most) = (world.computed("hostile"), limits().interactive.cpu);
    assert!(computed < most + LATE || runtime == Runtime::Native, "{label} computed {computed:?}");
    assert!(computed >= most || !message.starts_with("computed longer"), "{label} computed {computed:?}");
    assert_eq!(failed.fault, fault, "{label}");
    assert!(failed.to_string().starts_with("hostile: hook.handle failed: "), "{label}");
    assert!(failed.message.contains(message), "{label}");

    let effects = world.host.handle("hostile", &[event("nothing")]).await.expect("the same plugin works");
    assert!(effects.is_empty(), "{label} left effects behind");
    let seen = observed("rfm", Subject::Business, Some(1.0), None);
    world.host.handle("hook-welcome", &[seen]).await.expect("the other plugin works");
    let stats = world.host.stats();
    let hostile = stats.iter().find(|stats| stats.plugin == "hostile").expect("its counters");
    assert_eq!((hostile.calls(), hostile.faults()), (2, vec![(fault, 1)]), "{label}");
    // Nobody can tell a library's memory from the host's own.
    assert!(hostile.memory_peak_bytes > 0 || runtime == Runtime::Native, "{label}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_stopped() {
    for runtime in SANDBOXED {
        check(runtime, "loop", Fault::Timeout, "computed longer than 300 ms").await;
    }
    for how in ["pcall-loop", "coroutine-loop", "pattern"] {
        check(Runtime::Luau, how, Fault::Timeout, "computed longer than 300 ms").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hoard_is_stopped() {
    for runtime in SANDBOXED {
        check(runtime, "memory", Fault::Memory, "asked for more than 48 MiB").await;
    }
    check(Runtime::Luau, "caught-memory", Fault::Memory, "asked for more than 48 MiB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_named() {
    for runtime in RUNTIMES {
        check(runtime, "crash", Fault::Trap, "boom").await;
    }
    for runtime in SANDBOXED {
        check(runtime, "stack", Fault::Trap, "").await;
    }
    check(Runtime::Wasm, "crash", Fault::Trap, "unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_error_is_passed_on() {
    for runtime in RUNTIMES {
        check(runtime, "report", Fault::Throttled, "slow down").await;
        let world = World::hostile(runtime).await;
        let failed = world.host.handle("hostile", &[event("report")]).await.expect_err("reported");
        assert_eq!(failed.retry_after, Some(Duration::from_millis(1500)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_stopped() {
    for runtime in RUNTIMES {
        check(runtime, "log-flood", Fault::Exhausted, "log").await;
        check(runtime, "host-calls", Fault::Exhausted, "called host functions more than 200 times").await;
        check(runtime, "effects", Fault::Exhausted, "collected more than 4194304 bytes").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn giant_answers_are_refused() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        let call = |path: &str| Webhook {
            method: "POST".into(),
            path: path.into(),
            query: String::new(),
            headers: vec![("x".into(), "y".into())],
            body: b"\xff\x00body".to_vec(),
        };
        for path in ["giant-body", "giant-list"] {
            let failed = world.host.receive(&channel("hostile"), call(path)).await.expect_err(path);
            assert_eq!(failed.fault, Fault::Exhausted, "{runtime:?} {path}: {failed}");
        }
        let (items, reply, _) =
            world.host.receive(&channel("hostile"), call("")).await.expect("a good answer");
        assert_eq!((items.len(), reply.status, reply.body.as_slice()), (1, 200, &b"\xff\x00body"[..]));
        let failed = world.host.poll(&channel("hostile"), None, 10).await.expect_err("no poll");
        assert_eq!(failed.fault, Fault::Unsupported, "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_luau_sandbox_has_no_way_out() {
    let world = World::hostile(Runtime::Luau).await;
    world.host.handle("hostile", &[event("escape")]).await.expect("every way out is closed");
}

/// A guest that computes without end must not keep the server's threads from working.
#[tokio::test]
async fn the_callers_thread_stays_free() {
    for runtime in RUNTIMES {
        let package = hostile(runtime);
        let world = World::with(|options| options.limits.interactive.cpu = Duration::from_secs(2));
        world.load(package).await;
        let host = world.host.clone();
        let spinning = tokio::spawn(async move { host.handle("hostile", &[event("loop")]).await });
        let mut longest = Duration::ZERO;
        while !spinning.is_finished() {
            let before = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            longest = longest.max(before.elapsed());
        }
        assert!(longest < Duration::from_secs(1), "{runtime:?}: the only server thread waited {longest:?}");
    }
}
