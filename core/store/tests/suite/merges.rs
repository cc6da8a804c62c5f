use std::collections::BTreeSet;

use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_engine::ports::InteractionFilter;
use regard_model::consent::{ConsentState, NewConsent};
use regard_model::customer::{CustomerChange, NewCustomer};
use regard_model::{Attributes, Customer, CustomerId, Interaction};
use regard_store::{CustomerFilter, Store};
use serde_json::{Value, json};

use crate::bed::{Bed, accept, customer, identifier, order, shop};

/// Everything that is read of the customers, the ledger of merges itself aside.
async fn everything(
    store: &Store,
    ids: &[CustomerId],
) -> Result<Vec<(Option<Customer>, Vec<Interaction>, Value)>> {
    let mut all = Vec::new();
    for id in ids {
        let mut export = store.export_customer(*id).await?;
        if let Some(fields) = export.as_object_mut() {
            fields.remove("merges");
            fields.remove("exported_at");
        }
        all.push((store.find_customer(*id).await?, store.timeline(*id, None, 100).await?, export));
    }
    Ok(all)
}

/// Four customers with something of everything.
async fn people(store: &Store) -> Result<Vec<CustomerId>> {
    let shop = shop(store).await?;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let email = format!("email:{name}@example.com");
        let new = NewCustomer {
            name: name.to_uppercase(),
            tags: BTreeSet::from([name.to_owned(), "all".to_owned()]),
            attributes: Attributes::from([("same", json!(name)), (name, json!(1))]),
            identifiers: vec![identifier(&email)],
            ..NewCustomer::unknown("crm")
        };
        let id = store.create_customer(new).await?.id;
        accept(store, order(shop.id, name, &[&email])).await?;
        let consent = NewConsent {
            purpose: "marketing".into(),
            channel_kind: "email".into(),
            state: ConsentState::Granted,
            basis: "form".into(),
            source: name.into(),
        };
        store.record_consent(id, consent).await?;
        ids.push(id);
    }
    Ok(ids)
}

pub async fn undone_leave_everything_as_it_was(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ids = people(&store).await?;
    let before = everything(&store, &ids).await?;
    let evidence = Attributes::from([("score", json!(0.97))]);
    let first = store.merge_customers(ids[0], ids[1], "same person", evidence.clone(), "token:x").await?;
    assert_eq!((first.from, first.into, &first.evidence), (ids[0], ids[1], &evidence));
    let merged = store.find_customer(ids[0]).await?.context("there")?;
    assert_eq!(merged.id, ids[1]);
    assert_eq!(merged.attributes.get("same"), Some(&json!("b")), "the root's own value wins");
    assert_eq!(merged.attributes.get("a"), Some(&json!(1)), "gaps are filled");
    assert_eq!(merged.tags.len(), 3);
    assert_eq!(merged.identifiers.len(), 2);
    assert_eq!(store.timeline(ids[0], None, 10).await?.len(), 2);
    assert_eq!(store.consent_ledger(ids[1]).await?.len(), 2);
    assert_eq!(store.list_customers(&CustomerFilter::default(), None, 10).await?.len(), 3);

    // A chain on top of it, undone from the middle: what was merged first stays merged.
    let between = everything(&store, &ids).await?;
    let second = store.merge_customers(ids[1], ids[2], "same person", Attributes::new(), "token:x").await?;
    let third = store.merge_customers(ids[3], ids[0], "same person", Attributes::new(), "token:x").await?;
    assert_eq!(third.into, ids[2], "a merge goes to the end of the chain");
    assert_eq!(store.find_customer(ids[3]).await?.context("there")?.identifiers.len(), 4);
    store.undo_merge(third.id).await?;
    store.undo_merge(second.id).await?;
    assert_eq!(everything(&store, &ids).await?, between);
    store.undo_merge(first.id).await?;
    assert_eq!(everything(&store, &ids).await?, before);
    assert_eq!(store.list_merges(Some(ids[0]), None, 10).await?.len(), 1);
    assert_eq!(store.list_merges(None, None, 10).await?.len(), 3);
    assert!(store.find_merge(first.id).await?.context("there")?.undone_at.is_some());
    Ok(())
}

