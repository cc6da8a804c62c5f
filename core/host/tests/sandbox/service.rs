//! In and out of service: the circuit breaker, switching off, replacing under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use regard_engine::Fault;
use regard_engine::ports::{Connectors, Evaluators, Hooks};
use regard_host::Service;

use crate::world::{NOW, RUNTIMES, World, event, hostile};

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_keeps_breaking_rests_and_is_quarantined() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        let crash = async || world.host.handle("hostile", &[event("crash")]).await.expect_err("a crash");
        for _ in 0..5 {
            assert_eq!(crash().await.fault, Fault::Trap);
        }
        let resting = crash().await;
        assert_eq!((resting.fault, resting.retry_after), (Fault::OutOfService, Some(Duration::from_secs(1))));
        let mut now = NOW;
        while world.host.status("hostile").expect("status").service == Service::Enabled {
            now = now.plus_millis(60_000);
            *world.clock.0.lock() = now;
            crash().await;
            assert!(now.as_millis() - NOW.as_millis() < 3_600_000, "never quarantined");
        }
        let Service::Quarantined(reason) = world.host.status("hostile").expect("status").service else {
            panic!("not in quarantine")
        };
        assert!(reason.contains("hostile: hook.handle failed: trap"), "{reason}");
        assert!(world.host.subscribers().is_empty() && Evaluators::metrics(&world.host).is_empty());
        assert!(Connectors::features(&world.host, "hostile").is_none());
        assert!(world.host.set_enabled("hostile", true));
        world.host.handle("hostile", &[event("nothing")]).await.expect("a new start");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_can_be_switched_off_and_removed() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        assert_eq!(world.host.subscribers().len(), 1);
        assert!(world.host.set_enabled("hostile", false));
        let off = world.host.handle("hostile", &[event("nothing")]).await.expect_err("off");
        assert_eq!(off.fault, Fault::OutOfService);
        assert!(world.host.remove("hostile") && !world.host.remove("hostile"));
        assert!(world.host.list().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_under_load_fails_no_call() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (host, stop) = (world.host.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut calls = 0;
                    while !stop.load(Ordering::Relaxed) {
                        host.handle("hostile", &[event("nothing")]).await.expect("no call fails");
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        for _ in 0..5 {
            world.load(hostile(runtime)).await;
        }
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            assert!(caller.await.expect("a caller") > 0);
        }
    }
}
