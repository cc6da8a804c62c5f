use std::collections::BTreeSet;

use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_model::customer::{CustomerChange, NewCustomer};
use regard_model::{Attributes, CustomerId, CustomerKind, LifecycleStage};
use regard_store::CustomerFilter;
use serde_json::{Value, json};

use crate::bed::{Bed, NASTY, START_MS, customer, identifier};

pub async fn are_made_read_and_changed(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let new = NewCustomer {
        kind: CustomerKind::Organisation,
        name: "Analytical Engines".into(),
        stage: LifecycleStage::Retained,
        tags: BTreeSet::from(["vip".into()]),
        attributes: Attributes::from([("city", json!("London")), ("gone", Value::Null)]),
        identifiers: vec![identifier("email:ada@example.com"), identifier("email:ada@example.com")],
        source: "crm".into(),
    };
    let made = store.create_customer(new).await?;
    assert_eq!(made.version, 1);
    assert_eq!(made.identifiers, [identifier("email:ada@example.com")]);
    assert_eq!(made.attributes, Attributes::from([("city", json!("London"))]));
    assert_eq!(made.created_at.as_millis(), START_MS);
    assert_eq!(store.find_customer(made.id).await?.as_ref(), Some(&made));
    assert_eq!(store.find_customer_by(&identifier("email:Ada@Example.com")).await?.as_ref(), Some(&made));
    assert_eq!(store.find_customer(CustomerId::from_i64(1)).await?, None);

    bed.clock.advance(1000);
    let change = CustomerChange {
        name: Some("Engines".into()),
        kind: Some(CustomerKind::Person),
        stage: Some(LifecycleStage::Lapsed),
        attributes: Attributes::from([("city", Value::Null), ("age", json!(36))]),
        add_tags: BTreeSet::from(["new".into()]),
        remove_tags: BTreeSet::from(["vip".into()]),
        add_identifiers: vec![identifier("phone:+44 20 7946 0000")],
        ..CustomerChange::default()
    };
    let changed = store.change_customer(made.id, change.clone()).await?;
    assert_eq!((changed.version, changed.updated_at.as_millis()), (2, START_MS + 1000));
    assert_eq!((changed.name.as_str(), changed.stage), ("Engines", LifecycleStage::Lapsed));
    assert_eq!(changed.attributes, Attributes::from([("age", json!(36))]));
    assert_eq!(changed.tags, BTreeSet::from(["new".into()]));
    assert_eq!(changed.identifiers.len(), 2);

    // The same again changes nothing, so hooks that answer a change with the same change come to rest.
    assert_eq!(store.change_customer(made.id, change).await?, changed);
    let unknown = store.change_customer(CustomerId::from_i64(7), CustomerChange::default()).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))), "{unknown:?}");
    Ok(())
}

pub async fn keep_every_text_as_it_is(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let new = NewCustomer {
        name: NASTY.into(),
        attributes: Attributes::from([(NASTY, json!({ NASTY: [NASTY, "a\u{0}b", 1.5, null, true] }))]),
        identifiers: vec![
            identifier(&format!("external:shop:{NASTY}")),
            identifier(&format!("cookie:{NASTY}")),
        ],
        ..NewCustomer::unknown("crm")
    };
    let made = store.create_customer(new.clone()).await?;
    let read = store.find_customer(made.id).await?.context("there")?;
    assert_eq!(read.name, NASTY);
    assert_eq!(read.attributes, new.attributes);
    let filter = CustomerFilter { text: Some(NASTY.into()), identifier: None };
    assert_eq!(store.list_customers(&filter, None, 10).await?, vec![read.clone()]);
    let by = store.find_customer_by(&identifier(&format!("cookie:{NASTY}"))).await?;
    assert_eq!(by, Some(read));
    Ok(())
}

