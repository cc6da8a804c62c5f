//! The outbox as people see it: what waits, what went out, what was given up.

use regard_engine::StoreError;
use regard_model::outbox::NewMessage;
use regard_model::{
    CustomerId, DeliveryAttempt, InteractionId, OutboxEntry, OutboxId, OutboxState, Timestamp,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Set,
};

use crate::customers::{no_customer, resolve_roots};
use crate::entity::{delivery_attempt, outbox};
use crate::failure::{During, check_nul, damaged, parse};
use crate::json;
use crate::open::{Store, Tally, Write};

impl Store {
    /// Enqueues a message, once for each key of an origin: a repeat returns the entry that is there.
    ///
    /// # Errors
    /// `NotFound` for an unknown customer.
    pub async fn enqueue(
        &self,
        message: NewMessage,
        origin: &str,
        causation: Option<InteractionId>,
    ) -> Result<OutboxEntry, StoreError> {
        let during = "enqueue a message";
        let key = full_key(origin, &message.idempotency_key);
        let write = self.begin(during).await?;
        let id = self.next_id();
        self.enqueue_within(&write, id, message, origin, causation, during).await?;
        let row = outbox::Entity::find().filter(outbox::Column::IdempotencyKey.eq(key)).one(&*write).await;
        let row = row.during(during)?.ok_or_else(|| damaged(during, format!("{id} vanished")))?;
        let entry = read_entries(&*write, vec![row], during).await?.pop();
        write.commit().await?;
        entry.ok_or_else(|| damaged(during, format!("{id} vanished")))
    }

    /// Enqueues a message within a transaction.
    pub(crate) async fn enqueue_within(
        &self,
        write: &Write,
        id: OutboxId,
        message: NewMessage,
        origin: &str,
        causation: Option<InteractionId>,
        during: &'static str,
    ) -> Result<(), StoreError> {
        let message = message.checked()?;
        for (field, text) in [("body", Some(&message.body)), ("channel", message.channel.as_ref())] {
            text.map_or(Ok(()), |text| check_nul(field, text))?;
        }
        let known = resolve_roots(&**write, [message.customer.as_i64()], during).await?;
        if known.is_empty() {
            return Err(no_customer(message.customer));
        }
        let now = self.now();
        let due_at = message.not_before.unwrap_or(now).as_millis();
        let row = outbox::Model {
            id: id.as_i64(),
            customer_id: message.customer.as_i64(),
            purpose: message.purpose,
            channel: message.channel,
            body: message.body,
            parameters: json::to_text(during, &message.parameters)?.into_owned(),
            idempotency_key: full_key(origin, &message.idempotency_key),
            origin: origin.to_owned(),
            causation_id: causation.map(InteractionId::as_i64),
            state: OutboxState::Pending.as_str().to_owned(),
            reason: None,
            provider_id: None,
            attempts: 0,
            due_at,
            wake_at: Some(due_at),
            created_at: now.as_millis(),
            updated_at: now.as_millis(),
        };
        let mut once = OnConflict::column(outbox::Column::IdempotencyKey);
        outbox::Entity::insert(row.into_active_model())
            .on_conflict(once.do_nothing().to_owned())
            .exec_without_returning(&**write)
            .await
            .during(during)?;
        Ok(())
    }

