//! Evaluations and the observations they made.
//!
//! An observation row holds what differs from subject to subject; metric version, window, unit and lineage stand once,
//! in the evaluation.

pub(crate) mod record;

use std::collections::HashMap;

use regard_engine::StoreError;
use regard_model::{
    CustomerId, Evaluation, EvaluationId, InteractionId, Observation, ObservationId, Subject, SubjectKind,
    Timestamp, Window,
};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use crate::customers::resolve_roots;
use crate::entity::{evaluation, observation};
use crate::failure::During;
use crate::json;
use crate::open::Store;

impl Store {
    /// The evaluation `id`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_evaluation(&self, id: EvaluationId) -> Result<Option<Evaluation>, StoreError> {
        let during = "read an evaluation";
        let row = evaluation::Entity::find_by_id(id.as_i64()).one(&self.inner.db).await.during(during)?;
        row.map(|row| read_evaluation(row, during)).transpose()
    }

    /// The newest evaluation of `metric`, with exactly these parameters if some are given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn latest_evaluation(
        &self,
        metric: &str,
        parameters: Option<&serde_json::Value>,
    ) -> Result<Option<Evaluation>, StoreError> {
        let during = "read the latest evaluation";
        let mut query = evaluation::Entity::find()
            .filter(evaluation::Column::Metric.eq(metric))
            .order_by_desc(evaluation::Column::Id);
        if let Some(parameters) = parameters {
            query = query.filter(evaluation::Column::Parameters.eq(json::write(during, parameters)?));
        }
        let row = query.one(&self.inner.db).await.during(during)?;
        row.map(|row| read_evaluation(row, during)).transpose()
    }

    /// The observation `id`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_observation(&self, id: ObservationId) -> Result<Option<Observation>, StoreError> {
        let during = "read an observation";
        let row = observation::Entity::find_by_id(id.as_i64()).one(&self.inner.db).await.during(during)?;
        Ok(read_observations(&self.inner.db, row.into_iter().collect(), during).await?.pop())
    }

    /// At most `limit` observations of `metric` older than `before`, newest first, of one subject or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_observations(
        &self,
        metric: &str,
        subject: Option<Subject>,
        before: Option<ObservationId>,
        limit: u64,
    ) -> Result<Vec<Observation>, StoreError> {
        let during = "list observations";
        let mut query = observation::Entity::find()
            .filter(observation::Column::Metric.eq(metric))
            .order_by_desc(observation::Column::Id)
            .limit(limit);
        if let Some(subject) = subject {
            let number = self.subject_number(subject, during).await?;
            query = query.filter(observation::Column::SubjectId.eq(number));
        }
        if let Some(before) = before {
            query = query.filter(observation::Column::Id.lt(before.as_i64()));
        }
        let rows = query.all(&self.inner.db).await.during(during)?;
        read_observations(&self.inner.db, rows, during).await
    }

    /// The newest observation of `metric` for `subject`, made with exactly these parameters if some are given. Of a
    /// merged customer it is the newest one of the customer that it was merged into.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn latest_observation(
        &self,
        metric: &str,
        subject: Subject,
        parameters: Option<&serde_json::Value>,
    ) -> Result<Option<Observation>, StoreError> {
        let during = "read the latest observation";
        let number = self.subject_number(subject, during).await?;
        let mut query = observation::Entity::find()
            .filter(observation::Column::Metric.eq(metric))
            .filter(observation::Column::SubjectId.eq(number))
            .order_by_desc(observation::Column::Id);
        if let Some(parameters) = parameters {
            let same = evaluation::Entity::find()
                .select_only()
                .column(evaluation::Column::Id)
                .filter(evaluation::Column::Metric.eq(metric))
                .filter(evaluation::Column::Parameters.eq(json::write(during, parameters)?))
                .into_query();
            query = query.filter(observation::Column::EvaluationId.in_subquery(same));
        }
        let row = query.one(&self.inner.db).await.during(during)?;
        Ok(read_observations(&self.inner.db, row.into_iter().collect(), during).await?.pop())
    }

    async fn subject_number(&self, subject: Subject, during: &'static str) -> Result<i64, StoreError> {
        let Subject::Customer(id) = subject else { return Ok(subject.as_i64()) };
        let roots = resolve_roots(&self.inner.db, [id.as_i64()], during).await?;
        Ok(roots.get(&id.as_i64()).copied().unwrap_or(id).as_i64())
    }
}

