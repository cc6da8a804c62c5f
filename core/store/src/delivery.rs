//! Delivery: nodes lease due entries and write down what became of them.
//!
//! A lease is the entry's state `delivering` and the time at which it ends. A node that dies leaves both behind, and
//! the next claim after that time finds the entry again, marked as abandoned. A node that is merely slow may report
//! late: that a provider took the message is a fact and is written whatever happened meanwhile; anything else only
//! while the entry is still being delivered.

use std::collections::HashMap;

use async_trait::async_trait;
use regard_engine::StoreError;
use regard_engine::ports::{Claimed, Outbox, Settlement};
use regard_model::{OutboxState, Timestamp};
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::append;
use crate::consents::ledger_of;
use crate::customers::read_all;
use crate::entity::outbox::{Column, Entity};
use crate::failure::{During, without_nul};
use crate::open::{Engine, Store};
use crate::outbox::read_entries;
use crate::sqlite::numbered;

/// Parameters: entry, state, reason, provider's id, due, when to look again, tries, now.
const SETTLE: &str = "UPDATE outbox SET state = $2, reason = $3, provider_id = coalesce($4, provider_id),
        due_at = coalesce($5, due_at), wake_at = $6, attempts = attempts + $7, updated_at = $8
    WHERE id = $1 AND (state = 'delivering' OR $2 = 'delivered')";
