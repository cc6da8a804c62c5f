use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_engine::ports::{Channels, Effects, Feed, Progress, Reads, Stream};
use regard_model::channel::NewChannel;
use regard_model::outbox::NewMessage;
use regard_model::{Attributes, OutboxState, PluginRecord, PluginVersion, ScriptRecord, SignedBy, Timestamp};
use regard_store::{ANSWER_KEPT_MS, ChannelChange, EARLIER_VERSIONS_MAX, SecretOwner};
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
        waiting: None,
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

/// A version of `hook-x` with one file, whose digest is `digit` many times.
fn version(digit: &str, version: &str) -> (PluginVersion, BTreeMap<String, Vec<u8>>) {
    let version = PluginVersion {
        plugin: "hook-x".into(),
        version: version.into(),
        digest: digit.repeat(64),
        manifest: NASTY.into(),
        config: json!({ "of": version }),
        signed_by: None,
        installed_at: Timestamp::from_millis(START_MS),
        served_at: None,
    };
    (version, [("handler.luau".to_owned(), digit.as_bytes().to_vec())].into())
}

fn serving(version: &PluginVersion) -> PluginRecord {
    PluginRecord {
        id: version.plugin.clone(),
        version: version.version.clone(),
        runtime: "luau".into(),
        capabilities: vec!["hook".into()],
        digest: version.digest.clone(),
        manifest: version.manifest.clone(),
        grants: json!({}),
        config: version.config.clone(),
        enabled: true,
        fault: None,
        waiting: None,
        signed_by: None,
        installed_at: version.installed_at,
    }
}

pub async fn switches_versions_with_what_they_keep(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let at = |minutes: i64| Timestamp::from_millis(START_MS + minutes * 60_000);
    let keeps = |version: &PluginVersion, value: &[u8]| Effects {
        origin: "hook-x".into(),
        digest: Some(version.digest.clone()),
        kept: vec![("shape".into(), Some(value.to_vec()))],
        ..Effects::default()
    };
    let ((one, files), (two, more)) = (version("1", "0.1.0"), version("2", "0.2.0"));
    store.put_plugin_version(&one, &files, false).await?;
    store.switch_plugin(&serving(&one), None, &[], Effects::default(), at(1)).await?;
    store.commit(None, keeps(&one, b"old")).await?;

    store.put_plugin_version(&two, &more, true).await?;
    let waiting = store.find_plugin("hook-x").await?.context("there")?;
    assert_eq!((waiting.version.as_str(), waiting.waiting.as_ref()), ("0.1.0", Some(&two.digest)));
    let stale = store.switch_plugin(&serving(&two), Some(&two.digest), &[], Effects::default(), at(2)).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "another version serves: {stale:?}");
    store.switch_plugin(&serving(&two), Some(&one.digest), &[], keeps(&one, b"new"), at(3)).await?;
    let now = store.find_plugin("hook-x").await?.context("there")?;
    assert_eq!((now.version.as_str(), now.waiting), ("0.2.0", None));
    assert_eq!(store.kept("hook-x", "shape").await?.as_deref(), Some(&b"new"[..]));
    let late = store.commit(None, keeps(&one, b"old")).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "a version that is gone keeps nothing: {late:?}");
    store.commit(None, keeps(&two, b"newer")).await?;

    let versions = store.plugin_versions("hook-x").await?;
    let named: Vec<_> = versions.iter().map(|one| (one.version.as_str(), one.served_at)).collect();
    assert_eq!(named, [("0.2.0", Some(at(3))), ("0.1.0", Some(at(1)))]);
    assert_eq!(store.plugin_files(&one.digest).await?, files, "there to roll back to");

    let (three, most) = version("3", "0.3.0");
    store.put_plugin_version(&three, &most, true).await?;
    assert!(store.decline_plugin_version("hook-x").await?);
    assert!(!store.decline_plugin_version("hook-x").await?);
    assert_eq!(store.plugin_versions("hook-x").await?.len(), 2);
    assert!(store.plugin_files(&three.digest).await?.is_empty(), "declined and forgotten");

    for number in 0..=EARLIER_VERSIONS_MAX {
        let digit = char::from(b'a' + u8::try_from(number)?).to_string();
        let (next, code) = version(&digit, &format!("1.{number}.0"));
        let from = store.find_plugin("hook-x").await?.context("there")?.digest;
        store.put_plugin_version(&next, &code, false).await?;
        store
            .switch_plugin(&serving(&next), Some(&from), &[], Effects::default(), at(10 + number as i64))
            .await?;
    }
    let versions = store.plugin_versions("hook-x").await?;
    assert_eq!(versions.len(), EARLIER_VERSIONS_MAX + 1);
    assert!(store.plugin_files(&one.digest).await?.is_empty(), "the oldest are forgotten with their code");
    assert!(store.remove_plugin("hook-x").await?);
    assert!(store.plugin_versions("hook-x").await?.is_empty());
    Ok(())
}

pub async fn counts_and_lists_what_plugins_keep(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let keep = async |plugin: &str, kept: &[(&str, Option<&[u8]>)]| {
        let kept = kept.iter().map(|(key, value)| ((*key).to_owned(), value.map(<[u8]>::to_vec))).collect();
        store.commit(None, Effects { origin: plugin.into(), kept, ..Effects::default() }).await
    };
    keep(
        "hook-x",
        &[("a/2", Some(b"12345")), ("a/1", Some(b"")), ("b", Some(b"1")), ("a/\u{e9}", Some(b"1"))],
    )
    .await?;
    keep("hook-y", &[("a/3", Some(b"other"))]).await?;
    assert_eq!(store.kept_bytes("hook-x").await?, 3 + 5 + 3 + 1 + 1 + 4 + 1);
    let keys = async |prefix: &str, after: Option<&str>, limit| {
        store.kept_keys("hook-x", prefix, after, limit).await
    };
    assert_eq!(keys("a/", None, 10).await?, ["a/1", "a/2", "a/\u{e9}"]);
    assert_eq!(keys("a/", Some("a/1"), 1).await?, ["a/2"]);
    assert_eq!(keys("", None, 10).await?, ["a/1", "a/2", "a/\u{e9}", "b"]);
    assert!(keys("c", None, 10).await?.is_empty() && keys("%", None, 10).await?.is_empty());
    keep("hook-x", &[("a/2", Some(b"1")), ("b", None), ("none", None)]).await?;
    assert_eq!(store.kept_bytes("hook-x").await?, 3 + 1 + 3 + 4 + 1);
    assert_eq!(store.kept_bytes("none").await?, 0);
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
