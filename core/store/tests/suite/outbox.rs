use std::collections::BTreeSet;

use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_engine::ports::{Outbox, Settlement};
use regard_model::consent::{ConsentState, NewConsent};
use regard_model::outbox::NewMessage;
use regard_model::{Attributes, CustomerId, DeliveryAttempt, OutboxEntry, OutboxState, Timestamp};
use regard_store::Store;
use serde_json::json;

use crate::bed::{Bed, NASTY, START_MS, customer, order, shop};

fn message(to: CustomerId, key: &str) -> NewMessage {
    NewMessage {
        customer: to,
        purpose: "marketing".into(),
        channel: Some("shop".into()),
        body: NASTY.into(),
        parameters: Attributes::from([("subject", json!(NASTY))]),
        idempotency_key: key.into(),
        not_before: None,
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START_MS + millis)
}

fn settlement(entry: &OutboxEntry, state: OutboxState) -> Settlement {
    Settlement {
        entry: entry.id,
        state,
        reason: Some("because".into()),
        provider_id: (state == OutboxState::Delivered).then(|| "p-1".into()),
        due_at: None,
        attempt: None,
        receipt: None,
    }
}

async fn state_of(store: &Store, entry: &OutboxEntry) -> Result<OutboxState> {
    Ok(store.find_outbox_entry(entry.id).await?.context("there")?.state)
}

pub async fn enqueues_once_for_each_key(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ada = customer(&store, "Ada", &[]).await?;
    let first = store.enqueue(message(ada.id, NASTY), "person", None).await?;
    bed.clock.advance(1);
    assert_eq!(store.enqueue(message(ada.id, NASTY), "person", None).await?, first);
    let other = store.enqueue(message(ada.id, NASTY), "hook-x", None).await?;
    assert_ne!(other.id, first.id, "origins do not know each other's keys");
    assert_eq!(first.body, NASTY);
    let mut nul = message(ada.id, "nul");
    nul.body.push('\0');
    assert!(matches!(store.enqueue(nul, "person", None).await, Err(StoreError::Invalid(_))));
    let nobody = store.enqueue(message(CustomerId::from_i64(3), "k"), "person", None).await;
    assert!(matches!(nobody, Err(StoreError::NotFound(_))));
    let pending = store.list_outbox(Some(OutboxState::Pending), None, 10).await?;
    assert_eq!(pending, vec![other.clone(), first.clone()]);
    assert_eq!(store.list_outbox(None, Some(other.id), 10).await?, vec![first]);
    assert_eq!(store.count_outbox().await?[0], (OutboxState::Pending, 2));
    Ok(())
}

pub async fn leases_end_and_are_found_abandoned(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ada = customer(&store, "Ada", &["email:ada@example.com"]).await?;
    let old = customer(&store, "Old", &["email:old@example.com"]).await?;
    let consent = NewConsent {
        purpose: "marketing".into(),
        channel_kind: "any".into(),
        state: ConsentState::Granted,
        basis: "form".into(),
        source: "web".into(),
    };
    store.record_consent(old.id, consent).await?;
    assert_eq!(store.next_due().await?, None);
    let entry = store.enqueue(message(old.id, "k"), "person", None).await?;
    let later = NewMessage { not_before: Some(at(5000)), ..message(ada.id, "later") };
    store.enqueue(later, "person", None).await?;
    store.merge_customers(old.id, ada.id, "r", Attributes::new(), "t").await?;
    assert_eq!(store.next_due().await?, Some(at(0)));

    let claimed = store.claim(at(0), at(1000), 10).await?;
    assert_eq!(claimed.len(), 1, "the other is not due");
    assert_eq!(
        (claimed[0].entry.id, claimed[0].entry.customer, claimed[0].abandoned),
        (entry.id, ada.id, false)
    );
    assert_eq!((claimed[0].identifiers.len(), claimed[0].consents.len()), (2, 1), "of everybody merged");
    assert_eq!(claimed[0].entry.state, OutboxState::Delivering);
    assert_eq!(store.claim(at(999), at(1999), 10).await?, vec![], "a lease runs");
    assert_eq!(store.next_due().await?, Some(at(1000)));

    let again = store.claim(at(1000), at(2000), 10).await?;
    assert_eq!((again.len(), again[0].abandoned), (1, true));
    store.settle(vec![settlement(&entry, OutboxState::Uncertain)]).await?;
    assert_eq!(state_of(&store, &entry).await?, OutboxState::Uncertain);
    assert_eq!(store.next_due().await?, Some(at(5000)));
    let requeued = store.requeue(entry.id).await?;
    assert_eq!((requeued.state, requeued.reason, requeued.attempts), (OutboxState::Pending, None, 0));
    assert!(matches!(store.requeue(entry.id).await, Err(StoreError::Conflict(_))));
    let claimed = store.claim(at(6000), at(7000), 1).await?;
    assert_eq!(
        (claimed.len(), claimed[0].entry.id, claimed[0].abandoned),
        (1, entry.id, false),
        "oldest first"
    );
    Ok(())
}

