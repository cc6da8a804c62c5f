//! Storing what an evaluator found: one evaluation and an observation for each subject, in one transaction.

use regard_engine::StoreError;
use regard_model::{Attributes, Evaluation, InteractionId, ObservationId, Subject};
use sqlx::{Postgres, Transaction};

use crate::append;
use crate::failure::During;
use crate::json;
use crate::open::{Engine, Store};
use crate::sqlite::numbered;

const DURING: &str = "store an evaluation";
/// Observations per statement on PostgreSQL; larger arrays gain nothing and cost memory on both sides.
const ROWS_PER_STATEMENT: usize = 10_000;
/// The value before is looked up in the same statement; the index on (metric, subject, id) ends at it.
const PREVIOUS: &str =
    "(SELECT o.value FROM observation o WHERE o.metric = $3 AND o.subject_id = u.subject_id
    ORDER BY o.id DESC LIMIT 1)";

/// What an evaluator found for one subject: subject, value, further columns.
pub type Finding = (Subject, Option<f64>, Attributes);

/// An evaluation as its row takes it.
struct EvaluationRow {
    evaluation: Evaluation,
    unit: String,
    parameters: String,
    model: Option<String>,
    summary: String,
}

const INSERT_EVALUATION: &str = "INSERT INTO evaluation (id, metric, metric_version, unit, evaluator, evaluator_digest,
        parameters, window_start, window_end, currency, rows_read, rows_other_currency, subjects, watermark, model,
        summary, evaluated_at, elapsed_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