/// Parameters: id, entry, number, channel, start, elapsed, outcome, detail.
const ATTEMPT: &str = "INSERT INTO delivery_attempt
        (id, entry_id, number, channel, started_at, elapsed_ms, outcome, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

#[async_trait]
impl Outbox for Store {
    async fn claim(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let during = "claim outbox entries";
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        if self.next_due().await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let write = self.begin(during).await?;
        let rows = Entity::find()
            .filter(Column::WakeAt.lte(now.as_millis()))
            .order_by_asc(Column::WakeAt)
            .order_by_asc(Column::Id)
            .limit(limit)
            // Entries that another node is looking at are its own; SQLite has one writer and needs no such words.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&*write)
            .await
            .during(during)?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        Entity::update_many()
            .col_expr(Column::State, Expr::value(OutboxState::Delivering.as_str()))
            .col_expr(Column::WakeAt, Expr::value(lease_until.as_millis()))
            .col_expr(Column::UpdatedAt, Expr::value(now.as_millis()))
            .filter(Column::Id.is_in(ids))
            .exec(&*write)
            .await
            .during(during)?;
        let entries = read_entries(&*write, rows, during).await?;
        let customers: Vec<_> = entries.iter().map(|entry| entry.customer).collect();
        let found = read_all(&*write, &customers, during).await?;
        let mut ledgers = HashMap::new();
        let mut claimed = Vec::with_capacity(entries.len());
        for mut entry in entries {
            let abandoned = entry.state == OutboxState::Delivering;
            entry.state = OutboxState::Delivering;
            entry.updated_at = now;
            if let std::collections::hash_map::Entry::Vacant(unread) = ledgers.entry(entry.customer) {
                unread.insert(ledger_of(&*write, entry.customer, during).await?);
            }
            claimed.push(Claimed {
                abandoned,
                identifiers: found
                    .get(entry.customer)
                    .map(|known| known.identifiers.clone())
                    .unwrap_or_default(),
                consents: ledgers.get(&entry.customer).cloned().unwrap_or_default(),
                entry,
            });
        }
        write.commit().await?;
        Ok(claimed)
    }

    async fn settle(&self, mut settlements: Vec<Settlement>) -> Result<(), StoreError> {
        let during = "settle outbox entries";
        if settlements.is_empty() {
            return Ok(());
        }
        // What became of a message must not be lost because a provider answers with odd bytes.
        for settlement in &mut settlements {
            let attempt = settlement.attempt.as_mut().map(|attempt| &mut attempt.detail);
            let texts = [settlement.reason.as_mut(), settlement.provider_id.as_mut(), attempt];
            for text in texts.into_iter().flatten() {
                *text = without_nul(text);
            }
        }
        let (ids, now) = (self.inner.ids.clone(), self.now());
        match &self.inner.engine {
            Engine::Sqlite(sqlite) => {
                let owners = sqlite.owners.clone();
                let work = move |txn: &rusqlite::Transaction<'_>| {
                    append::sqlite::take_turn(txn, &ids)?;
                    let mut settle = txn.prepare_cached(&numbered(SETTLE)).during(during)?;
                    let mut note = txn.prepare_cached(&numbered(ATTEMPT)).during(during)?;
                    for settlement in &settlements {
                        let row = Settled::from(settlement, now);
                        settle
                            .execute(rusqlite::params![
                                row.entry,
                                row.state,
                                settlement.reason,
                                settlement.provider_id,
                                row.due_at,
                                row.wake_at,
                                row.tries,
                                now.as_millis(),
                            ])
                            .during(during)?;
                        if let Some(attempt) = &settlement.attempt {
                            note.execute(rusqlite::params![
                                ids.next::<()>(now).as_i64(),
                                row.entry,
                                i64::from(attempt.number),
                                attempt.channel,
                                attempt.started_at.as_millis(),
                                i64::try_from(attempt.elapsed_ms).unwrap_or(i64::MAX),
                                attempt.outcome,
                                attempt.detail,
                            ])
                            .during(during)?;
                        }
                    }
                    let receipts: Vec<_> =
                        settlements.into_iter().filter_map(|settlement| settlement.receipt).collect();
                    append::sqlite::append(txn, &ids, now, &receipts, &mut owners.lock()).map(|_| ())
                };
                sqlite.write(during, work).await
            }
            Engine::Postgres(pool) => {
                let mut txn = pool.begin().await.during(during)?;
                append::postgres::take_turn(&mut txn, &ids).await?;
                for settlement in &settlements {
                    let row = Settled::from(settlement, now);
                    sqlx::query(SETTLE)
                        .bind(row.entry)
                        .bind(row.state)
                        .bind(&settlement.reason)
                        .bind(&settlement.provider_id)
                        .bind(row.due_at)
                        .bind(row.wake_at)
                        .bind(row.tries)
                        .bind(now.as_millis())
                        .execute(&mut *txn)
                        .await
                        .during(during)?;
                    if let Some(attempt) = &settlement.attempt {
                        sqlx::query(ATTEMPT)
                            .bind(ids.next::<()>(now).as_i64())
                            .bind(row.entry)
                            .bind(i64::from(attempt.number))
                            .bind(&attempt.channel)
                            .bind(attempt.started_at.as_millis())
                            .bind(i64::try_from(attempt.elapsed_ms).unwrap_or(i64::MAX))
                            .bind(&attempt.outcome)
                            .bind(&attempt.detail)
                            .execute(&mut *txn)
                            .await
                            .during(during)?;
                    }
                }
                let receipts: Vec<_> =
                    settlements.into_iter().filter_map(|settlement| settlement.receipt).collect();
                append::postgres::append(&mut txn, &ids, now, &receipts).await?;
                txn.commit().await.during(during)
            }
        }
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<Option<i64>> = Entity::find()
            .select_only()
            .column_as(Column::WakeAt.min(), "next")
            .filter(Column::WakeAt.is_not_null())
            .into_tuple()
            .one(&self.inner.db)
            .await
            .during("look when the next outbox entry is due")?;
        Ok(next.flatten().map(Timestamp::from_millis))
    }
}

/// A settlement as its statement takes it.
struct Settled {
    entry: i64,
    state: &'static str,
    due_at: Option<i64>,
    wake_at: Option<i64>,
    tries: i64,
}

impl Settled {
    fn from(settlement: &Settlement, now: Timestamp) -> Self {
        let due_at = settlement.due_at.map(Timestamp::as_millis);
        Self {
            entry: settlement.entry.as_i64(),
            state: settlement.state.as_str(),
            due_at,
            wake_at: (settlement.state == OutboxState::Pending).then(|| due_at.unwrap_or(now.as_millis())),
            tries: i64::from(settlement.attempt.is_some()),
        }
    }
}
