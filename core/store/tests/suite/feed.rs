use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_engine::ports::{Effects, Event, Feed, Incoming, Log, Progress, Reads, Stream};
use regard_model::customer::CustomerChange;
use regard_model::outbox::NewMessage;
use regard_model::{Attributes, CustomerId, OutboxId};

use crate::bed::{Bed, NASTY, accept, customer, order, shop};

fn progress(position: i64) -> Progress {
    Progress { subscriber: "hook-x".into(), stream: Stream::Interactions, position }
}

fn message(to: CustomerId, key: &str) -> NewMessage {
    NewMessage {
        customer: to,
        purpose: "service".into(),
        channel: None,
        body: format!("hello {NASTY}"),
        parameters: Attributes::new(),
        idempotency_key: key.into(),
        not_before: None,
    }
}

pub async fn begins_with_what_comes_next(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    let (old, _) = accept(&store, order(shop.id, "old", &["cookie:c"])).await?;
    let start = store.position("hook-x", Stream::Interactions).await?;
    assert_eq!(start, old.as_i64());
    let (new, _) = accept(&store, order(shop.id, "new", &["cookie:c"])).await?;
    assert_eq!(store.position("hook-x", Stream::Interactions).await?, start, "the start is remembered");
    drop(store);
    let store = bed.open().await?;
    assert_eq!(store.position("hook-x", Stream::Interactions).await?, start);
    let (events, position) = store.after(Stream::Interactions, start, &[], 10).await?;
    let [Event::InteractionAppended(interaction)] = &events[..] else { anyhow::bail!("{events:?}") };
    assert_eq!((interaction.id, position), (new, new.as_i64()));
    store.commit(Some(&progress(position)), Effects::default()).await?;
    assert_eq!(store.position("hook-x", Stream::Interactions).await?, position);
    assert_eq!(store.after(Stream::Interactions, position, &[], 10).await?, (Vec::new(), position));
    let behind = store.commit(Some(&progress(start)), Effects::default()).await;
    assert!(matches!(behind, Err(StoreError::Conflict(_))), "another node was faster: {behind:?}");
    Ok(())
}

pub async fn narrows_and_skips(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    let mut items = Vec::new();
    for n in 0..30 {
        let kind = if n % 10 == 0 { "complaint.opened" } else { "page.viewed" };
        items.push(Incoming { kind: kind.parse()?, ..order(shop.id, &n.to_string(), &["cookie:c"]) });
    }
    store.append(items, None).await?;
    let names = ["complaint.opened".to_owned()];
    let (events, position) = store.after(Stream::Interactions, 0, &names, 2).await?;
    assert_eq!(events.len(), 2);
    let (events, end) = store.after(Stream::Interactions, position, &names, 2).await?;
    assert_eq!(events.len(), 1);
    let (all, last) = store.after(Stream::Interactions, 0, &[], 100).await?;
    assert_eq!((all.len(), last), (30, end), "what nobody wanted is behind the reader");

    let ada = customer(&store, "Ada", &[]).await?;
    for name in ["A", "B", "C"] {
        let change = CustomerChange { name: Some(name.into()), ..CustomerChange::default() };
        store.change_customer(ada.id, change).await?;
    }
    let (events, _) = store.after(Stream::Customers, 0, &[], 100).await?;
    assert_eq!(events.len(), 2, "the one with the cookie, and Ada once, as she is now");
    assert!(matches!(&events[1], Event::CustomerChanged(now) if now.name == "C" && now.version == 4));
    Ok(())
}

pub async fn never_skips_while_others_append(bed: Bed) -> Result<()> {
    let (one, two) = (bed.open().await?, bed.open().await?);
    let shop = shop(&one).await?;
    let mut writers = Vec::new();
    for (worker, store) in [one.clone(), two.clone(), one.clone(), two].into_iter().enumerate() {
        writers.push(tokio::spawn(async move {
            for n in 0..40 {
                let items =
                    (0..5).map(|i| order(shop.id, &format!("{worker}-{n}-{i}"), &["cookie:c"])).collect();
                store.append(items, None).await?;
            }
            Ok::<(), StoreError>(())
        }));
    }
    let (mut seen, mut position) = (Vec::new(), 0);
    while seen.len() < 800 {
        let done = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let (events, next) = one.after(Stream::Interactions, position, &[], 64).await?;
        anyhow::ensure!(
            next >= position && !(done && events.is_empty()),
            "{} seen, then nothing",
            seen.len()
        );
        position = next;
        seen.extend(events.into_iter().filter_map(|event| match event {
            Event::InteractionAppended(interaction) => Some(interaction.id),
            _ => None,
        }));
    }
    for writer in writers {
        writer.await??;
    }
    assert!(seen.is_sorted_by(|earlier, later| earlier < later));
    assert_eq!(seen.len(), 800);
    Ok(())
}

pub async fn commits_effects_with_progress_or_nothing(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ada = customer(&store, "Ada", &[]).await?;
    let id: OutboxId = store.next_id();
    let rename = |version| CustomerChange {
        version: Some(version),
        name: Some("New".into()),
        ..CustomerChange::default()
    };
    let effects = |version, to| Effects {
        origin: "hook-x".into(),
        customers: vec![(ada.id, rename(version))],
        messages: vec![(id, message(to, "welcome"))],
        kept: vec![("seen".into(), Some(vec![0, 1, 255])), (NASTY.into(), Some(vec![]))],
        ..Effects::default()
    };
    let stale = store.commit(Some(&progress(7)), effects(9, ada.id)).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "{stale:?}");
    let nobody = store.commit(Some(&progress(7)), effects(1, CustomerId::from_i64(5))).await;
    assert!(matches!(nobody, Err(StoreError::NotFound(_))), "{nobody:?}");
    assert_eq!(store.find_customer(ada.id).await?, Some(ada.clone()));
    assert_eq!(store.find_outbox_entry(id).await?, None);
    assert_eq!(store.kept("hook-x", "seen").await?, None);
    assert_eq!(store.position("hook-x", Stream::Interactions).await?, 0);

    store.commit(Some(&progress(7)), effects(1, ada.id)).await?;
    assert_eq!(store.find_customer(ada.id).await?.context("there")?.name, "New");
    let entry = store.find_outbox_entry(id).await?.context("there")?;
    assert_eq!((entry.idempotency_key.as_str(), entry.origin.as_str()), ("hook-x/welcome", "hook-x"));
    assert_eq!(entry.body, format!("hello {NASTY}"));
    assert_eq!(store.kept("hook-x", "seen").await?, Some(vec![0, 1, 255]));
    assert_eq!(store.kept("hook-x", NASTY).await?, Some(vec![]));
    assert_eq!(store.kept("hook-y", "seen").await?, None);
    assert_eq!(store.position("hook-x", Stream::Interactions).await?, 7);

    let again = Effects {
        origin: "hook-x".into(),
        messages: vec![(store.next_id(), message(ada.id, "welcome"))],
        kept: vec![("seen".into(), None)],
        ..Effects::default()
    };
    store.commit(None, again).await?;
    assert_eq!(store.list_outbox(None, None, 10).await?, vec![entry], "one key, one message");
    assert_eq!(store.kept("hook-x", "seen").await?, None);
    Ok(())
}