pub async fn fill_gaps_in_order(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let mut ids = Vec::new();
    for name in ["", "", "Third"] {
        ids.push(customer(&store, name, &[]).await?.id);
    }
    for (id, value) in ids.iter().zip([1, 2, 3]) {
        let change = CustomerChange {
            attributes: Attributes::from([("x", json!(value))]),
            ..CustomerChange::default()
        };
        store.change_customer(*id, change).await?;
    }
    let empty = customer(&store, "", &[]).await?;
    store.merge_customers(ids[0], ids[2], "r", Attributes::new(), "t").await?;
    store.merge_customers(ids[2], empty.id, "r", Attributes::new(), "t").await?;
    let read = store.find_customer(ids[0]).await?.context("there")?;
    assert_eq!((read.id, read.name.as_str()), (empty.id, "Third"));
    assert_eq!(
        read.attributes.get("x"),
        Some(&json!(3)),
        "what the merged one looked like counts, not who is older"
    );
    Ok(())
}

pub async fn hide_what_was_removed_and_give_it_back(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ids = people(&store).await?;
    let before = everything(&store, &ids[..1]).await?;
    let merge = store.merge_customers(ids[0], ids[1], "r", Attributes::new(), "t").await?;
    let change =
        CustomerChange { attributes: Attributes::from([("a", Value::Null)]), ..CustomerChange::default() };
    let changed = store.change_customer(ids[1], change.clone()).await?;
    assert_eq!(changed.attributes.get("a"), None);
    assert_eq!(store.change_customer(ids[0], change).await?, changed, "removing it again changes nothing");
    let tag = CustomerChange { remove_tags: BTreeSet::from(["a".into()]), ..CustomerChange::default() };
    assert!(!store.change_customer(ids[0], tag).await?.tags.contains("a"));
    store.undo_merge(merge.id).await?;
    let after = store.find_customer(ids[0]).await?.context("there")?;
    assert_eq!(after.attributes, before[0].0.as_ref().context("there")?.attributes);
    assert_eq!(store.find_customer(ids[1]).await?.context("there")?.attributes.get("a"), None);
    Ok(())
}

pub async fn refuse_circles_and_repeats(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ids = people(&store).await?;
    let merge = |from: CustomerId, into: CustomerId| {
        let store = store.clone();
        async move { store.merge_customers(from, into, "r", Attributes::new(), "t").await }
    };
    let first = merge(ids[0], ids[1]).await?;
    merge(ids[1], ids[2]).await?;
    for (from, into) in [(0, 0), (0, 1), (2, 0), (1, 2)] {
        let refused = merge(ids[from], ids[into]).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{from} {into} {refused:?}");
    }
    assert!(matches!(merge(ids[0], CustomerId::from_i64(5)).await, Err(StoreError::NotFound(_))));
    store.undo_merge(first.id).await?;
    assert!(matches!(store.undo_merge(first.id).await, Err(StoreError::Conflict(_))));
    // Merging in the other direction after undoing is no circle.
    merge(ids[2], ids[0]).await?;
    assert_eq!(store.find_customer(ids[1]).await?.context("there")?.id, ids[0]);
    Ok(())
}

/// Random merges and undos against a model that knows only edges.
pub async fn in_any_order_undo_in_any_order(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(customer(&store, &n.to_string(), &[&format!("external:crm:{n}")]).await?.id);
    }
    let before = everything(&store, &ids).await?;
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut merges = Vec::new();
    for _ in 0..60 {
        if merges.is_empty() || random(3) > 0 {
            let (from, into) = (ids[random(8)], ids[random(8)]);
            match store.merge_customers(from, into, "r", Attributes::new(), "t").await {
                Ok(merge) => merges.push(merge),
                Err(StoreError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        } else {
            let merge = merges.swap_remove(random(merges.len()));
            store.undo_merge(merge.id).await?;
        }
        for id in &ids {
            let mut root = *id;
            while let Some(edge) = merges.iter().find(|merge| merge.from == root) {
                root = edge.into;
            }
            assert_eq!(store.find_customer(*id).await?.context("there")?.id, root);
        }
    }
    for merge in merges {
        store.undo_merge(merge.id).await?;
    }
    assert_eq!(everything(&store, &ids).await?, before);
    assert_eq!(store.count_interactions(&InteractionFilter::default()).await?, 0);
    Ok(())
}
