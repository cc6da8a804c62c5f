//! Appending on SQLite: prepared statements, row by row, on the writer thread.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use regard_engine::StoreError;
use regard_engine::import::ImportMark;
use regard_engine::ports::{Appended, Incoming};
use regard_model::id::IdGenerator;
use regard_model::{CustomerId, Identifier, InteractionId, LifecycleStage, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Holder, Known, Plan};
use crate::failure::{During, damaged};
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

/// Identifiers that are remembered between batches, some 10 MB; when there are more, remembering starts afresh.
const OWNERS_MAX: usize = 65_536;

/// Who owns the identifiers that came by lately.
///
/// A source sends most interactions for customers whom it named a moment ago. What is remembered is true as long as
/// nobody else writes: SQLite changes `data_version` when another connection, of this process or of another one,
/// commits. What this connection itself commits is added here, and forgotten when it does not come to the commit.
#[derive(Debug, Default)]
pub(crate) struct OwnerCache {
    data_version: i64,
    holders: HashMap<Identifier, Holder>,
}

impl OwnerCache {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.holders.clear();
    }

    fn refresh(&mut self, txn: &Transaction<'_>) -> rusqlite::Result<()> {
        let version = txn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version != self.data_version || self.holders.len() > OWNERS_MAX {
            self.clear();
            self.data_version = version;
        }
        Ok(())
    }

    /// Remembers what is true after `plan`.
    fn learn(&mut self, known: &Known<'_>, plan: &Plan<'_>) {
        for (identifier, holder) in &known.holders {
            let after = plan.afterwards(*holder);
            if !holder.remembered || after.prospect != holder.prospect {
                self.holders.insert((*identifier).clone(), after);
            }
        }
    }
}

/// Appends `batch` within `txn`; one outcome per item.
pub(crate) fn append(
    txn: &Transaction<'_>,
    ids: &IdGenerator,
    now: Timestamp,
    batch: &[Incoming],
    owners: &mut OwnerCache,
) -> Result<Vec<Appended>, StoreError> {
    owners.refresh(txn).during(DURING)?;
    let mut known = look_up(txn, batch, owners).during(DURING)?;
    let mut plan = super::plan(batch, &mut known, ids, now);
    if plan.rejects() || !insert(txn, &plan, now)? {
        // Positions ascend from turn to turn, so only rows of this transaction are as new as its first one.
        if let Some(first) = plan.rows.first() {
            txn.prepare_cached("DELETE FROM interaction WHERE id >= ?1")
                .and_then(|mut undo| undo.execute([first.id.as_i64()]))
                .during(DURING)?;
        }
        known = look_up(txn, batch, owners).during(DURING)?;
        known.duplicates = Some(duplicates(txn, batch).during(DURING)?);
        plan = super::plan(batch, &mut known, ids, now);
        if !insert(txn, &plan, now)? {
            return Err(damaged(DURING, "an interaction is there and is not found"));
        }
    }
    write_customers(txn, &plan, ids, now)?;
    owners.learn(&known, &plan);
    Ok(plan.outcomes)
}

fn look_up<'a>(
    txn: &Transaction<'_>,
    batch: &'a [Incoming],
    owners: &OwnerCache,
) -> rusqlite::Result<Known<'a>> {
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
    for item in batch {
        for identifier in &item.identifiers {
            let Entry::Vacant(unknown) = known.holders.entry(identifier) else { continue };
            let found = match owners.holders.get(identifier) {
                Some(remembered) => Some(*remembered),
                None => owner.query_row(params![identifier.value, identifier.scheme], holder).optional()?,
            };
            if let Some(found) = found {
                unknown.insert(found);
            }
        }
        if let Some(id) = item.customer
            && let Entry::Vacant(unknown) = known.named.entry(id)
            && let Some(found) = named.query_row([id.as_i64()], holder).optional()?
        {
            unknown.insert(found);
        }
    }
    Ok(known)
}

fn duplicates(txn: &Transaction<'_>, batch: &[Incoming]) -> rusqlite::Result<HashMap<usize, InteractionId>> {
    let mut duplicate =
        txn.prepare_cached("SELECT id FROM interaction WHERE channel_id = ?1 AND external_id = ?2")?;
    let mut found = HashMap::new();
    for (place, item) in batch.iter().enumerate() {
        let id = duplicate
            .query_row(params![item.channel.as_i64(), item.external_id], |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            found.insert(place, InteractionId::from_i64(id));
        }
    }
    Ok(found)
}

/// Inserts the interactions; `false`, with some of them inserted, when one is there already.
fn insert(txn: &Transaction<'_>, plan: &Plan<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let mut insert = txn
        .prepare_cached(
            "INSERT INTO interaction (id, customer_id, channel_id, occurred_at, amount_minor, currency, kind,
                 external_id, received_at, provenance, thread, causation_id, attributes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (channel_id, external_id) DO NOTHING",
        )
        .during(DURING)?;
    for row in &plan.rows {
        let item = row.item;
        let attributes = crate::json::to_text(DURING, &item.attributes)?;
        let inserted = insert
            .execute(params![
                row.id.as_i64(),
                row.customer.map(CustomerId::as_i64),
                item.channel.as_i64(),
                item.occurred_at.as_millis(),
                item.amount.map(|amount| amount.minor),
                item.amount.as_ref().map(|amount| amount.currency.code()),
                item.kind.as_str(),
                item.external_id,
                now.as_millis(),
                item.provenance.as_str(),
                item.thread,
                item.causation_id.map(InteractionId::as_i64),
                attributes.as_ref(),
            ])
            .during(DURING)?;
        if inserted == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_customers(
    txn: &Transaction<'_>,
    plan: &Plan<'_>,
    ids: &IdGenerator,
    now: Timestamp,
) -> Result<(), StoreError> {
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
             VALUES (?1, 'person', ?5, ?6, ?2, '[]', '{}', ?3, 1, ?1, ?4, ?4)",
        )
        .during(DURING)?;
    for made in &plan.customers {
        let folded = made.name.to_lowercase();
        make.execute(params![made.id.as_i64(), made.stage.as_str(), made.source, at, made.name, folded])
            .during(DURING)?;
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
    Ok(())
}
