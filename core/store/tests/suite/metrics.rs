use anyhow::{Context, Result};
use regard_engine::ports::{Event, FactQuery, FactSource, Feed, Incoming, Log, Reads, Stream};
use regard_model::{Attributes, CustomerId, Evaluation, Money, Subject, Timestamp, Window};
use regard_store::Store;
use serde_json::{Value, json};

use crate::bed::{Bed, NASTY, START_MS, channel, customer, identifier, order, shop};

fn evaluation(store: &Store, metric: &str, parameters: Value) -> Evaluation {
    Evaluation {
        id: store.next_id(),
        metric: metric.into(),
        metric_version: 2,
        evaluator: "kpi-x@0.1.0".into(),
        evaluator_digest: "d".repeat(64),
        parameters,
        window: Window { start: None, end: Timestamp::from_millis(START_MS) },
        currency: Some("USD".into()),
        rows: 10,
        rows_other_currency: 1,
        subjects: 3,
        watermark: None,
        model: Some(json!({ "r": 0.25, NASTY: NASTY })),
        summary: json!({ "mean": 1.5 }),
        evaluated_at: Timestamp::from_millis(START_MS),
        elapsed_ms: 7,
    }
}

pub async fn remember_the_value_before(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ada = customer(&store, "Ada", &[]).await?;
    let details = Attributes::from([("segment", json!(NASTY))]);
    let first = evaluation(&store, "clv", json!({ "horizon": "39w" }));
    let findings = vec![
        (Subject::Customer(ada.id), Some(1.25), details.clone()),
        (Subject::Business, None, Attributes::new()),
        (Subject::Customer(CustomerId::from_i64(77)), Some(f64::NAN), Attributes::new()),
    ];
    let ids = store.store_evaluation(first.clone(), "minor", findings).await?;
    assert_eq!(store.find_evaluation(first.id).await?.as_ref(), Some(&first));
    let read = store.find_observation(ids[0]).await?.context("there")?;
    assert_eq!((read.value, read.previous, read.unit.as_str()), (Some(1.25), None, "minor"));
    assert_eq!((&read.details, read.evaluation, read.window), (&details, first.id, first.window));
    assert_eq!(store.find_observation(ids[1]).await?.context("there")?.subject, Subject::Business);
    assert_eq!(store.find_observation(ids[2]).await?.context("there")?.value, None, "NaN is no value");

    let other = evaluation(&store, "rfm", json!({}));
    store
        .store_evaluation(other, "score", vec![(Subject::Customer(ada.id), Some(99.0), Attributes::new())])
        .await?;
    let second = evaluation(&store, "clv", json!({ "horizon": "52w" }));
    let findings = vec![(Subject::Customer(ada.id), Some(-0.1), Attributes::new())];
    let newer = store.store_evaluation(second.clone(), "minor", findings).await?;
    let latest = store.latest("clv", Subject::Customer(ada.id)).await?.context("there")?;
    assert_eq!((latest.id, latest.value, latest.previous), (newer[0], Some(-0.1), Some(1.25)));
    let with = store
        .latest_observation("clv", Subject::Customer(ada.id), Some(&json!({ "horizon": "39w" })))
        .await?;
    assert_eq!(with.context("there")?.id, ids[0]);
    assert_eq!(store.latest_evaluation("clv", None).await?.as_ref(), Some(&second));
    assert_eq!(store.latest_evaluation("clv", Some(&first.parameters)).await?, Some(first));
    assert_eq!(store.list_observations("clv", None, None, 10).await?.len(), 4);
    assert_eq!(
        store.list_observations("clv", Some(Subject::Customer(ada.id)), Some(newer[0]), 10).await?.len(),
        1
    );

    let (events, _) = store.after(Stream::Observations, 0, &["clv".to_owned()], 10).await?;
    assert_eq!(events.len(), 4);
    assert!(matches!(&events[3], Event::MetricObserved(observed) if *observed == latest));
    let into = customer(&store, "Into", &[]).await?;
    store.merge_customers(ada.id, into.id, "r", Attributes::new(), "t").await?;
    assert_eq!(
        store.latest("clv", Subject::Customer(ada.id)).await?,
        None,
        "the merged customer was not evaluated yet"
    );

    let many =
        (1..=25_000).map(|n| (Subject::Customer(CustomerId::from_i64(n)), Some(n as f64), Attributes::new()));
    let stored = store.store_evaluation(evaluation(&store, "big", json!({})), "n", many.collect()).await?;
    assert_eq!(stored.len(), 25_000);
    assert_eq!(store.find_observation(stored[12_345]).await?.context("there")?.value, Some(12_346.0));
    Ok(())
}

pub async fn are_read_as_columns(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let (shop, web) = (shop(&store).await?, channel(&store, "web").await?);
    let money = |minor, code: &str| Ok::<_, anyhow::Error>(Some(Money { minor, currency: code.parse()? }));
    let at = |offset: i64| Timestamp::from_millis(START_MS + offset);
    let items = vec![
        Incoming { amount: money(100, "USD")?, occurred_at: at(0), ..order(shop.id, "1", &["cookie:a"]) },
        Incoming {
            amount: None,
            kind: "page.viewed".parse()?,
            occurred_at: at(-5),
            ..order(web.id, "2", &["cookie:b"])
        },
        Incoming { amount: money(-250, "EUR")?, occurred_at: at(10), ..order(web.id, "3", &["cookie:b"]) },
        Incoming { occurred_at: at(20), ..order(web.id, "4", &[]) },
        Incoming { amount: money(7, "USD")?, occurred_at: at(30), ..order(shop.id, "5", &["cookie:a"]) },
    ];
    store.append(items, None).await?;
    let a = store.find_customer_by(&identifier("cookie:a")).await?.context("there")?.id;
    let b = store.find_customer_by(&identifier("cookie:b")).await?.context("there")?.id;
    let all = FactQuery { kinds: vec![], window: Window { start: None, end: at(1000) } };
    let facts = store.facts(&all).await?;
    assert_eq!(facts.customers, [a, b, b, a], "in the order of the log, without those of nobody");
    assert_eq!(facts.occurred_at_ms, [0, -5, 10, 30].map(|offset| START_MS + offset));
    assert_eq!(facts.amount_minor, [100, 0, -250, 7]);
    let currencies: Vec<&str> =
        facts.currency.iter().map(|code| facts.currency_names[usize::from(*code)].as_str()).collect();
    assert_eq!(currencies, ["USD", "", "EUR", "USD"]);
    let kinds: Vec<&str> = facts.kind.iter().map(|code| facts.kind_names[*code as usize].as_str()).collect();
    assert_eq!(kinds, ["order.placed", "page.viewed", "order.placed", "order.placed"]);
    let channels: Vec<&str> =
        facts.channel.iter().map(|code| facts.channel_names[*code as usize].as_str()).collect();
    assert_eq!(channels, ["shop", "web", "web", "shop"]);
    assert!(facts.watermark.is_some());

    store.merge_customers(a, b, "r", Attributes::new(), "t").await?;
    let orders =
        FactQuery { kinds: vec!["order.placed".into()], window: Window { start: Some(at(0)), end: at(30) } };
    let facts = store.facts(&orders).await?;
    assert_eq!(
        (facts.customers, facts.amount_minor),
        (vec![b, b], vec![100, -250]),
        "the end is not in the window"
    );
    Ok(())
}
