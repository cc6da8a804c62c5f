//! The streams of what happened, and the marks of who has handled what.

use async_trait::async_trait;
use regard_engine::StoreError;
use regard_engine::ports::{Effects, Event, Feed, Progress, Stream};
use regard_model::CustomerId;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};

use crate::customers::read_all;
use crate::entity::{customer_change, interaction, observation, progress};
use crate::failure::During;
use crate::kept;
use crate::metrics::read_observations;
use crate::open::{Store, Write};
use crate::plugins;

#[async_trait]
impl Feed for Store {
    async fn position(&self, subscriber: &str, stream: Stream) -> Result<i64, StoreError> {
        let during = "read a subscriber's position";
        let key = (subscriber.to_owned(), stream.as_str().to_owned());
        let known = progress::Entity::find_by_id(key.clone()).one(&self.inner.db).await.during(during)?;
        if let Some(known) = known {
            return Ok(known.position);
        }
        let write = self.begin(during).await?;
        let row = progress::Model {
            subscriber: key.0.clone(),
            stream: key.1.clone(),
            position: end_of(&*write, stream).await?,
        };
        let mut unless_there = OnConflict::columns([progress::Column::Subscriber, progress::Column::Stream]);
        progress::Entity::insert(row.into_active_model())
            .on_conflict(unless_there.do_nothing().to_owned())
            .exec_without_returning(&*write)
            .await
            .during(during)?;
        let row = progress::Entity::find_by_id(key).one(&*write).await.during(during)?;
        write.commit().await?;
        Ok(row.map_or(0, |row| row.position))
    }

    async fn after(
        &self,
        stream: Stream,
        position: i64,
        names: &[String],
        limit: usize,
    ) -> Result<(Vec<Event>, i64), StoreError> {
        let during = "read a stream";
        let db = &self.inner.db;
        let page = u64::try_from(limit).unwrap_or(u64::MAX);
        // The end is read first: what is appended afterwards belongs to the next page.
        let end = end_of(db, stream).await?;
        if end <= position || limit == 0 {
            return Ok((Vec::new(), position));
        }
        let names = names.iter().map(String::as_str);
        let (events, last, is_full): (Vec<Event>, Option<i64>, bool) = match stream {
            Stream::Interactions => {
                let mut query = interaction::Entity::find()
                    .filter(interaction::Column::Id.gt(position))
                    .filter(interaction::Column::Id.lte(end))
                    .order_by_asc(interaction::Column::Id)
                    .limit(page);
                if names.len() > 0 {
                    query = query.filter(interaction::Column::Kind.is_in(names));
                }
                let rows = query.all(db).await.during(during)?;
                let (last, is_full) = (rows.last().map(|row| row.id), rows.len() == limit);
                let events = self.read_interactions(db, rows, during).await?;
                (events.into_iter().map(Event::InteractionAppended).collect(), last, is_full)
            }
            Stream::Observations => {
                let mut query = observation::Entity::find()
                    .filter(observation::Column::Id.gt(position))
                    .filter(observation::Column::Id.lte(end))
                    .order_by_asc(observation::Column::Id)
                    .limit(page);
                if names.len() > 0 {
                    query = query.filter(observation::Column::Metric.is_in(names));
                }
                let rows = query.all(db).await.during(during)?;
                let (last, is_full) = (rows.last().map(|row| row.id), rows.len() == limit);
                let events = read_observations(db, rows, during).await?;
                (events.into_iter().map(Event::MetricObserved).collect(), last, is_full)
            }
            Stream::Customers => {
                let rows = customer_change::Entity::find()
                    .filter(customer_change::Column::Id.gt(position))
                    .filter(customer_change::Column::Id.lte(end))
                    .order_by_asc(customer_change::Column::Id)
                    .limit(page)
                    .all(db)
                    .await
                    .during(during)?;
                let (last, is_full) = (rows.last().map(|row| row.id), rows.len() == limit);
                let changed: Vec<_> = rows.iter().map(|row| CustomerId::from_i64(row.customer_id)).collect();
                let found = read_all(db, &changed, during).await?;
                // Several changes of one customer on a page show the same customer: once is enough.
                let mut shown = std::collections::HashSet::new();
                let customers =
                    changed.iter().filter_map(|id| found.get(*id)).filter(|known| shown.insert(known.id));
                (customers.cloned().map(Event::CustomerChanged).collect(), last, is_full)
            }
        };
        Ok((events, if is_full { last.unwrap_or(end) } else { end }))
    }

    async fn commit(&self, progress: Option<&Progress>, effects: Effects) -> Result<(), StoreError> {
        let during = "commit effects";
        if progress.is_none() && effects.is_empty() {
            return Ok(());
        }
        let write = if effects.customers.is_empty() {
            self.begin(during).await
        } else {
            self.begin_ordered(during).await
        }?;
        if !effects.kept.is_empty()
            && let Some(digest) = &effects.digest
        {
            plugins::check_serves(&write, &effects.origin, digest, during).await?;
        }
        self.apply(&write, effects, during).await?;
        if let Some(progress) = progress {
            advance(&write, progress, during).await?;
        }
        write.commit().await
    }
}

impl Store {
    /// Writes down what a plugin's call changes.
    pub(crate) async fn apply(
        &self,
        write: &Write,
        effects: Effects,
        during: &'static str,
    ) -> Result<(), StoreError> {
        for (id, change) in effects.customers {
            self.change_within(write, id, change, during).await?;
        }
        for (id, message) in effects.messages {
            self.enqueue_within(write, id, message, &effects.origin, None, during).await?;
        }
        for change in effects.records {
            self.change_record_within(write, change, during).await?;
        }
        for (key, value) in effects.kept {
            kept::keep(write, &effects.origin, key, value, during).await?;
        }
        Ok(())
    }
}

/// The last position of a stream, 0 when it is empty.
async fn end_of<C: ConnectionTrait>(db: &C, stream: Stream) -> Result<i64, StoreError> {
    let during = "read the end of a stream";
    let sql = match stream {
        Stream::Interactions => "SELECT coalesce(max(id), 0) FROM interaction",
        Stream::Customers => "SELECT coalesce(max(id), 0) FROM customer_change",
        Stream::Observations => "SELECT coalesce(max(id), 0) FROM observation",
    };
    let row =
        db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.during(during)?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0)).during(during)
}

/// Moves a subscriber on. Two nodes that handle the same events meet here, and the later one is refused.
async fn advance(write: &Write, progress: &Progress, during: &'static str) -> Result<(), StoreError> {
    let key = (progress.subscriber.clone(), progress.stream.as_str().to_owned());
    let stored = progress::Entity::find_by_id(key).lock_exclusive().one(&**write).await.during(during)?;
    if let Some(stored) = stored.filter(|stored| stored.position > progress.position) {
        return Err(StoreError::Conflict(format!(
            "{} is at {} of {} already, beyond {}",
            progress.subscriber, stored.position, stored.stream, progress.position
        )));
    }
    let row = progress::Model {
        subscriber: progress.subscriber.clone(),
        stream: progress.stream.as_str().to_owned(),
        position: progress.position,
    };
    let mut replace = OnConflict::columns([progress::Column::Subscriber, progress::Column::Stream]);
    progress::Entity::insert(row.into_active_model())
        .on_conflict(replace.update_column(progress::Column::Position).to_owned())
        .exec_without_returning(&**write)
        .await
        .during(during)?;
    Ok(())
}