pub async fn own_their_identifiers(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ada = customer(&store, "Ada", &["email:ada@example.com"]).await?;
    let eve = customer(&store, "Eve", &["email:eve@example.com"]).await?;
    let taken = identifier("email:ada@example.com");
    let new = NewCustomer { identifiers: vec![taken.clone()], ..NewCustomer::unknown("crm") };
    let change = CustomerChange { add_identifiers: vec![taken], ..CustomerChange::default() };
    for refused in [store.create_customer(new).await, store.change_customer(eve.id, change).await] {
        let Err(StoreError::Conflict(why)) = refused else { anyhow::bail!("taken: {refused:?}") };
        assert!(why.contains("email:ada@example.com") && why.contains(&ada.id.to_string()), "{why}");
    }
    assert_eq!(store.counts().await?.customers, 2);
    assert_eq!(store.find_customer(eve.id).await?, Some(eve));
    Ok(())
}

pub async fn are_changed_only_at_the_version_that_was_read(bed: Bed) -> Result<()> {
    let (store, other) = (bed.open().await?, bed.open().await?);
    let ada = customer(&store, "Ada", &[]).await?;
    let rename = |name: &str| CustomerChange {
        version: Some(ada.version),
        name: Some(name.into()),
        ..CustomerChange::default()
    };
    let (one, two) = tokio::join!(
        store.change_customer(ada.id, rename("One")),
        other.change_customer(ada.id, rename("Two"))
    );
    assert_eq!([one.is_ok(), two.is_ok()].into_iter().filter(|won| *won).count(), 1, "{one:?} {two:?}");
    let lost = if one.is_ok() { two } else { one };
    assert!(matches!(lost, Err(StoreError::Conflict(_))), "{lost:?}");
    assert_eq!(store.find_customer(ada.id).await?.context("there")?.version, 2);
    Ok(())
}

pub async fn are_listed_page_by_page(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let mut all = Vec::new();
    for number in 0..25 {
        let name = if number % 2 == 0 { format!("Ünal 100% {number}") } else { format!("Meier {number}") };
        all.push(customer(&store, &name, &[&format!("external:shop:{number}")]).await?);
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_customers(&CustomerFilter::default(), after, 10).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        listed.extend(page);
    }
    assert_eq!(listed, all);
    let text = |text: &str| CustomerFilter { text: Some(text.into()), identifier: None };
    assert_eq!(store.list_customers(&text("üNAL 100%"), None, 100).await?.len(), 13);
    assert_eq!(store.list_customers(&text("100_"), None, 100).await?.len(), 0);
    assert_eq!(
        store.list_customers(&text("7"), None, 100).await?.len(),
        2,
        "name of 7 and 17, identifier of 7"
    );
    let by = CustomerFilter { text: None, identifier: Some(identifier("external:shop:3")) };
    assert_eq!(store.list_customers(&by, None, 100).await?, vec![all[3].clone()]);
    assert_eq!(store.find_customers(&[all[5].id, all[1].id]).await?, vec![all[5].clone(), all[1].clone()]);
    Ok(())
}

pub async fn have_relationships(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let (ada, bob) = (customer(&store, "Ada", &[]).await?, customer(&store, "Bob", &[]).await?);
    let firm = customer(&store, "Firm", &[]).await?;
    let tie = store.add_relationship(ada.id, "works-for", firm.id).await?;
    bed.clock.advance(1000);
    assert_eq!(store.add_relationship(ada.id, "works-for", firm.id).await?, tie, "a repeat changes nothing");
    store.add_relationship(bob.id, "referred-by", ada.id).await?;
    assert_eq!(store.list_relationships(ada.id).await?.len(), 2);
    assert_eq!(store.list_relationships(firm.id).await?, vec![tie]);
    assert!(store.add_relationship(ada.id, "works-for", ada.id).await.is_err());
    assert!(store.add_relationship(ada.id, "works-for", CustomerId::from_i64(9)).await.is_err());

    let merge = store.merge_customers(bob.id, ada.id, "same", Attributes::new(), "test").await?;
    assert_eq!(store.list_relationships(ada.id).await?.len(), 1, "nobody refers himself");
    store.undo_merge(merge.id).await?;
    assert_eq!(store.list_relationships(ada.id).await?.len(), 2);
    assert!(store.remove_relationship(ada.id, "works-for", firm.id).await?);
    assert!(!store.remove_relationship(ada.id, "works-for", firm.id).await?);
    Ok(())
}