impl Store {
    /// Stores an evaluation under the id it carries (see [`Store::next_id`]), with what it found, and returns the ids
    /// of the observations in the same order. Each observation remembers the value before it.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing is stored.
    pub async fn store_evaluation(
        &self,
        evaluation: Evaluation,
        unit: &str,
        findings: Vec<Finding>,
    ) -> Result<Vec<ObservationId>, StoreError> {
        let row = EvaluationRow {
            unit: unit.to_owned(),
            parameters: json::write(DURING, &evaluation.parameters)?,
            model: evaluation.model.as_ref().map(|model| json::write(DURING, model)).transpose()?,
            summary: json::write(DURING, &evaluation.summary)?,
            evaluation,
        };
        let (ids, now) = (self.inner.ids.clone(), self.now());
        match &self.inner.engine {
            Engine::Sqlite(sqlite) => {
                let work = move |txn: &rusqlite::Transaction<'_>| {
                    append::sqlite::take_turn(txn, &ids)?;
                    let first = ids.reserve::<()>(now, findings.len()).as_i64();
                    to_sqlite(txn, &row, first, &findings)
                };
                sqlite.write(DURING, work).await
            }
            Engine::Postgres(pool) => {
                let mut txn = pool.begin().await.during(DURING)?;
                append::postgres::take_turn(&mut txn, &ids).await?;
                let first = ids.reserve::<()>(now, findings.len()).as_i64();
                let stored = to_postgres(&mut txn, &row, first, &findings).await?;
                txn.commit().await.during(DURING)?;
                Ok(stored)
            }
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn to_sqlite(
    txn: &rusqlite::Transaction<'_>,
    row: &EvaluationRow,
    first: i64,
    findings: &[Finding],
) -> Result<Vec<ObservationId>, StoreError> {
    let evaluation = &row.evaluation;
    txn.prepare_cached(&numbered(INSERT_EVALUATION))
        .and_then(|mut insert| {
            insert.execute(rusqlite::params![
                evaluation.id.as_i64(),
                evaluation.metric,
                i64::from(evaluation.metric_version),
                row.unit,
                evaluation.evaluator,
                evaluation.evaluator_digest,
                row.parameters,
                evaluation.window.start.map(|start| start.as_millis()),
                evaluation.window.end.as_millis(),
                evaluation.currency,
                signed(evaluation.rows),
                signed(evaluation.rows_other_currency),
                signed(evaluation.subjects),
                evaluation.watermark.map(InteractionId::as_i64),
                row.model,
                row.summary,
                evaluation.evaluated_at.as_millis(),
                signed(evaluation.elapsed_ms),
            ])
        })
        .during(DURING)?;
    let sql = format!(
        "INSERT INTO observation (id, evaluation_id, metric, subject_id, value, details, previous)
         SELECT $1, $2, $3, u.subject_id, $5, $6, {PREVIOUS} FROM (SELECT $4 AS subject_id) AS u"
    );
    let mut insert = txn.prepare_cached(&numbered(&sql)).during(DURING)?;
    let mut ids = Vec::with_capacity(findings.len());
    for (id, (subject, value, details)) in (first..).zip(findings) {
        let details = json::to_text(DURING, details)?;
        insert
            .execute(rusqlite::params![
                id,
                evaluation.id.as_i64(),
                evaluation.metric,
                subject.as_i64(),
                stored_value(*value),
                details.as_ref(),
            ])
            .during(DURING)?;
        ids.push(ObservationId::from_i64(id));
    }
    Ok(ids)
}

async fn to_postgres(
    txn: &mut Transaction<'_, Postgres>,
    row: &EvaluationRow,
    first: i64,
    findings: &[Finding],
) -> Result<Vec<ObservationId>, StoreError> {
    let evaluation = &row.evaluation;
    sqlx::query(INSERT_EVALUATION)
        .bind(evaluation.id.as_i64())
        .bind(&evaluation.metric)
        .bind(i64::from(evaluation.metric_version))
        .bind(&row.unit)
        .bind(&evaluation.evaluator)
        .bind(&evaluation.evaluator_digest)
        .bind(&row.parameters)
        .bind(evaluation.window.start.map(|start| start.as_millis()))
        .bind(evaluation.window.end.as_millis())
        .bind(&evaluation.currency)
        .bind(signed(evaluation.rows))
        .bind(signed(evaluation.rows_other_currency))
        .bind(signed(evaluation.subjects))
        .bind(evaluation.watermark.map(InteractionId::as_i64))
        .bind(&row.model)
        .bind(&row.summary)
        .bind(evaluation.evaluated_at.as_millis())
        .bind(signed(evaluation.elapsed_ms))
        .execute(&mut **txn)
        .await
        .during(DURING)?;
    let sql = format!(
        "INSERT INTO observation (id, evaluation_id, metric, subject_id, value, details, previous)
         SELECT u.id, $2, $3, u.subject_id, u.value, u.details, {PREVIOUS}
         FROM unnest($1::bigint[], $4::bigint[], $5::double precision[], $6::text[]) AS u(id, subject_id, value, details)"
    );
    let ids: Vec<i64> = (first..).take(findings.len()).collect();
    for (ids, chunk) in ids.chunks(ROWS_PER_STATEMENT).zip(findings.chunks(ROWS_PER_STATEMENT)) {
        let subjects: Vec<i64> = chunk.iter().map(|(subject, _, _)| subject.as_i64()).collect();
        let values: Vec<Option<f64>> = chunk.iter().map(|(_, value, _)| stored_value(*value)).collect();
        let details: Vec<_> =
            chunk.iter().map(|(_, _, details)| json::to_text(DURING, details)).collect::<Result<_, _>>()?;
        let details: Vec<&str> = details.iter().map(AsRef::as_ref).collect();
        sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
            .bind(ids)
            .bind(evaluation.id.as_i64())
            .bind(&evaluation.metric)
            .bind(&subjects)
            .bind(&values)
            .bind(&details)
            .execute(&mut **txn)
            .await
            .during(DURING)?;
    }
    Ok(ids.into_iter().map(ObservationId::from_i64).collect())
}

/// SQLite stores NaN as NULL and neither JSON nor people know what to do with one: undefined is no value.
fn stored_value(value: Option<f64>) -> Option<f64> {
    value.filter(|value| !value.is_nan())
}
