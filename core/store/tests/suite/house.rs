use std::sync::Arc;

use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_engine::ports::{Channels, Effects, Feed, Progress, Reads, Stream};
use regard_model::channel::NewChannel;
use regard_model::outbox::NewMessage;
use regard_model::{Attributes, OutboxState, PluginRecord, ScriptRecord, SignedBy, Timestamp};
use regard_store::{ANSWER_KEPT_MS, ChannelChange, SecretOwner};
use serde_json::{Value, json};

use crate::bed::{Bed, NASTY, START_MS, accept, channel, customer, order, shop};

pub async fn keeps_channels(bed: Bed) -> Result<()> {
    let (store, other) = (bed.open().await?, bed.open().await?);
    let new = NewChannel {
        name: "shop".into(),
        kind: "shop".into(),
        connector: None,
        settings: Attributes::from([(NASTY, json!(NASTY)), ("old", json!(1))]),
        secrets: Vec::new(),
    };
    let shop = store.create_channel(new.clone()).await?;
    let taken = store.create_channel(new).await;
    assert!(matches!(&taken, Err(StoreError::Conflict(why)) if why.contains("shop")), "{taken:?}");
    let web = channel(&store, "web").await?;
    assert_eq!(store.all(), [shop.clone(), web.clone()].map(Arc::new));
    assert_eq!(store.by_name("shop").as_deref(), Some(&shop));
    assert_eq!(other.list_channels().await?, vec![shop.clone(), web]);
    let change = ChannelChange {
        settings: Attributes::from([("old", Value::Null), ("new", json!(2))]),
        enabled: Some(false),
        connector: Some(Some("connector-x".into())),
        secrets: Vec::new(),
    };
    let changed = store.change_channel(shop.id, change).await?;
    assert_eq!(
        (changed.enabled, changed.settings.get("old"), changed.settings.get("new")),
        (false, None, Some(&json!(2)))
    );
    assert_eq!(store.by_name("shop").as_deref(), Some(&changed));
    assert_eq!(store.find_channel(shop.id).await?.as_ref(), Some(&changed));
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(
        other.by_name("shop").as_deref(),
        Some(&changed),
        "other nodes hear of it without being asked"
    );
    let missing = store.change_channel(regard_model::ChannelId::from_i64(4), ChannelChange::default()).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
    Ok(())
}

pub async fn keeps_plugins_and_scripts(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let mut plugin = PluginRecord {
        id: "hook-x".into(),
        version: "0.1.0".into(),
        runtime: "wasm".into(),
        capabilities: vec!["hook".into(), NASTY.into()],
        digest: "d".repeat(64),
        manifest: NASTY.into(),
        grants: json!({ "http": ["example.com"] }),
        config: json!({ NASTY: NASTY }),
        enabled: false,
        fault: None,
        installed_at: Timestamp::from_millis(START_MS),
        signed_by: Some(SignedBy { key: "08CCEDBCE308D45F".into(), name: NASTY.into() }),
    };
    store.put_plugin(&plugin).await?;
    assert_eq!(store.find_plugin("hook-x").await?.as_ref(), Some(&plugin));
    plugin.version = "0.2.0".into();
    plugin.signed_by = None;
    store.put_plugin(&plugin).await?;
    store.set_plugin_enabled("hook-x", true).await?;
    store.set_plugin_grants("hook-x", &json!({})).await?;
    store.set_plugin_config("hook-x", &json!([1])).await?;
    store.set_plugin_fault("hook-x", Some(NASTY)).await?;
    (plugin.enabled, plugin.grants, plugin.config, plugin.fault) =
        (true, json!({}), json!([1]), Some(NASTY.into()));
    assert_eq!(store.list_plugins().await?, vec![plugin]);
    store.set_plugin_fault("hook-x", None).await?;
    assert_eq!(store.find_plugin("hook-x").await?.context("there")?.fault, None);
    assert!(matches!(store.set_plugin_enabled("none", true).await, Err(StoreError::NotFound(_))));

    let owner = SecretOwner::Plugin("hook-x".into());
    store.set_secret(&owner, "token", "secret").await?;
    let kept =
        Effects { origin: "hook-x".into(), kept: vec![("k".into(), Some(vec![1]))], ..Effects::default() };
    let progress = Progress { subscriber: "hook-x".into(), stream: Stream::Customers, position: 5 };
    store.commit(Some(&progress), kept).await?;
    assert!(store.remove_plugin("hook-x").await?);
    assert!(!store.remove_plugin("hook-x").await?);
    assert_eq!(store.find_plugin("hook-x").await?, None);
    assert_eq!(store.kept("hook-x", "k").await?, None);
    assert_eq!(store.secret("hook-x", None, "token").await?, None);
    assert_eq!(store.position("hook-x", Stream::Customers).await?, 0, "installed again, it begins again");

    let mut script = ScriptRecord {
        name: "win-back".into(),
        digest: "e".repeat(64),
        source: NASTY.into(),
        enabled: true,
        deployed_at: Timestamp::from_millis(START_MS),
    };
    store.put_script(&script).await?;
    script.enabled = false;
    store.put_script(&script).await?;
    assert_eq!(store.find_script("win-back").await?.as_ref(), Some(&script));
    assert_eq!(store.list_scripts().await?, vec![script]);
    Ok(())
}