/// Rows as observations, with what stands in their evaluations.
pub(crate) async fn read_observations<C: ConnectionTrait>(
    db: &C,
    rows: Vec<observation::Model>,
    during: &'static str,
) -> Result<Vec<Observation>, StoreError> {
    let mut wanted: Vec<i64> = rows.iter().map(|row| row.evaluation_id).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut evaluations: HashMap<i64, evaluation::Model> = HashMap::new();
    for chunk in wanted.chunks(crate::customers::IDS_PER_STATEMENT) {
        let found = evaluation::Entity::find()
            .filter(evaluation::Column::Id.is_in(chunk.iter().copied()))
            .all(db)
            .await
            .during(during)?;
        evaluations.extend(found.into_iter().map(|row| (row.id, row)));
    }
    rows.into_iter()
        .map(|row| {
            let evaluation = evaluations.get(&row.evaluation_id).ok_or_else(|| {
                crate::failure::damaged(
                    during,
                    format!("{} has no evaluation", ObservationId::from_i64(row.id)),
                )
            })?;
            let subject = match row.subject_id {
                0 => Subject::Business,
                number => Subject::from_row(SubjectKind::Customer, number),
            };
            Ok(Observation {
                id: ObservationId::from_i64(row.id),
                evaluation: EvaluationId::from_i64(row.evaluation_id),
                metric: row.metric,
                subject,
                window: window_of(evaluation),
                value: row.value,
                unit: evaluation.unit.clone(),
                details: json::read(during, &row.details)?,
                previous: row.previous,
            })
        })
        .collect()
}

/// The observations whose subject is one of the customers `ids`, oldest first.
pub(crate) async fn observations_of<C: ConnectionTrait>(
    db: &C,
    ids: &[CustomerId],
    during: &'static str,
) -> Result<Vec<Observation>, StoreError> {
    let ids = ids.iter().map(|id| id.as_i64());
    // The index leads with the metric; there are few metrics, so each is looked up on its own.
    let metrics: Vec<String> = evaluation::Entity::find()
        .select_only()
        .column(evaluation::Column::Metric)
        .distinct()
        .into_tuple()
        .all(db)
        .await
        .during(during)?;
    let rows = observation::Entity::find()
        .filter(observation::Column::Metric.is_in(metrics))
        .filter(observation::Column::SubjectId.is_in(ids))
        .order_by_asc(observation::Column::Id)
        .all(db)
        .await
        .during(during)?;
    read_observations(db, rows, during).await
}

fn window_of(row: &evaluation::Model) -> Window {
    Window {
        start: row.window_start.map(Timestamp::from_millis),
        end: Timestamp::from_millis(row.window_end),
    }
}

fn read_evaluation(row: evaluation::Model, during: &'static str) -> Result<Evaluation, StoreError> {
    Ok(Evaluation {
        id: EvaluationId::from_i64(row.id),
        window: window_of(&row),
        metric: row.metric,
        metric_version: u32::try_from(row.metric_version).unwrap_or_default(),
        evaluator: row.evaluator,
        evaluator_digest: row.evaluator_digest,
        parameters: json::read(during, &row.parameters)?,
        currency: row.currency,
        rows: row.rows_read.unsigned_abs(),
        rows_other_currency: row.rows_other_currency.unsigned_abs(),
        subjects: row.subjects.unsigned_abs(),
        watermark: row.watermark.map(InteractionId::from_i64),
        model: row.model.map(|model| json::read(during, &model)).transpose()?,
        summary: json::read(during, &row.summary)?,
        evaluated_at: Timestamp::from_millis(row.evaluated_at),
        elapsed_ms: row.elapsed_ms.unsigned_abs(),
    })
}
