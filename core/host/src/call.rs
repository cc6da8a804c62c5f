//! One call of a plugin: who calls whom, what it may take, and what it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regard_engine::ports::{Clock, Effects, Lease, Reads};
use regard_model::id::IdGenerator;
use regard_model::{Channel, ChannelId, Customer, CustomerId, Record, RecordId, RecordType};
use serde_json::Value;

use crate::http::Http;
use crate::limits::{CallLimits, LimitHit, OperatorLimits};
use crate::manifest::Permissions;
use crate::stats::Counters;

/// What every plugin's host functions work with.
pub(crate) struct Services {
    /// What may be read.
    pub(crate) reads: Arc<dyn Reads>,
    /// The time, virtual in simulations.
    pub(crate) clock: Arc<dyn Clock>,
    /// Ids of outbox entries and records.
    pub(crate) ids: IdGenerator,
    /// Outbound HTTP.
    pub(crate) http: Http,
}

/// What stays the same over all calls of one loaded plugin.
pub(crate) struct Scope {
    /// Its id.
    pub(crate) id: String,
    /// SHA-256 of its manifest and code, in hex.
    pub(crate) digest: String,
    /// What it may do: the narrower of manifest and grant.
    pub(crate) permissions: Permissions,
    /// Its configuration, defaults filled in.
    pub(crate) config: Value,
    /// The same as text.
    pub(crate) config_text: String,
    /// Its bounds.
    pub(crate) limits: OperatorLimits,
    /// The types of records that this version declares.
    pub(crate) record_types: Vec<Arc<RecordType>>,
    /// Its counters.
    pub(crate) counters: Counters,
    /// What its host functions work with.
    pub(crate) services: Arc<Services>,
}

/// In which capacity a plugin is called. Decides the bounds and which host functions it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sets an instance up, or describes itself.
    Lifecycle,
    /// Serves a channel.
    Connector,
    /// Reacts to events.
    Hook,
    /// Computes metrics.
    Kpi,
    /// Brings what the plugin keeps into the shape of another version.
    Migration,
}

/// An interface of `regard:core` that plugins import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    Types,
    Log,
    Clock,
    Config,
    Kv,
    Http,
    Customers,
    Interactions,
    Metrics,
    Messages,
    Records,
}

impl Interface {
    /// All of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::Types,
        Self::Log,
        Self::Clock,
        Self::Config,
        Self::Kv,
        Self::Http,
        Self::Customers,
        Self::Interactions,
        Self::Metrics,
        Self::Messages,
        Self::Records,
    ];

    /// Its name in the contract.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Types => "types",
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Config => "config",
            Self::Kv => "kv",
            Self::Http => "http",
            Self::Customers => "customers",
            Self::Interactions => "interactions",
            Self::Metrics => "metrics",
            Self::Messages => "messages",
            Self::Records => "records",
        }
    }
}

impl Role {
    /// The word used in errors and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Connector => "connector",
            Self::Hook => "hook",
            Self::Kpi => "kpi",
            Self::Migration => "migration",
        }
    }

    /// Whether the contract's world of this capability has `interface`. Set-up may depend on the configuration only, so
    /// that all instances are alike; an evaluator has no clock, so that a run can be repeated.
    pub(crate) const fn has(self, interface: Interface) -> bool {
        use Interface::{
            Clock, Config, Customers, Http, Interactions, Kv, Log, Messages, Metrics, Records, Types,
        };
        match interface {
            Types | Log | Config => true,
            Kv | Records if matches!(self, Self::Migration) => true,
            Clock | Kv | Http => matches!(self, Self::Connector | Self::Hook),
            Customers | Interactions | Metrics | Messages | Records => matches!(self, Self::Hook),
        }
    }

    /// Whether calls of this kind may share an instance.
    pub(crate) const fn serves(self) -> bool {
        matches!(self, Self::Connector | Self::Hook)
    }

    const fn limits(self, limits: &OperatorLimits) -> CallLimits {
        match self {
            Self::Kpi => limits.evaluation,
            _ => limits.interactive,
        }
    }
}

/// One call while it runs. A runtime keeps it beside the guest; the host's functions read and change it.
pub(crate) struct CallContext {
    /// The plugin.
    pub(crate) scope: Arc<Scope>,
    /// In which capacity it is called.
    pub(crate) role: Role,
    /// The contract's function.
    pub(crate) name: &'static str,
    /// The channel in whose name the call runs.
    pub(crate) channel: Option<ChannelId>,
    /// The bounds.
    pub(crate) limits: CallLimits,
    /// When it must have ended.
    pub(crate) deadline: Instant,
    /// What it changes.
    pub(crate) effects: Effects,
    /// Customers as this call has left them.
    pub(crate) customers: BTreeMap<CustomerId, Customer>,
    /// Records as this call has left them; none for those that it deleted.
    pub(crate) records: BTreeMap<RecordId, Option<Record>>,
    /// Kept bytes as this call has left them.
    pub(crate) kept: BTreeMap<String, Option<Vec<u8>>>,
    /// What has been spent of the bounds.
    pub(crate) spent: Spent,
    /// The last line logged as an error: a guest that panics says why there.
    pub(crate) last_words: Option<String>,
}

/// What a call has spent so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) log_lines: u32,
    pub(crate) log_bytes: u32,
    pub(crate) host_calls: u32,
    pub(crate) effect_bytes: u64,
    /// What the plugin keeps by now; unknown until the call keeps something.
    pub(crate) kept_bytes: Option<u64>,
    pub(crate) http_requests: u32,
    pub(crate) http_bytes: u64,
    pub(crate) audits: u32,
}

impl CallContext {
    /// A call of `name` that begins now.
    pub(crate) fn new(scope: Arc<Scope>, role: Role, name: &'static str) -> Self {
        let limits = role.limits(&scope.limits);
        let effects =
            Effects { origin: scope.id.clone(), digest: Some(scope.digest.clone()), ..Effects::default() };
        Self {
            role,
            name,
            channel: None,
            limits,
            deadline: Instant::now() + limits.call,
            effects,
            customers: BTreeMap::new(),
            records: BTreeMap::new(),
            kept: BTreeMap::new(),
            spent: Spent::default(),
            last_words: None,
            scope,
        }
    }

    /// The same call in the name of `channel`.
    pub(crate) fn on(mut self, channel: &Channel) -> Self {
        self.channel = Some(channel.id);
        self
    }

    /// The same call with what keeps the plugin's version in service until its effects are stored.
    pub(crate) fn leased(mut self, lease: Lease) -> Self {
        self.effects.lease = lease;
        self
    }

    /// Begins another call on the same instance, with all bounds fresh.
    pub(crate) fn begin(&mut self, name: &'static str) {
        self.name = name;
        self.deadline = Instant::now() + self.limits.call;
        self.spent = Spent::default();
        self.last_words = None;
    }

    /// What is left of the wall-clock time.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What the call changed, once it has succeeded.
    pub(crate) fn take_effects(&mut self) -> Effects {
        let mut effects = std::mem::take(&mut self.effects);
        effects.kept = std::mem::take(&mut self.kept).into_iter().collect();
        self.customers.clear();
        self.records.clear();
        effects
    }

    /// Takes `bytes` from the bytes of changes that may be collected.
    pub(crate) fn spend_effect_bytes(&mut self, bytes: usize) -> Result<(), LimitHit> {
        self.spent.effect_bytes = self.spent.effect_bytes.saturating_add(bytes as u64);
        if self.spent.effect_bytes > self.limits.effect_bytes {
            return Err(LimitHit::EffectBytes(self.limits.effect_bytes));
        }
        Ok(())
    }
}
