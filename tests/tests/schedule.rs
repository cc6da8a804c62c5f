//! A hook is called at the instants of its schedule: once each, whatever happens in between.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use regard_engine::inbound::Submission;
use regard_engine::ports::{Appended, Channels as _, Clock, Reads as _};
use regard_engine::{Parts, Pipeline};
use regard_host::{Host, HostOptions, Package};
use regard_model::{Attributes, Timestamp};
use regard_store::{Store, StoreOptions};
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct Desk {
    folder: tempfile::TempDir,
    clock: Arc<HandClock>,
    store: Arc<Store>,
    pipeline: Arc<Pipeline>,
}

/// A hook that writes down what it was handed.
fn plugin(id: &str, more: &str) -> Package {
    let manifest = format!(
        "id = \"{id}\"\nname = \"N\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
         capabilities = [\"hook\"]\n[permissions]\nkv = true\n{more}"
    );
    let handler = r#"return { hook = { handle = function(events)
        local seen = regard.kv.get("seen") or ""
        for _, event in events do
            local attributes = event.interaction.attributes
            seen ..= `{event.interaction.kind} {attributes.schedule} {event.interaction.occurred_at_ms};`
        end
        regard.kv.set("seen", seen)
    end } }"#;
    let files = [("handler.luau".to_owned(), handler.as_bytes().to_vec())].into();
    Package::from_parts(&Path::new(id).join("plugin.toml"), manifest, files).expect("a package")
}

impl Desk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let start: Timestamp = "2026-01-05T09:30:00Z".parse().expect("a time");
        let clock = Arc::new(HandClock(AtomicI64::new(start.as_millis())));
        let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
        let store = Arc::new(Store::open(&folder.path().to_string_lossy(), options).await.expect("a store"));
        let pipeline = Self::node(&store, &clock, folder.path()).await;
        Self { folder, clock, store, pipeline }
    }

    /// Everything that a node has of its own.
    async fn node(store: &Arc<Store>, clock: &Arc<HandClock>, folder: &Path) -> Arc<Pipeline> {
        let options = HostOptions::new(folder.join("cache"));
        let host = Arc::new(Host::new(options, store.clone(), clock.clone()).expect("a host"));
        let hourly = "[[schedule]]\nname = \"hourly\"\nevery = \"1h\"\n";
        host.load(plugin("hook-hourly", hourly), Value::Null, None).await.expect("loads");
        let all = "[[subscribe]]\nevent = \"interaction.appended\"\n";
        host.load(plugin("hook-all", all), Value::Null, None).await.expect("loads");
        Pipeline::new(Parts {
            log: store.clone(),
            feed: store.clone(),
            outbox: store.clone(),
            channels: store.clone(),
            hooks: host.clone(),
            connectors: host,
            reads: store.clone(),
            clock: clock.clone(),
        })
    }

    async fn wait(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
        self.pipeline.settle().await.expect("settles");
    }

    /// The instants at which `plugin` was called, as hours after midnight.
    async fn seen(&self, plugin: &str) -> Vec<i64> {
        let kept = self.store.kept(plugin, "seen").await.expect("reads").unwrap_or_default();
        let text = String::from_utf8(kept).expect("text");
        let midnight = self.clock.now().start_of_day().as_millis();
        let hour = |line: &str| {
            let at = line.strip_prefix("schedule.due hourly ").expect("what is due").parse::<i64>();
            (at.expect("an instant") - midnight) / HOUR_MS
        };
        text.split_terminator(';').map(hour).collect()
    }
}

#[tokio::test]
async fn each_instant_comes_once() {
    let desk = Desk::new().await;
    desk.wait(0).await;
    assert_eq!(
        desk.seen("hook-hourly").await,
        [0; 0],
        "what fell due before the installation does not count"
    );
    desk.wait(HOUR_MS / 2).await;
    desk.wait(0).await;
    assert_eq!(desk.seen("hook-hourly").await, [10]);
    desk.wait(HOUR_MS).await;
    assert_eq!(desk.seen("hook-hourly").await, [10, 11]);
    // Nobody looked for five hours: the last instant is made up for, not all of them.
    desk.wait(5 * HOUR_MS).await;
    assert_eq!(desk.seen("hook-hourly").await, [10, 11, 16]);
    assert_eq!(desk.seen("hook-all").await, [0; 0], "a schedule concerns nobody else");
}

#[tokio::test]
async fn a_second_node_and_a_new_start_change_nothing() {
    let desk = Desk::new().await;
    desk.wait(0).await;
    let other = Desk::node(&desk.store, &desk.clock, desk.folder.path()).await;
    desk.clock.0.fetch_add(HOUR_MS, Ordering::Relaxed);
    let (one, two) = tokio::join!(desk.pipeline.settle(), other.settle());
    one.and(two).expect("settles");
    assert_eq!(desk.seen("hook-hourly").await, [10]);
    let restarted = Desk::node(&desk.store, &desk.clock, desk.folder.path()).await;
    restarted.settle().await.expect("settles");
    assert_eq!(desk.seen("hook-hourly").await, [10]);
}

#[tokio::test]
async fn nobody_else_says_that_something_is_due() {
    let desk = Desk::new().await;
    desk.wait(0).await;
    desk.wait(HOUR_MS).await;
    let forged = |channel: &str, kind: &str| Submission {
        channel: channel.to_owned(),
        external_id: "hook-hourly/hourly/2026-01-05T12:00:00.000Z".to_owned(),
        customer_id: None,
        identifier: None,
        identifiers: Vec::new(),
        customer_name: None,
        kind: kind.parse().expect("a kind"),
        occurred_at: desk.clock.now(),
        thread: None,
        amount: None,
        attributes: Attributes::from([("plugin", json!("hook-hourly")), ("schedule", json!("hourly"))]),
        provenance: None,
        causation_id: None,
    };
    desk.store.make("shop").await.expect("a channel");
    let handed_in = vec![forged("shop", "schedule.due"), forged("regard.schedule", "order.placed")];
    let outcomes = desk.pipeline.receive(handed_in, None).await.expect("an answer");
    for outcome in outcomes {
        let Appended::Rejected(invalid) = outcome else { panic!("{outcome:?}") };
        assert!(invalid.to_string().contains("schedules make"), "{invalid}");
    }
    desk.wait(2 * HOUR_MS).await;
    assert_eq!(desk.seen("hook-hourly").await, [10, 12]);
}
