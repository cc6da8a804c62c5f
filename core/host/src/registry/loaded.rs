//! One loaded plugin: its checks, whether it is in service, and how its calls end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use regard_engine::ports::{Effects, Features, Stream, Subscription};
use regard_engine::{Fault, PluginError};
use regard_model::{Metric, Schedule, schedule};
use serde::Serialize;
use serde_json::Value;

use super::LoadError;
use crate::breaker::{Breaker, Closed};
use crate::call::{CallContext, Role, Scope};
use crate::grants::Grants;
use crate::kpi;
use crate::manifest::{Capability, EventKind, Manifest, schedules};
use crate::package::Package;
use crate::runtime::{Failure, Program, shorten};

/// Whether a plugin is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "reason")]
pub enum Service {
    /// It is.
    Enabled,
    /// The operator switched it off.
    Disabled,
    /// It broke too often; the reason names the call.
    Quarantined(String),
}

/// A loaded plugin as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginStatus {
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of manifest and code, in hex.
    pub digest: String,
    /// What the operator granted.
    pub grants: Grants,
    /// What the manifest asks for and was not granted, one line each; private addresses apart.
    pub not_granted: Vec<String>,
    /// Its configuration, defaults filled in.
    pub config: Value,
    /// JSON Schema of its configuration.
    pub config_schema: Value,
    /// Whether it is called.
    pub service: Service,
    /// What its connector can do.
    pub features: Option<Features>,
    /// The metrics that its evaluator computes.
    pub metrics: Vec<Metric>,
}

/// A plugin in service or out of it.
pub(crate) struct Loaded {
    pub(crate) scope: Arc<Scope>,
    pub(super) package: Package,
    grants: Grants,
    config_schema: Value,
    pub(super) program: Box<dyn Program>,
    pub(super) features: Option<Features>,
    pub(super) metrics: Vec<Metric>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) schedules: Vec<Schedule>,
    pub(super) enabled: AtomicBool,
    pub(super) breaker: Breaker,
}

/// Asks the plugin what it can do and checks the answer.
pub(super) async fn describe(
    program: Box<dyn Program>,
    scope: Arc<Scope>,
    package: Package,
    grants: Grants,
    config_schema: Value,
) -> Result<Loaded, LoadError> {
    let manifest = package.manifest();
    let call = || CallContext::new(scope.clone(), Role::Lifecycle, "describe");
    let fault = |role: Role, failure: Failure| LoadError::Call(named(&scope.id, role, "describe", failure));
    let features = match manifest.can(Capability::Connector) {
        true => Some(program.features(call()).await.map_err(|failure| fault(Role::Connector, failure))?),
        false => None,
    };
    let mut metrics = match manifest.can(Capability::Kpi) {
        true => program.metrics(call()).await.map_err(|failure| fault(Role::Kpi, failure))?,
        false => Vec::new(),
    };
    if manifest.can(Capability::Kpi) {
        kpi::check_metrics(&metrics).map_err(|why| fault(Role::Kpi, Failure::new(Fault::Invalid, why)))?;
    }
    // Whoever describes nothing is set up once all the same: a configuration that it refuses is refused now, not at its first
    // event.
    if features.is_none() && !manifest.can(Capability::Kpi) {
        let call = CallContext::new(scope.clone(), Role::Lifecycle, "configure");
        program
            .set_up(call)
            .await
            .map_err(|failure| LoadError::Call(named(&scope.id, Role::Lifecycle, "configure", failure)))?;
    }
    for metric in &mut metrics {
        metric.evaluator.clone_from(&scope.id);
    }
    let subscriptions = manifest.subscribe.iter().map(|wanted| Subscription {
        stream: match wanted.event {
            EventKind::InteractionAppended => Stream::Interactions,
            EventKind::CustomerChanged => Stream::Customers,
            EventKind::MetricObserved => Stream::Observations,
        },
        // A family of kinds (`order.*`) is narrowed when the events are handed over; the stream knows single kinds only.
        name: wanted.kind.clone().filter(|kind| !kind.ends_with('*')).or_else(|| wanted.metric.clone()),
    });
    let schedules = schedules::read(&manifest.schedule);
    let due = (!schedules.is_empty())
        .then(|| Subscription { stream: Stream::Interactions, name: Some(schedule::DUE.to_owned()) });
    let subscriptions = subscriptions.chain(due).collect();
    Ok(Loaded {
        subscriptions,
        schedules,
        enabled: AtomicBool::new(true),
        breaker: Breaker::default(),
        scope,
        package,
        grants,
        config_schema,
        program,
        features,
        metrics,
    })
}