pub async fn remembers_answers_for_a_day(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    assert_eq!(store.find_answer("token:a", NASTY).await?, None);
    store.remember_answer("token:a", NASTY, "digest", 201, b"\x00\xff{}").await?;
    let answer = store.find_answer("token:a", NASTY).await?.context("there")?;
    assert_eq!(
        (answer.status, answer.body.as_slice(), answer.request_digest.as_str()),
        (201, &b"\x00\xff{}"[..], "digest")
    );
    assert_eq!(store.find_answer("token:b", NASTY).await?, None, "keys are those of a principal");
    let twice = store.remember_answer("token:a", NASTY, "other", 200, b"").await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    bed.clock.advance(ANSWER_KEPT_MS);
    assert_eq!(store.find_answer("token:a", NASTY).await?, None);
    store.remember_answer("token:a", NASTY, "other", 200, b"").await?;
    assert_eq!(store.find_answer("token:a", NASTY).await?.context("there")?.status, 200);
    assert_eq!(store.forget_answers().await?, 0);
    bed.clock.advance(ANSWER_KEPT_MS);
    assert_eq!(store.forget_answers().await?, 1);
    Ok(())
}

pub async fn exports_everything_about_a_customer(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    let (ada, old) =
        (customer(&store, NASTY, &["cookie:a"]).await?, customer(&store, "Old", &["cookie:b"]).await?);
    for n in 0..1500 {
        if n < 3 {
            accept(&store, order(shop.id, &n.to_string(), &["cookie:b"])).await?;
        }
    }
    store.merge_customers(old.id, ada.id, "same", Attributes::new(), "t").await?;
    let message = NewMessage {
        customer: old.id,
        purpose: "service".into(),
        channel: None,
        body: "hello".into(),
        parameters: Attributes::new(),
        idempotency_key: "k".into(),
        not_before: None,
    };
    store.enqueue(message, "person", None).await?;
    let export = store.export_customer(old.id).await?;
    let length = |field: &str| export[field].as_array().map(Vec::len);
    assert_eq!(export["customer"]["name"], NASTY);
    assert_eq!(export["known_as"], json!([ada.id, old.id]));
    assert_eq!((length("interactions"), length("messages"), length("merges")), (Some(3), Some(1), Some(1)));
    assert_eq!(
        (length("consents"), length("observations"), length("relationships")),
        (Some(0), Some(0), Some(0))
    );
    let nobody = store.export_customer(regard_model::CustomerId::from_i64(1)).await;
    assert!(matches!(nobody, Err(StoreError::NotFound(_))));
    Ok(())
}

pub async fn counts(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    assert_eq!(store.counts().await?.customers, 0);
    let shop = shop(&store).await?;
    let (ada, old) =
        (customer(&store, "Ada", &["cookie:a"]).await?, customer(&store, "Old", &["cookie:b"]).await?);
    accept(&store, order(shop.id, "1", &["cookie:b"])).await?;
    store.merge_customers(old.id, ada.id, "same", Attributes::new(), "t").await?;
    let counts = store.counts().await?;
    assert_eq!((counts.customers, counts.merged, counts.identifiers), (1, 1, 2));
    assert_eq!((counts.channels, counts.interactions, counts.observations), (1, 1, 0));
    assert_eq!(counts.outbox.len(), OutboxState::ALL.len());
    Ok(())
}
