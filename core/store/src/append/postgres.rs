//! Appending on PostgreSQL: a few statements per batch, each over arrays.

use std::collections::HashMap;

use regard_engine::StoreError;
use regard_engine::import::ImportMark;
use regard_engine::ports::{Appended, Incoming};
use regard_model::id::IdGenerator;
use regard_model::{CustomerId, Identifier, InteractionId, LifecycleStage, Timestamp};
use sqlx::{Postgres, Transaction};

use super::{Holder, Known, Plan};
use crate::failure::{During, damaged};
use crate::open::{LAST_POSITION, LOG_LOCK};

const DURING: &str = "append interactions";

/// Takes the lock under which positions are given out, and sees to it that they are above those in the database.
pub(crate) async fn take_turn(
    txn: &mut Transaction<'_, Postgres>,
    ids: &IdGenerator,
) -> Result<(), StoreError> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOG_LOCK);
    lock.execute(&mut **txn).await.during(DURING)?;
    let last: i64 = sqlx::query_scalar(LAST_POSITION).fetch_one(&mut **txn).await.during(DURING)?;
    ids.stay_above(last);
    Ok(())
}

/// Stores how far an import has come.
pub(crate) async fn write_mark(
    txn: &mut Transaction<'_, Postgres>,
    mark: &ImportMark,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = serde_json::to_string(mark).during(DURING)?;
    let upsert = sqlx::query(crate::imports::UPSERT).bind(&mark.key).bind(text).bind(now.as_millis());
    upsert.execute(&mut **txn).await.during(DURING)?;
    Ok(())
}

/// Appends `batch` within `txn`, which has taken its turn; one outcome per item.
pub(crate) async fn append(
    txn: &mut Transaction<'_, Postgres>,
    ids: &IdGenerator,
    now: Timestamp,
    batch: &[Incoming],
) -> Result<Vec<Appended>, StoreError> {
    let mut known = look_up(txn, batch).await.during(DURING)?;
    let mut plan = super::plan(batch, &mut known, ids, now);
    if plan.rejects() || !insert(txn, &plan, now).await? {
        // Positions ascend from turn to turn, so only rows of this transaction are as new as its first one.
        if let Some(first) = plan.rows.first() {
            let undo = sqlx::query("DELETE FROM interaction WHERE id >= $1").bind(first.id.as_i64());
            undo.execute(&mut **txn).await.during(DURING)?;
        }
        known = look_up(txn, batch).await.during(DURING)?;
        known.duplicates = Some(duplicates(txn, batch).await.during(DURING)?);
        plan = super::plan(batch, &mut known, ids, now);
        if !insert(txn, &plan, now).await? {
            return Err(damaged(DURING, "an interaction is there and is not found"));
        }
    }
    write_customers(txn, &plan, ids, now).await?;
    Ok(plan.outcomes)
}

async fn duplicates(
    txn: &mut Transaction<'_, Postgres>,
    batch: &[Incoming],
) -> Result<HashMap<usize, InteractionId>, sqlx::Error> {
    let channels: Vec<i64> = batch.iter().map(|item| item.channel.as_i64()).collect();
    let external_ids: Vec<&str> = batch.iter().map(|item| item.external_id.as_str()).collect();
    let found: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT u.place, i.id FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS u(channel_id, external_id, place)
         CROSS JOIN LATERAL (SELECT id FROM interaction
             WHERE channel_id = u.channel_id AND external_id = u.external_id LIMIT 1) AS i",
    )
    .bind(&channels)
    .bind(&external_ids)
    .fetch_all(&mut **txn)
    .await?;
    // Ordinality counts from 1.
    let place = |place: i64| usize::try_from(place - 1).unwrap_or_default();
    Ok(found.into_iter().map(|(at, id)| (place(at), InteractionId::from_i64(id))).collect())
}