/// Puts names to a failure.
pub(super) fn named(plugin: &str, role: Role, call: &'static str, failure: Failure) -> PluginError {
    PluginError {
        plugin: plugin.to_owned(),
        capability: role.as_str(),
        call,
        fault: failure.fault,
        message: shorten(failure.message),
        retry_after: failure.retry_after,
    }
}

impl Loaded {
    /// Refuses calls of a plugin that is out of service.
    pub(super) fn admit(&self, role: Role, call: &'static str) -> Result<(), PluginError> {
        let out = |message: String, retry_after| {
            Err(named(
                &self.scope.id,
                role,
                call,
                Failure { fault: Fault::OutOfService, message, retry_after },
            ))
        };
        if !self.enabled.load(Ordering::Relaxed) {
            return out("the plugin is disabled".to_owned(), None);
        }
        if let Some(why) = self.program.stuck() {
            return out(why, None);
        }
        match self.breaker.check(|| self.scope.services.clock.now()) {
            Ok(()) => Ok(()),
            Err(Closed::Resting(left)) => {
                out("the plugin rests after breaking repeatedly".to_owned(), Some(left))
            }
            Err(Closed::Quarantined(reason)) => out(format!("in quarantine: {reason}"), None),
        }
    }

    /// Counts a call that has ended, tells the breaker, and puts names to a failure.
    pub(crate) fn ended<T>(
        &self,
        role: Role,
        call: &'static str,
        started: Instant,
        ended: Result<T, Failure>,
    ) -> Result<T, PluginError> {
        let fault = ended.as_ref().err().map(|failure| failure.fault);
        self.scope.counters.count(call, started.elapsed(), fault);
        let ended = ended.map_err(|failure| named(&self.scope.id, role, call, failure));
        let what = || ended.as_ref().err().map(ToString::to_string).unwrap_or_default();
        if let Some(reason) = self.breaker.note(|| self.scope.services.clock.now(), fault, what) {
            tracing::error!(target: "regard::plugin", plugin = %self.scope.id, "quarantined: {reason}");
        }
        ended
    }

    /// Counts the bytes of a call.
    pub(crate) fn moved(&self, call: &'static str, bytes_in: usize, bytes_out: usize) {
        self.scope.counters.moved(call, bytes_in, bytes_out);
    }

    /// Calls `upgrade` or `downgrade`; `None` when the plugin has no such function.
    pub(super) async fn migrate(
        &self,
        call: &'static str,
        version: &str,
    ) -> Result<Option<Effects>, PluginError> {
        if !self.program.migrates() {
            return Ok(None);
        }
        let started = Instant::now();
        let context = CallContext::new(self.scope.clone(), Role::Migration, call);
        let ended = match call {
            "upgrade" => self.program.upgrade(context, version).await,
            _ => self.program.downgrade(context, version).await,
        };
        self.ended(Role::Migration, call, started, ended).map(Some)
    }

    pub(super) fn in_service(&self) -> bool {
        self.enabled.load(Ordering::Relaxed) && self.breaker.quarantine().is_none()
    }

    pub(super) fn status(&self) -> PluginStatus {
        let service = match self.breaker.quarantine() {
            _ if !self.enabled.load(Ordering::Relaxed) => Service::Disabled,
            Some(reason) => Service::Quarantined(reason),
            None => Service::Enabled,
        };
        PluginStatus {
            manifest: self.package.manifest().clone(),
            digest: self.package.digest().to_owned(),
            grants: self.grants.clone(),
            not_granted: self.grants.missing(&self.package.manifest().permissions),
            config: self.scope.config.clone(),
            config_schema: self.config_schema.clone(),
            service,
            features: self.features.clone(),
            metrics: self.metrics.clone(),
        }
    }
}
