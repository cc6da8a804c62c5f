//! An installed plugin as callers see it.

use std::collections::BTreeMap;
use std::path::Path;

use regard_host::{CallStats, Grants, Manifest, Service};
use regard_model::{Metric, PluginRecord, PluginVersion};
use serde::Serialize;
use serde_json::Value;

use crate::http::Site;
use crate::http::problem::Problem;

/// An installed plugin and how it does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PluginView {
    #[serde(flatten)]
    record: PluginRecord,
    /// Whether it is called: `enabled`, `disabled`, `quarantined`, or `not-loaded` when it could not be loaded.
    service: String,
    /// Why it is in quarantine.
    quarantine: Option<String>,
    /// What its manifest asks for and was not granted, one line each.
    not_granted: Vec<String>,
    /// A version that waits for consent, and what it asks for beyond what is granted.
    waiting_version: Option<WaitingView>,
    /// JSON Schema of its configuration.
    #[schema(value_type = Option<Object>)]
    config_schema: Option<Value>,
    /// The metrics that it evaluates.
    metrics: Vec<Metric>,
    /// What its calls have cost since it was loaded here, by function of the contract.
    calls: Vec<CallView>,
    /// The most memory that one instance has had, in bytes.
    memory_peak_bytes: u64,
}

/// A version that waits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct WaitingView {
    /// Its version.
    version: String,
    /// What it asks for beyond what is granted, one line each.
    asks: Vec<String>,
}

/// What the calls of one function have cost.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CallView {
    /// The function, such as `handle`.
    call: &'static str,
    /// Calls, failed ones included.
    calls: u64,
    /// Failed calls by kind, such as `timeout` or `trap`.
    faults: BTreeMap<&'static str, u64>,
    /// Mean time of a call, in microseconds.
    mean_us: f64,
    /// Mean time that the plugin itself computed in a call, in microseconds.
    mean_computed_us: f64,
}

impl PluginView {
    pub(super) async fn new(site: &Site, record: PluginRecord) -> Result<Self, Problem> {
        let waiting_version = match &record.waiting {
            Some(digest) => {
                let versions = site.store.plugin_versions(&record.id).await?;
                let waiting = versions.into_iter().find(|version| version.digest == *digest);
                waiting.map(|version| WaitingView::new(&record, version)).transpose()?
            }
            None => None,
        };
        let status = site.host.status(&record.id);
        let stats = site.host.stats().into_iter().find(|stats| stats.plugin == record.id);
        let (service, quarantine) = match status.as_ref().map(|status| &status.service) {
            None if record.enabled => ("not-loaded", None),
            None | Some(Service::Disabled) => ("disabled", None),
            Some(Service::Enabled) => ("enabled", None),
            Some(Service::Quarantined(reason)) => ("quarantined", Some(reason.clone())),
        };
        let (not_granted, config_schema, metrics) = match status {
            Some(status) => (status.not_granted, Some(status.config_schema), status.metrics),
            None => Default::default(),
        };
        let (calls, memory_peak_bytes) = match stats {
            Some(stats) => (stats.calls.into_iter().map(CallView::new).collect(), stats.memory_peak_bytes),
            None => Default::default(),
        };
        let service = service.to_owned();
        Ok(Self {
            record,
            service,
            quarantine,
            not_granted,
            waiting_version,
            config_schema,
            metrics,
            calls,
            memory_peak_bytes,
        })
    }
}

impl WaitingView {
    fn new(record: &PluginRecord, version: PluginVersion) -> Result<Self, Problem> {
        let manifest = Manifest::parse(&version.manifest, Path::new("plugin.toml"));
        let manifest = manifest.map_err(|why| Problem::internal(why.to_string()))?;
        let grants: Grants = serde_json::from_value(record.grants.clone())
            .map_err(|why| Problem::internal(why.to_string()))?;
        Ok(Self { version: version.version, asks: grants.missing(&manifest.permissions) })
    }
}

impl CallView {
    fn new(stats: CallStats) -> Self {
        let mean = |time: std::time::Duration| time.as_secs_f64() * 1e6 / stats.calls as f64;
        Self {
            call: stats.call,
            calls: stats.calls,
            faults: stats.faults.iter().map(|(fault, count)| (fault.as_str(), *count)).collect(),
            mean_us: mean(stats.elapsed),
            mean_computed_us: mean(stats.computed),
        }
    }
}