/// The limits of one row keep the planner from joining by a pass over a whole table: while a bulk import fills the
/// tables, their statistics are behind.
async fn look_up<'a>(
    txn: &mut Transaction<'_, Postgres>,
    batch: &'a [Incoming],
) -> Result<Known<'a>, sqlx::Error> {
    let mut known = Known::default();
    let identifiers: Vec<&Identifier> = batch.iter().flat_map(|item| &item.identifiers).collect();
    if !identifiers.is_empty() {
        let values: Vec<&str> = identifiers.iter().map(|identifier| identifier.value.as_str()).collect();
        let schemes: Vec<&str> = identifiers.iter().map(|identifier| identifier.scheme.as_str()).collect();
        let holders: Vec<(i64, i64, i64, String)> = sqlx::query_as(
            "SELECT u.place, i.customer_id, c.root_id, c.stage
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(value, scheme, place)
             CROSS JOIN LATERAL (SELECT customer_id FROM identifier
                 WHERE value = u.value AND scheme = u.scheme LIMIT 1) AS i
             CROSS JOIN LATERAL (SELECT root_id, stage FROM customer WHERE id = i.customer_id LIMIT 1) AS c",
        )
        .bind(&values)
        .bind(&schemes)
        .fetch_all(&mut **txn)
        .await?;
        for (place, recorded, root, stage) in holders {
            if let Some(&identifier) = identifiers.get(usize::try_from(place - 1).unwrap_or(usize::MAX)) {
                known.holders.entry(identifier).or_insert_with(|| Holder::stored(recorded, root, &stage));
            }
        }
    }

    let named: Vec<i64> = batch.iter().filter_map(|item| item.customer.map(CustomerId::as_i64)).collect();
    if !named.is_empty() {
        let found: Vec<(i64, i64, String)> =
            sqlx::query_as("SELECT id, root_id, stage FROM customer WHERE id = ANY($1)")
                .bind(&named)
                .fetch_all(&mut **txn)
                .await?;
        for (id, root, stage) in found {
            known.named.insert(CustomerId::from_i64(id), Holder::stored(id, root, &stage));
        }
    }
    Ok(known)
}

async fn write_customers(
    txn: &mut Transaction<'_, Postgres>,
    plan: &Plan<'_>,
    ids: &IdGenerator,
    now: Timestamp,
) -> Result<(), StoreError> {
    let at = now.as_millis();
    let mut changed: Vec<i64> = plan.customers.iter().map(|made| made.id.as_i64()).collect();
    if !plan.customers.is_empty() {
        let stages: Vec<&str> = plan.customers.iter().map(|made| made.stage.as_str()).collect();
        let sources: Vec<&str> = plan.customers.iter().map(|made| made.source).collect();
        let names: Vec<&str> = plan.customers.iter().map(|made| made.name).collect();
        let folded: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        sqlx::query(
            "INSERT INTO customer (id, kind, name, name_folded, stage, tags, attributes, source, version, root_id,
                 created_at, updated_at)
             SELECT u.id, 'person', u.name, u.folded, u.stage, '[]', '{}', u.source, 1, u.id, $4, $4
             FROM unnest($1::bigint[], $2::text[], $3::text[], $5::text[], $6::text[])
                 AS u(id, stage, source, name, folded)",
        )
        .bind(&changed)
        .bind(&stages)
        .bind(&sources)
        .bind(at)
        .bind(&names)
        .bind(&folded)
        .execute(&mut **txn)
        .await
        .during(DURING)?;
    }

    if !plan.links.is_empty() {
        let values: Vec<&str> = plan.links.iter().map(|(identifier, _)| identifier.value.as_str()).collect();
        let schemes: Vec<&str> =
            plan.links.iter().map(|(identifier, _)| identifier.scheme.as_str()).collect();
        let customers: Vec<i64> = plan.links.iter().map(|(_, customer)| customer.as_i64()).collect();
        sqlx::query(
            "INSERT INTO identifier (value, scheme, customer_id, linked_at)
             SELECT u.value, u.scheme, u.customer_id, $4
             FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u(value, scheme, customer_id)",
        )
        .bind(&values)
        .bind(&schemes)
        .bind(&customers)
        .bind(at)
        .execute(&mut **txn)
        .await
        .during(DURING)?;
    }

    if !plan.grown.is_empty() {
        let grown: Vec<i64> = plan.grown.iter().map(|(recorded, _)| recorded.as_i64()).collect();
        sqlx::query("UPDATE customer SET version = version + 1, updated_at = $2 WHERE id = ANY($1)")
            .bind(&grown)
            .bind(at)
            .execute(&mut **txn)
            .await
            .during(DURING)?;
        changed.extend(plan.grown.iter().map(|(_, root)| root.as_i64()));
    }

    if !plan.buyers.is_empty() {
        let buyers: Vec<i64> = plan.buyers.iter().map(|buyer| buyer.as_i64()).collect();
        let acquired: Vec<i64> = sqlx::query_scalar(
            "UPDATE customer SET stage = $3, version = version + 1, updated_at = $2
             WHERE id = ANY($1) AND stage = $4 RETURNING id",
        )
        .bind(&buyers)
        .bind(at)
        .bind(LifecycleStage::Acquired.as_str())
        .bind(LifecycleStage::Prospect.as_str())
        .fetch_all(&mut **txn)
        .await
        .during(DURING)?;
        changed.extend(acquired);
    }

    if !changed.is_empty() {
        let first = ids.reserve::<()>(now, changed.len()).as_i64();
        let positions: Vec<i64> = (first..).take(changed.len()).collect();
        sqlx::query(
            "INSERT INTO customer_change (id, customer_id) SELECT * FROM unnest($1::bigint[], $2::bigint[])",
        )
        .bind(&positions)
        .bind(&changed)
        .execute(&mut **txn)
        .await
        .during(DURING)?;
    }
    Ok(())
}

