//! Appending on SQLite: prepared statements, row by row, on the writer thread.

use std::collections::HashMap;

use regard_engine::StoreError;
use regard_engine::import::ImportMark;
use regard_engine::ports::{Appended, Incoming};
use regard_model::id::IdGenerator;
use regard_model::{CustomerId, InteractionId, LifecycleStage, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Holder, Known, Plan};
use crate::failure::During;
use crate::open::LAST_POSITION;
use crate::sqlite::numbered;

const DURING: &str = "append interactions";

/// Sees to it that every position given out from now on is above those in the database.
pub(crate) fn take_turn(txn: &Transaction<'_>, ids: &IdGenerator) -> Result<(), StoreError> {
    let mut last = txn.prepare_cached(LAST_POSITION).during(DURING)?;
    ids.stay_above(last.query_row([], |row| row.get(0)).during(DURING)?);
    Ok(())
}

/// Stores how far an import has come.
pub(crate) fn write_mark(txn: &Transaction<'_>, mark: &ImportMark, now: Timestamp) -> Result<(), StoreError> {
    let text = serde_json::to_string(mark).during(DURING)?;
    txn.prepare_cached(&numbered(crate::imports::UPSERT))
        .and_then(|mut upsert| upsert.execute(params![mark.key, text, now.as_millis()]))
        .during(DURING)?;
    Ok(())
}

/// Appends `batch` within `txn`; one outcome per item.
pub(crate) fn append(
    txn: &Transaction<'_>,
    ids: &IdGenerator,
    now: Timestamp,
    batch: Vec<Incoming>,
) -> Result<Vec<Appended>, StoreError> {
    let known = look_up(txn, &batch).during(DURING)?;
    let plan = super::plan(batch, known, ids, now);
    write(txn, &plan, ids, now)?;
    Ok(plan.outcomes)
}

fn look_up(txn: &Transaction<'_>, batch: &[Incoming]) -> rusqlite::Result<Known> {
    let mut duplicate =
        txn.prepare_cached("SELECT id FROM interaction WHERE channel_id = ?1 AND external_id = ?2")?;
    let mut owner = txn.prepare_cached(
        "SELECT i.customer_id, c.root_id, c.stage FROM identifier i JOIN customer c ON c.id = i.customer_id
         WHERE i.value = ?1 AND i.scheme = ?2",
    )?;
    let mut named = txn.prepare_cached("SELECT id, root_id, stage FROM customer WHERE id = ?1")?;
    let holder = |row: &rusqlite::Row<'_>| {
        let stage = row.get_ref(2)?.as_str()?;
        Ok(Holder::stored(row.get(0)?, row.get(1)?, stage))
    };

    let mut known = Known { holders: HashMap::with_capacity(batch.len()), ..Known::default() };
    for (place, item) in batch.iter().enumerate() {
        let found = duplicate
            .query_row(params![item.channel.as_i64(), item.external_id], |row| row.get::<_, i64>(0))
            .optional()?;
        if let Some(id) = found {
            known.duplicates.insert(place, InteractionId::from_i64(id));
            continue;
        }
        for identifier in &item.identifiers {
            if known.holders.contains_key(identifier) {
                continue;
            }
            let found = owner.query_row(params![identifier.value, identifier.scheme], holder).optional()?;
            if let Some(found) = found {
                known.holders.insert(identifier.clone(), found);
            }
        }
        if let Some(id) = item.customer
            && !known.named.contains_key(&id)
            && let Some(found) = named.query_row([id.as_i64()], holder).optional()?
        {
            known.named.insert(id, found);
        }
    }
    Ok(known)
}

fn write(txn: &Transaction<'_>, plan: &Plan, ids: &IdGenerator, now: Timestamp) -> Result<(), StoreError> {
    let at = now.as_millis();
    let mut change =
        txn.prepare_cached("INSERT INTO customer_change (id, customer_id) VALUES (?1, ?2)").during(DURING)?;
    let mut changed = |customer: CustomerId| {
        change.execute([ids.next::<()>(now).as_i64(), customer.as_i64()]).during(DURING).map(|_| ())
    };

    let mut make = txn
        .prepare_cached(
            "INSERT INTO customer (id, kind, name, name_folded, stage, tags, attributes, source, version, root_id,
                 created_at, updated_at)
             VALUES (?1, 'person', '', '', ?2, '[]', '{}', ?3, 1, ?1, ?4, ?4)",
        )
        .during(DURING)?;
    for made in &plan.customers {
        make.execute(params![made.id.as_i64(), made.stage.as_str(), made.source, at]).during(DURING)?;
        changed(made.id)?;
    }

    let mut link = txn
        .prepare_cached(
            "INSERT INTO identifier (value, scheme, customer_id, linked_at) VALUES (?1, ?2, ?3, ?4)",
        )
        .during(DURING)?;
    for (identifier, customer) in &plan.links {
        link.execute(params![identifier.value, identifier.scheme, customer.as_i64(), at]).during(DURING)?;
    }

    let mut grow = txn
        .prepare_cached("UPDATE customer SET version = version + 1, updated_at = ?2 WHERE id = ?1")
        .during(DURING)?;
    for (recorded, root) in &plan.grown {
        grow.execute([recorded.as_i64(), at]).during(DURING)?;
        changed(*root)?;
    }

    let mut acquire = txn
        .prepare_cached(
            "UPDATE customer SET stage = ?3, version = version + 1, updated_at = ?2 WHERE id = ?1 AND stage = ?4",
        )
        .during(DURING)?;
    let (to, from) = (LifecycleStage::Acquired.as_str(), LifecycleStage::Prospect.as_str());
    for buyer in &plan.buyers {
        if acquire.execute(params![buyer.as_i64(), at, to, from]).during(DURING)? > 0 {
            changed(*buyer)?;
        }
    }

    let mut insert = txn
        .prepare_cached(
            "INSERT INTO interaction (id, customer_id, channel_id, occurred_at, amount_minor, currency, kind,
                 external_id, received_at, provenance, thread, causation_id, attributes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )
        .during(DURING)?;
    for row in &plan.rows {
        let item = &row.item;
        let attributes = crate::json::to_text(DURING, &item.attributes)?;
        insert
            .execute(params![
                row.id.as_i64(),
                row.customer.map(CustomerId::as_i64),
                item.channel.as_i64(),
                item.occurred_at.as_millis(),
                item.amount.map(|amount| amount.minor),
                item.amount.as_ref().map(|amount| amount.currency.code()),
                item.kind.as_str(),
                item.external_id,
                at,
                item.provenance.as_str(),
                item.thread,
                item.causation_id.map(InteractionId::as_i64),
                attributes.as_ref(),
            ])
            .during(DURING)?;
    }
    Ok(())
}
