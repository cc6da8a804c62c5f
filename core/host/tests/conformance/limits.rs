//! Whatever a plugin does, it is stopped within its bounds, the failure is named, and every later call works.

use std::time::{Duration, Instant};

use regard_engine::Fault;
use regard_engine::ports::Hooks;
use regard_host::Service;
use regard_model::Attributes;

use crate::given::{bystander_works, with_bystander};
use crate::world::{Runtime, World, event, event_with};

/// Longest that a stopped call may take: the bounds of these tests, and what a busy machine adds.
const STOPPED_WITHIN: Duration = Duration::from_secs(12);
/// Longest message of a failure, in bytes, with what marks that it was cut off.
const MESSAGE_BYTES_MAX: usize = 4_096 + 3;

/// Has the hostile plugin do `how`, which must fail like this.
pub async fn stopped(runtime: Runtime, how: &str, fault: Fault, words: &str) {
    let world = World::hostile(runtime).await;
    with_bystander(&world).await;
    let started = Instant::now();
    let failed = world.host.handle("hostile", &[event(how)]).await.expect_err(how);
    assert!(started.elapsed() < STOPPED_WITHIN, "took {:?}", started.elapsed());
    assert_eq!(failed.fault, fault, "{failed}");
    assert!(failed.to_string().starts_with("hostile: hook.handle failed: "), "{failed}");
    assert!(failed.message.contains(words), "{failed}");
    assert!(failed.message.len() <= MESSAGE_BYTES_MAX, "{} bytes", failed.message.len());
    assert_eq!(failed.retry_after, (how == "report").then_some(Duration::from_millis(1_500)));
    aftermath(&world, runtime, fault).await;
}

/// Changes a customer, keeps something, enqueues a message, and crashes: nothing of it is left.
pub async fn half_done(runtime: Runtime) {
    let world = World::hostile(runtime).await;
    with_bystander(&world).await;
    let ada = world.customer(7, "Ada");
    let half_done = event_with("half-done", Some(ada), Attributes::new());
    let failed = world.host.handle("hostile", &[half_done]).await.expect_err("crashes");
    assert_eq!(failed.fault, Fault::Trap, "{failed}");
    aftermath(&world, runtime, Fault::Trap).await;
}

/// The same plugin and another one work, and the counters name the culprit.
async fn aftermath(world: &World, runtime: Runtime, fault: Fault) {
    let effects = world.host.handle("hostile", &[event("nothing")]).await.expect("the same plugin works");
    assert!(effects.is_empty(), "it left effects behind: {effects:?}");
    bystander_works(world).await;
    let stats = world.host.stats();
    let of = |plugin: &str| stats.iter().find(|stats| stats.plugin == plugin).expect("its counters");
    assert_eq!((of("hostile").calls(), of("hostile").faults()), (2, vec![(fault, 1)]));
    assert_eq!(of("hook-welcome").faults(), []);
    assert!(of("hostile").memory_peak_bytes > 0 || runtime == Runtime::Native);
    let status = world.host.status("hostile").expect("its status");
    assert_eq!(status.service, Service::Enabled, "once is no quarantine");
}
