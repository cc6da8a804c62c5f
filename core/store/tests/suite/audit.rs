use anyhow::{Context, Result};
use regard_engine::ports::Reads;
use regard_model::Attributes;
use regard_store::AuditFilter;
use serde_json::json;

use crate::bed::{Bed, NASTY};

pub async fn shows_what_was_tampered_with(bed: Bed) -> Result<()> {
    let (store, other) = (bed.open().await?, bed.open().await?);
    assert_eq!(store.check_audit().await?.head, "");
    let mut lines = Vec::new();
    for n in 0..10 {
        let details = Attributes::from([("n", json!(n)), (NASTY, json!([1.1, NASTY, "\u{0}"]))]);
        let node = if n % 2 == 0 { &store } else { &other };
        lines.push(node.append_audit("token:x", "customer.merged", &format!("customer:{n}"), details).await?);
        bed.clock.advance(1);
    }
    store.audit("plugin:y\0", "call.denied", NASTY, Attributes::new()).await?;
    let check = store.check_audit().await?;
    assert_eq!((check.lines, check.broken_at), (11, None), "a denied call is written down whatever its text");
    assert_eq!(store.list_audit(&AuditFilter::default(), None, 1).await?[0].hash, check.head);
    let denied = AuditFilter { action: Some("call.denied".into()), ..AuditFilter::default() };
    assert_eq!(store.list_audit(&denied, None, 10).await?[0].subject, NASTY);
    let older = store.list_audit(&AuditFilter::default(), Some(lines[5].id), 3).await?;
    assert_eq!(older, lines[2..5].iter().rev().cloned().collect::<Vec<_>>());

    let tamper = |sql: &str, undo: &str, at: usize| {
        let (store, line, bed) = (store.clone(), lines[at].id, &bed);
        let (sql, undo) = (sql.to_owned(), undo.to_owned());
        async move {
            bed.sql(&sql)?;
            let check = store.check_audit().await?;
            anyhow::ensure!(check.broken_at == Some(line), "{sql}: {check:?}");
            if !undo.is_empty() {
                bed.sql(&undo)?;
            }
            Ok(())
        }
    };
    let (three, six) = (lines[3].id.as_i64(), lines[6].id.as_i64());
    tamper(
        &format!("UPDATE audit SET actor = 'token:y' WHERE id = {three}"),
        &format!("UPDATE audit SET actor = 'token:x' WHERE id = {three}"),
        3,
    )
    .await?;
    tamper(
        &format!("UPDATE audit SET at = at + 1 WHERE id = {six}"),
        &format!("UPDATE audit SET at = at - 1 WHERE id = {six}"),
        6,
    )
    .await?;
    assert_eq!(store.check_audit().await?.broken_at, None, "mended");
    tamper(&format!("DELETE FROM audit WHERE id = {three}"), "", 4).await?;
    store.check_audit().await?.broken_at.context("it stays broken")?;
    Ok(())
}
