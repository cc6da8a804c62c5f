use std::collections::BTreeSet;

use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_engine::ports::{Appended, Incoming, InteractionFilter, Log};
use regard_model::{Attributes, CustomerId, LifecycleStage, Timestamp};
use regard_store::Store;
use serde_json::json;

use crate::bed::{Backend, Bed, NASTY, START_MS, accept, channel, customer, identifier, order, shop};

pub async fn survives_a_crash(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    for batch in 0..20 {
        let items = (0..50)
            .map(|n| order(shop.id, &format!("{batch}-{n}"), &[&format!("external:crm:{n}")]))
            .collect();
        store.append(items, None).await?;
        // What was acknowledged is on disk now, whatever becomes of the process: SQLite's files as they lie there
        // are what a machine finds after a crash.
        if bed.backend == Backend::Sqlite && batch % 10 == 9 {
            let copy = tempfile::tempdir()?;
            for file in ["regard.db", "regard.db-wal"] {
                let from = bed.directory.path().join("data").join(file);
                if from.exists() {
                    std::fs::copy(from, copy.path().join(file))?;
                }
            }
            let found = Store::open(&copy.path().display().to_string(), Default::default()).await?;
            assert_eq!(found.counts().await?.interactions, (batch + 1) * 50);
        }
    }
    drop(store);
    let store = bed.open().await?;
    let counts = store.counts().await?;
    assert_eq!((counts.interactions, counts.customers, counts.identifiers), (1000, 50, 50));
    Ok(())
}

pub async fn takes_each_interaction_once(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let (shop, web) = (shop(&store).await?, channel(&store, "web").await?);
    let mut item = order(shop.id, NASTY, &[&format!("external:crm:{NASTY}")]);
    item.attributes = Attributes::from([(NASTY, json!([NASTY, "\u{0}"]))]);
    item.thread = Some(NASTY.into());
    item.source = "shop".into();
    item.customer_name = "\u{c4}da Lovelace".into();
    let outcomes = store.append(vec![item.clone(), item.clone(), order(web.id, NASTY, &[])], None).await?;
    let Appended::Accepted { id, customer: Some(customer) } = outcomes[0] else {
        anyhow::bail!("{outcomes:?}")
    };
    assert_eq!(outcomes[1], Appended::Duplicate { id });
    assert!(
        matches!(outcomes[2], Appended::Accepted { customer: None, .. }),
        "another channel, nobody known"
    );
    let mut repeat = item.clone();
    repeat.identifiers = vec![identifier("email:other@example.com")];
    assert_eq!(store.append(vec![repeat], None).await?, vec![Appended::Duplicate { id }]);
    assert_eq!(store.find_customer_by(&identifier("email:other@example.com")).await?, None);

    let read = store.find_interaction(id).await?.context("there")?;
    assert_eq!((read.customer, read.channel.as_str()), (Some(customer), "shop"));
    assert_eq!((read.external_id.as_str(), read.thread.as_deref()), (NASTY, Some(NASTY)));
    assert_eq!((&read.attributes, read.amount, &read.kind), (&item.attributes, item.amount, &item.kind));
    let made = store.find_customer(customer).await?.context("there")?;
    assert_eq!((made.source.as_str(), made.name.as_str()), ("shop", "\u{c4}da Lovelace"));
    Ok(())
}