pub async fn settles_with_attempt_and_receipt(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    let ada = customer(&store, "Ada", &["email:ada@example.com"]).await?;
    let entry = store.enqueue(message(ada.id, "k"), "person", None).await?;
    let attempt = |number| DeliveryAttempt {
        entry: entry.id,
        number,
        channel: "shop".into(),
        started_at: at(0),
        elapsed_ms: 12,
        outcome: if number == 1 { "retry" } else { "sent" }.into(),
        detail: NASTY.into(),
    };
    store.claim(at(0), at(1000), 10).await?;
    let mut retry = settlement(&entry, OutboxState::Pending);
    (retry.due_at, retry.attempt) = (Some(at(3000)), Some(attempt(1)));
    store.settle(vec![retry]).await?;
    let waiting = store.find_outbox_entry(entry.id).await?.context("there")?;
    assert_eq!((waiting.attempts, waiting.due_at, waiting.reason.as_deref()), (1, at(3000), Some("because")));
    assert_eq!(store.next_due().await?, Some(at(3000)));

    store.claim(at(3000), at(4000), 10).await?;
    let mut sent = settlement(&entry, OutboxState::Delivered);
    let mut receipt = order(shop.id, "receipt:k", &[]);
    receipt.customer = Some(ada.id);
    receipt.kind = "message.sent".parse()?;
    (sent.attempt, sent.receipt) = (Some(attempt(2)), Some(receipt));
    sent.reason = Some("a provider may say \0 anything".into());
    store.settle(vec![sent.clone()]).await?;
    // A node that did not hear that its settlement was stored reports it again.
    store.settle(vec![sent]).await?;
    let done = store.find_outbox_entry(entry.id).await?.context("there")?;
    assert_eq!((done.state, done.provider_id.as_deref()), (OutboxState::Delivered, Some("p-1")));
    assert_eq!(store.next_due().await?, None);
    let timeline = store.timeline(ada.id, None, 10).await?;
    assert_eq!(timeline.len(), 1, "one receipt");
    assert_eq!(timeline[0].kind.as_str(), "message.sent");
    let attempts = store.delivery_attempts(entry.id).await?;
    assert_eq!(attempts[..2], [attempt(1), attempt(2)]);
    assert!(matches!(store.requeue(entry.id).await, Err(StoreError::Conflict(_))));
    Ok(())
}

pub async fn hears_late_reports(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ada = customer(&store, "Ada", &[]).await?;
    let entry = store.enqueue(message(ada.id, "k"), "person", None).await?;
    store.claim(at(0), at(1000), 10).await?;
    store.claim(at(2000), at(3000), 10).await?;
    store.settle(vec![settlement(&entry, OutboxState::Dead)]).await?;
    store.settle(vec![settlement(&entry, OutboxState::Pending)]).await?;
    assert_eq!(state_of(&store, &entry).await?, OutboxState::Dead, "a slow node does not wake the dead");
    store.settle(vec![settlement(&entry, OutboxState::Delivered)]).await?;
    assert_eq!(state_of(&store, &entry).await?, OutboxState::Delivered, "but that it was sent is a fact");
    Ok(())
}

pub async fn is_shared_between_nodes(bed: Bed) -> Result<()> {
    let (one, two) = (bed.open().await?, bed.open().await?);
    let ada = customer(&one, "Ada", &[]).await?;
    for n in 0..200 {
        one.enqueue(message(ada.id, &n.to_string()), "person", None).await?;
    }
    let mut tasks = Vec::new();
    for store in [one.clone(), two.clone(), one, two] {
        tasks.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            let mut empty = 0;
            while empty < 3 {
                let claimed = store.claim(at(0), at(60_000), 7).await?;
                empty += u32::from(claimed.is_empty());
                mine.extend(claimed.into_iter().map(|claimed| claimed.entry.id));
            }
            Ok::<_, StoreError>(mine)
        }));
    }
    let (mut all, mut total) = (BTreeSet::new(), 0);
    for task in tasks {
        let mine = task.await??;
        total += mine.len();
        all.extend(mine);
    }
    assert_eq!((total, all.len()), (200, 200), "each entry is leased to one node");
    Ok(())
}