    /// The entry `id`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_outbox_entry(&self, id: OutboxId) -> Result<Option<OutboxEntry>, StoreError> {
        let during = "read an outbox entry";
        let row = outbox::Entity::find_by_id(id.as_i64()).one(&self.inner.db).await.during(during)?;
        Ok(read_entries(&self.inner.db, row.into_iter().collect(), during).await?.pop())
    }

    /// At most `limit` entries older than `before`, newest first, in one state or in any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_outbox(
        &self,
        state: Option<OutboxState>,
        before: Option<OutboxId>,
        limit: u64,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let during = "list the outbox";
        let mut query = outbox::Entity::find().order_by_desc(outbox::Column::Id).limit(limit);
        if let Some(state) = state {
            query = query.filter(outbox::Column::State.eq(state.as_str()));
        }
        if let Some(before) = before {
            query = query.filter(outbox::Column::Id.lt(before.as_i64()));
        }
        let rows = query.all(&self.inner.db).await.during(during)?;
        read_entries(&self.inner.db, rows, during).await
    }

    /// How many entries are in each state, in the order of a message's life; none is left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn count_outbox(&self) -> Result<Vec<(OutboxState, u64)>, StoreError> {
        let rows: Vec<(String, i64)> = outbox::Entity::find()
            .select_only()
            .column(outbox::Column::State)
            .column_as(outbox::Column::Id.count(), "entries")
            .group_by(outbox::Column::State)
            .into_tuple()
            .all(&self.inner.db)
            .await
            .during("count the outbox")?;
        let tally: Tally = rows.into_iter().map(|(state, count)| (state, count.unsigned_abs())).collect();
        Ok(OutboxState::ALL.map(|state| (state, tally.get(state.as_str()).copied().unwrap_or(0))).to_vec())
    }

    /// Puts an entry that is dead, uncertain or suppressed back in line, at once and with its tries forgotten.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is in line, on its way or delivered.
    pub async fn requeue(&self, id: OutboxId) -> Result<OutboxEntry, StoreError> {
        let during = "requeue an outbox entry";
        let write = self.begin(during).await?;
        let row =
            outbox::Entity::find_by_id(id.as_i64()).lock_exclusive().one(&*write).await.during(during)?;
        let row = row.ok_or_else(|| StoreError::NotFound(format!("outbox entry {id}")))?;
        let state: OutboxState = parse(during, &row.state)?;
        if !matches!(state, OutboxState::Dead | OutboxState::Uncertain | OutboxState::Suppressed) {
            return Err(StoreError::Conflict(format!(
                "outbox entry {id} is {state}: there is nothing to requeue"
            )));
        }
        let now = self.now().as_millis();
        let mut change = row.into_active_model();
        change.state = Set(OutboxState::Pending.as_str().to_owned());
        change.reason = Set(None);
        change.attempts = Set(0);
        change.due_at = Set(now);
        change.wake_at = Set(Some(now));
        change.updated_at = Set(now);
        let row = change.update(&*write).await.during(during)?;
        let entry = read_entries(&*write, vec![row], during).await?.pop();
        write.commit().await?;
        entry.ok_or_else(|| StoreError::NotFound(format!("outbox entry {id}")))
    }

    /// The tries to deliver an entry, first one first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn delivery_attempts(&self, id: OutboxId) -> Result<Vec<DeliveryAttempt>, StoreError> {
        let rows = delivery_attempt::Entity::find()
            .filter(delivery_attempt::Column::EntryId.eq(id.as_i64()))
            .order_by_asc(delivery_attempt::Column::Id)
            .all(&self.inner.db)
            .await
            .during("read delivery attempts")?;
        Ok(rows.into_iter().map(read_attempt).collect())
    }
}

/// The key under which an entry is stored: origins do not know each other's keys.
fn full_key(origin: &str, key: &str) -> String {
    format!("{origin}/{key}")
}

/// Rows as entries, addressed to the customers after merges.
pub(crate) async fn read_entries<C: ConnectionTrait>(
    db: &C,
    rows: Vec<outbox::Model>,
    during: &'static str,
) -> Result<Vec<OutboxEntry>, StoreError> {
    let roots = resolve_roots(db, rows.iter().map(|row| row.customer_id), during).await?;
    rows.into_iter()
        .map(|row| {
            Ok(OutboxEntry {
                id: OutboxId::from_i64(row.id),
                customer: roots
                    .get(&row.customer_id)
                    .copied()
                    .unwrap_or(CustomerId::from_i64(row.customer_id)),
                purpose: row.purpose,
                channel: row.channel,
                body: row.body,
                parameters: json::read(during, &row.parameters)?,
                idempotency_key: row.idempotency_key,
                origin: row.origin,
                causation_id: row.causation_id.map(InteractionId::from_i64),
                state: parse(during, &row.state)?,
                reason: row.reason,
                provider_id: row.provider_id,
                attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
                due_at: Timestamp::from_millis(row.due_at),
                created_at: Timestamp::from_millis(row.created_at),
                updated_at: Timestamp::from_millis(row.updated_at),
            })
        })
        .collect()
}

pub(crate) fn read_attempt(row: delivery_attempt::Model) -> DeliveryAttempt {
    DeliveryAttempt {
        entry: OutboxId::from_i64(row.entry_id),
        number: u32::try_from(row.number).unwrap_or(u32::MAX),
        channel: row.channel,
        started_at: Timestamp::from_millis(row.started_at),
        elapsed_ms: row.elapsed_ms.unsigned_abs(),
        outcome: row.outcome,
        detail: row.detail,
    }
}
