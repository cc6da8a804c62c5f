//! Evaluators as the engine sees them: descriptions checked once, results checked every time.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use regard_engine::columns::{Batch, ColumnValues};
use regard_engine::ports::Accumulator;
use regard_engine::{Fault, PluginError};
use regard_model::{Metric, SubjectKind, Timestamp};
use serde_json::Value;

use crate::call::Role;
use crate::limits::LimitHit;
use crate::manifest::Settings;
use crate::moved;
use crate::registry::Loaded;
use crate::runtime::{Failure, Session, json};

/// Columns that the host can deliver.
const COLUMNS: [&str; 4] = ["occurred-at", "amount", "kind", "channel"];
/// Most metrics of one plugin.
const METRICS_MAX: usize = 64;
/// Longest metric name, in bytes; it is part of addresses and a database key.
const NAME_BYTES_MAX: usize = 64;
/// The column with the metric's value.
const VALUE: &str = "value";

/// Refuses descriptions that could not be evaluated.
pub(crate) fn check_metrics(metrics: &[Metric]) -> Result<(), String> {
    if metrics.is_empty() || metrics.len() > METRICS_MAX {
        return Err(format!("describes {} metrics, 1 to {METRICS_MAX} are taken", metrics.len()));
    }
    for (at, metric) in metrics.iter().enumerate() {
        let name = &metric.name;
        regard_model::invalid::check_slug("name", name, NAME_BYTES_MAX)
            .map_err(|invalid| format!("metric {invalid}"))?;
        if metrics[..at].iter().any(|earlier| earlier.name == *name) {
            return Err(format!("describes the metric `{name}` twice"));
        }
        for kind in &metric.kinds {
            kind.parse::<regard_model::Kind>()
                .map_err(|invalid| format!("metric `{name}`: kinds: {invalid}"))?;
        }
        if let Some(input) = metric.inputs.iter().find(|input| !COLUMNS.contains(&input.column.as_str())) {
            return Err(format!(
                "metric `{name}` reads the column `{}`; there are {}",
                input.column,
                COLUMNS.join(", ")
            ));
        }
        let is_object = metric.parameters.get("type").is_some_and(|kind| kind == "object");
        if !is_object || jsonschema::validator_for(&metric.parameters).is_err() {
            return Err(format!(
                "metric `{name}`: the schema of its parameters is no JSON Schema of an object"
            ));
        }
    }
    Ok(())
}

/// `given` with the defaults of the metric's schema filled in, or what is wrong with it.
pub(crate) fn complete(metric: &Metric, given: Value) -> Result<Value, Failure> {
    let settings = Settings { schema: Some(metric.parameters.clone()) };
    settings.complete(given).map_err(|faults| {
        let words: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Failure::new(Fault::Invalid, format!("parameters of `{}`: {}", metric.name, words.join("; ")))
    })
}

/// An open accumulator of a loaded plugin.
pub(crate) struct Running {
    plugin: Arc<Loaded>,
    session: Box<dyn Session>,
    subject: SubjectKind,
    groups: u32,
}

impl Running {
    pub(crate) fn new(plugin: Arc<Loaded>, session: Box<dyn Session>, subject: SubjectKind) -> Self {
        Self { plugin, session, subject, groups: 0 }
    }

    /// Counts the call, and puts names to its failure.
    fn ended<T>(
        &self,
        call: &'static str,
        started: Instant,
        ended: Result<T, Failure>,
    ) -> Result<T, PluginError> {
        self.plugin.ended(Role::Kpi, call, started, ended)
    }

    fn check_result(&self, batch: &Batch) -> Result<(), Failure> {
        let broken =
            |why: String| Failure::new(Fault::Failed, format!("the result breaks the contract: {why}"));
        let most = self.plugin.scope.limits.evaluation.output_rows;
        if batch.rows > most {
            return Err(LimitHit::OutputRows { found: batch.rows, most }.into());
        }
        batch.check().map_err(broken)?;
        let wanted = match self.subject {
            SubjectKind::Customer => self.groups,
            SubjectKind::Business => 1,
        };
        if batch.rows != wanted {
            return Err(broken(format!("{} rows for {wanted} subjects", batch.rows)));
        }
        match batch.column(VALUE).map(|column| &column.values) {
            Some(ColumnValues::Float64(_)) => Ok(()),
            _ => Err(broken(format!("there is no float64 column `{VALUE}`"))),
        }
    }
}

#[async_trait]
impl Accumulator for Running {
    async fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), PluginError> {
        let started = Instant::now();
        let ended = if groups.len() == rows.rows as usize && groups.iter().all(|&group| group < group_count) {
            self.plugin.moved("update", size_of_val(groups) + moved::batch(rows), 0);
            self.session.update(groups, group_count, rows).await
        } else {
            Err(Failure::new(Fault::Invalid, "groups and rows do not fit each other"))
        };
        self.groups = self.groups.max(group_count);
        self.ended("update", started, ended)
    }

    async fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), PluginError> {
        let started = Instant::now();
        self.plugin.moved("merge", state.len() + size_of_val(remap), 0);
        let ended = self.session.merge(state, remap).await;
        self.groups = self.groups.max(remap.iter().max().map_or(0, |most| most.saturating_add(1)));
        self.ended("merge", started, ended)
    }

    async fn state(&mut self) -> Result<Vec<u8>, PluginError> {
        let started = Instant::now();
        let ended = self.session.state().await;
        self.plugin.moved("state", 0, ended.as_ref().map_or(0, Vec::len));
        self.ended("state", started, ended)
    }

    async fn finish(&mut self, as_of: Timestamp) -> Result<Batch, PluginError> {
        let started = Instant::now();
        let ended = match self.session.finish(as_of).await {
            Ok(batch) => self.check_result(&batch).map(|()| batch),
            Err(failure) => Err(failure),
        };
        self.plugin.moved("finish", 0, ended.as_ref().map_or(0, moved::batch));
        self.ended("finish", started, ended)
    }

    async fn model(&mut self) -> Result<Option<Value>, PluginError> {
        let started = Instant::now();
        let ended = self.session.model().await.and_then(|text| {
            self.plugin.moved("model", 0, text.as_ref().map_or(0, String::len));
            let parsed = text.map(|text| json::read(&text, &mut { json::VALUES_MAX })).transpose();
            parsed.map_err(|why| Failure::new(Fault::Failed, format!("the model is no JSON: {why}")))
        });
        self.ended("model", started, ended)
    }
}