/// Inserts the interactions; `false`, with the others inserted, when one is there already.
async fn insert(
    txn: &mut Transaction<'_, Postgres>,
    plan: &Plan<'_>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = &plan.rows;
    if rows.is_empty() {
        return Ok(true);
    }
    let id: Vec<i64> = rows.iter().map(|row| row.id.as_i64()).collect();
    let customer: Vec<Option<i64>> = rows.iter().map(|row| row.customer.map(CustomerId::as_i64)).collect();
    let channel: Vec<i64> = rows.iter().map(|row| row.item.channel.as_i64()).collect();
    let occurred_at: Vec<i64> = rows.iter().map(|row| row.item.occurred_at.as_millis()).collect();
    let amount: Vec<Option<i64>> =
        rows.iter().map(|row| row.item.amount.map(|amount| amount.minor)).collect();
    let currency: Vec<Option<&str>> =
        rows.iter().map(|row| row.item.amount.as_ref().map(|amount| amount.currency.code())).collect();
    let kind: Vec<&str> = rows.iter().map(|row| row.item.kind.as_str()).collect();
    let external_id: Vec<&str> = rows.iter().map(|row| row.item.external_id.as_str()).collect();
    let provenance: Vec<&str> = rows.iter().map(|row| row.item.provenance.as_str()).collect();
    let thread: Vec<Option<&str>> = rows.iter().map(|row| row.item.thread.as_deref()).collect();
    let causation: Vec<Option<i64>> =
        rows.iter().map(|row| row.item.causation_id.map(InteractionId::as_i64)).collect();
    let attributes: Vec<_> = rows
        .iter()
        .map(|row| crate::json::to_text(DURING, &row.item.attributes))
        .collect::<Result<_, _>>()?;
    let attributes: Vec<&str> = attributes.iter().map(AsRef::as_ref).collect();
    let inserted = sqlx::query(
        "INSERT INTO interaction (id, customer_id, channel_id, occurred_at, amount_minor, currency, kind, external_id,
             provenance, thread, causation_id, attributes, received_at)
         SELECT u.*, $13 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[],
             $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[]) AS u
         ON CONFLICT (channel_id, external_id) DO NOTHING",
    )
    .bind(&id)
    .bind(&customer)
    .bind(&channel)
    .bind(&occurred_at)
    .bind(&amount)
    .bind(&currency)
    .bind(&kind)
    .bind(&external_id)
    .bind(&provenance)
    .bind(&thread)
    .bind(&causation)
    .bind(&attributes)
    .bind(now.as_millis())
    .execute(&mut **txn)
    .await
    .during(DURING)?;
    Ok(inserted.rows_affected() == rows.len() as u64)
}
