use anyhow::Result;
use regard_engine::StoreError;
use regard_model::CustomerId;
use regard_model::consent::{ConsentState, NewConsent, allows};

use crate::bed::{Bed, NASTY, customer};

fn line(state: ConsentState, source: &str) -> NewConsent {
    NewConsent {
        purpose: "marketing".into(),
        channel_kind: "email".into(),
        state,
        basis: "form".into(),
        source: source.into(),
    }
}

pub async fn are_a_ledger_in_order(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ada = customer(&store, "Ada", &[]).await?;
    let mut expected = Vec::new();
    for (number, state) in
        [ConsentState::Granted, ConsentState::Withdrawn, ConsentState::Granted].into_iter().enumerate()
    {
        expected.push(store.record_consent(ada.id, line(state, &format!("{number} {NASTY}")[..20])).await?);
        assert_eq!(
            allows(&store.consent_ledger(ada.id).await?, "marketing", "email"),
            state == ConsentState::Granted
        );
        bed.clock.advance(1);
    }
    assert_eq!(store.consent_ledger(ada.id).await?, expected);

    let eve = customer(&store, "Eve", &[]).await?;
    let batch = vec![
        (eve.id, line(ConsentState::Granted, "list")),
        (CustomerId::from_i64(3), line(ConsentState::Granted, "list")),
    ];
    assert!(matches!(store.record_consents(batch).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.consent_ledger(eve.id).await?, vec![], "all or none");
    let many = vec![(eve.id, line(ConsentState::Granted, "list")); 2500];
    assert_eq!(store.record_consents(many).await?, store.consent_ledger(eve.id).await?);
    Ok(())
}