pub async fn makes_a_customer_once_however_many_append(bed: Bed) -> Result<()> {
    let (one, two) = (bed.open().await?, bed.open().await?);
    let shop = shop(&one).await?;
    let mut tasks = Vec::new();
    for worker in 0..8 {
        let store = if worker % 2 == 0 { one.clone() } else { two.clone() };
        tasks.push(tokio::spawn(async move {
            for round in 0..10 {
                let items = (0..20)
                    .map(|n| {
                        let known = [format!("external:crm:{n}"), format!("email:c{n}@example.com")];
                        order(shop.id, &format!("{worker}-{round}-{n}"), &[&known[worker % 2]])
                    })
                    // Every item names both in one of the rounds, which ties the two names together.
                    .chain((0..20).map(|n| {
                        let known = [format!("external:crm:{n}"), format!("email:c{n}@example.com")];
                        order(shop.id, &format!("tie-{n}"), &[&known[0], &known[1]])
                    }))
                    .rev()
                    .collect();
                store.append(items, None).await?;
            }
            Ok::<(), StoreError>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let counts = one.counts().await?;
    assert_eq!((counts.customers, counts.identifiers, counts.interactions), (20, 40, 8 * 10 * 20 + 20));
    Ok(())
}

pub async fn rejects_without_a_trace(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    customer(&store, "Ada", &["email:ada@example.com"]).await?;
    customer(&store, "Eve", &["email:eve@example.com"]).await?;
    let both =
        order(shop.id, "1", &["email:ada@example.com", "email:new@example.com", "email:eve@example.com"]);
    let mut unknown = order(shop.id, "2", &["email:new@example.com"]);
    unknown.customer = Some(CustomerId::from_i64(4711));
    let mut nul = order(shop.id, "3", &["email:new@example.com"]);
    nul.thread = Some("a\u{0}b".into());
    let good = order(shop.id, "4", &["email:ada@example.com"]);
    let outcomes = store.append(vec![both, unknown, nul, good], None).await?;
    let rejected = |at: usize| matches!(&outcomes[at], Appended::Rejected(_));
    assert!(rejected(0) && rejected(1) && rejected(2), "{outcomes:?}");
    assert!(matches!(outcomes[3], Appended::Accepted { .. }));
    let counts = store.counts().await?;
    assert_eq!((counts.customers, counts.identifiers, counts.interactions), (2, 2, 1));
    Ok(())
}

pub async fn links_new_identifiers_and_moves_prospects_on(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    let ada = customer(&store, "Ada", &["email:ada@example.com"]).await?;
    accept(
        &store,
        Incoming { kind: "page.viewed".parse()?, ..order(shop.id, "0", &["email:ada@example.com"]) },
    )
    .await?;
    assert_eq!(store.find_customer(ada.id).await?, Some(ada.clone()), "looking is not buying");
    let (_, who) = accept(&store, order(shop.id, "1", &["email:ada@example.com", "cookie:c1"])).await?;
    assert_eq!(who, Some(ada.id));
    let after = store.find_customer(ada.id).await?.context("there")?;
    assert_eq!((after.stage, after.identifiers.len(), after.version), (LifecycleStage::Acquired, 2, 3));
    accept(&store, order(shop.id, "2", &["cookie:c1"])).await?;
    assert_eq!(store.find_customer(ada.id).await?, Some(after), "once is enough");
    let (_, new) = accept(&store, order(shop.id, "3", &["cookie:c2"])).await?;
    let new = store.find_customer(new.context("made")?).await?.context("there")?;
    assert_eq!((new.stage, new.version), (LifecycleStage::Acquired, 1));

    // A merged prospect buys: the customer it is read as moves on, what is recorded stays where it was.
    let (from, into) = (customer(&store, "F", &["cookie:f"]).await?, customer(&store, "I", &[]).await?);
    let merge = store.merge_customers(from.id, into.id, "r", Attributes::new(), "t").await?;
    let (_, who) = accept(&store, order(shop.id, "4", &["cookie:f"])).await?;
    assert_eq!(who, Some(into.id));
    assert_eq!(store.find_customer(from.id).await?.context("there")?.stage, LifecycleStage::Acquired);
    store.undo_merge(merge.id).await?;
    assert_eq!(store.timeline(from.id, None, 10).await?.len(), 1);
    assert_eq!(store.timeline(into.id, None, 10).await?.len(), 0);
    Ok(())
}

/// A store may remember who owns an identifier, but not longer than it is true.
pub async fn hears_of_merges_by_others(bed: Bed) -> Result<()> {
    let (store, other) = (bed.open().await?, bed.open().await?);
    let shop = shop(&store).await?;
    let (_, a) = accept(&store, order(shop.id, "1", &["cookie:a"])).await?;
    let (_, b) = accept(&store, order(shop.id, "2", &["cookie:b"])).await?;
    let (a, b) = (a.context("made")?, b.context("made")?);
    for round in 0..5 {
        let merge = other.merge_customers(a, b, "r", Attributes::new(), "t").await?;
        let (id, who) = accept(&store, order(shop.id, &format!("merged {round}"), &["cookie:a"])).await?;
        assert_eq!(who, Some(b));
        let both = order(shop.id, &format!("both {round}"), &["cookie:a", "cookie:b"]);
        accept(&store, both.clone()).await?;
        other.undo_merge(merge.id).await?;
        let (_, who) = accept(&store, order(shop.id, &format!("undone {round}"), &["cookie:a"])).await?;
        assert_eq!(who, Some(a));
        assert_eq!(
            store.find_interaction(id).await?.context("there")?.customer,
            Some(a),
            "recorded under it"
        );
        // Now the two are not one, but what was accepted once stays a duplicate.
        let outcomes =
            store.append(vec![both.clone(), Incoming { external_id: "new".into(), ..both }], None).await?;
        assert!(matches!(outcomes[..], [Appended::Duplicate { .. }, Appended::Rejected(_)]), "{outcomes:?}");
    }
    assert_eq!(store.count_interactions(&InteractionFilter::default()).await?, 2 + 5 * 3);
    Ok(())
}

pub async fn is_read_newest_first_after_merges(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let (shop, web) = (shop(&store).await?, channel(&store, "web").await?);
    let mut items = Vec::new();
    for n in 0..60_i64 {
        let on = if n % 3 == 0 { web.id } else { shop.id };
        let who = if n % 2 == 0 { "cookie:a" } else { "cookie:b" };
        let kind = if n % 5 == 0 { "page.viewed" } else { "order.placed" };
        let occurred_at = Timestamp::from_millis(START_MS + (n * 7919) % 30 * 1000);
        items.push(Incoming { kind: kind.parse()?, occurred_at, ..order(on, &n.to_string(), &[who]) });
    }
    store.append(items, None).await?;
    let a = store.find_customer_by(&identifier("cookie:a")).await?.context("there")?;
    let b = store.find_customer_by(&identifier("cookie:b")).await?.context("there")?;
    store.merge_customers(a.id, b.id, "r", Attributes::new(), "t").await?;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.timeline(a.id, before, 7).await?;
        let Some(last) = page.last() else { break };
        before = Some((last.occurred_at, last.id));
        assert!(page.iter().all(|interaction| interaction.customer == Some(b.id)));
        seen.extend(page.into_iter().map(|interaction| (interaction.occurred_at, interaction.id)));
    }
    assert_eq!(seen.len(), 60);
    assert!(seen.is_sorted_by(|newer, older| newer > older));
    let count = |filter: InteractionFilter| {
        let store = store.clone();
        async move {
            let listed = store.list_interactions(&filter, None, 100).await?;
            anyhow::ensure!(listed.len() as u64 == store.count_interactions(&filter).await?);
            Ok::<_, anyhow::Error>(listed.len())
        }
    };
    let all = InteractionFilter::default();
    assert_eq!(count(InteractionFilter { channel: Some("web".into()), ..all.clone() }).await?, 20);
    assert_eq!(count(InteractionFilter { channel: Some("none".into()), ..all.clone() }).await?, 0);
    assert_eq!(count(InteractionFilter { kind: Some("page.viewed".into()), ..all.clone() }).await?, 12);
    let middle = Timestamp::from_millis(START_MS + 15_000);
    let late = count(InteractionFilter { since: Some(middle), ..all.clone() }).await?;
    assert_eq!(late + count(InteractionFilter { until: Some(middle), ..all.clone() }).await?, 60);
    assert_eq!(count(InteractionFilter { customer: Some(CustomerId::from_i64(1)), ..all }).await?, 0);
    Ok(())
}

pub async fn recovers_from_cut_connections(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    let mut stored = BTreeSet::new();
    for round in 0..5 {
        bed.cut_connections()?;
        for n in 0..5 {
            let external_id = format!("{round}-{n}");
            match store.append(vec![order(shop.id, &external_id, &["cookie:c"])], None).await {
                Ok(_) => {
                    stored.insert(external_id);
                }
                Err(StoreError::Unavailable { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        assert!(stored.contains(&format!("{round}-4")), "one lost call is enough to notice");
        store.ping().await?;
    }
    let listed = store.list_interactions(&InteractionFilter::default(), None, 100).await?;
    let listed: BTreeSet<String> = listed.into_iter().map(|interaction| interaction.external_id).collect();
    assert!(stored.is_subset(&listed), "what was acknowledged is there");
    Ok(())
}
