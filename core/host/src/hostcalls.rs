//! The host's functions, the same for every runtime: `log`, `clock` and `config` here, [`kv`] for kept bytes, [`crm`] for
//! customers, interactions, metrics and messages, [`records`] for records of declared types, and [`outbound`] for HTTP.
//!
//! Each function checks three things in this order: whether the capability's world has it, whether the grant allows it,
//! and whether the call has bounds left. A missing grant is an error `denied` that the plugin can handle, and a line in
//! the audit log; a spent bound ends the call.

mod crm;
mod kv;
mod outbound;
mod records;

use std::time::Duration;

use regard_engine::{Fault, StoreError};
use regard_model::{Attributes, Invalid};
use serde_json::json;

pub(crate) use crm::{Message, Page, PageRequest};
pub(crate) use records::{RecordPage, RecordRequest};

use crate::call::{CallContext, Interface};
use crate::limits::LimitHit;

/// Audit lines that one call may cause: a plugin that is denied in a loop must not fill the log.
const AUDITS_MAX: u32 = 8;
/// Most of what was denied, in bytes, that an audit line repeats: a plugin chooses the words.
const AUDITED_BYTES_MAX: usize = 256;
/// Fields of one log line.
const LOG_FIELDS_MAX: usize = 32;

/// Why a host function did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Stop {
    /// An error of the contract, which the plugin receives.
    Reported(CallError),
    /// A bound is spent: the call ends here.
    Limit(LimitHit),
}

/// The contract's `error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallError {
    /// What kind of failure; its word is the contract's code.
    pub(crate) fault: Fault,
    /// In words.
    pub(crate) message: String,
    /// When to try again.
    pub(crate) retry_after: Option<Duration>,
}

impl CallError {
    pub(crate) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into(), retry_after: None }
    }
}

impl From<LimitHit> for Stop {
    fn from(hit: LimitHit) -> Self {
        Self::Limit(hit)
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Reported(error)
    }
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Self {
        CallError::new(Fault::Invalid, invalid.to_string()).into()
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        let fault = match error {
            StoreError::Unavailable { .. } => Fault::Unavailable,
            StoreError::Conflict(_) => Fault::Conflict,
            StoreError::NotFound(_) => Fault::NotFound,
            StoreError::Invalid(_) => Fault::Invalid,
            StoreError::Damaged { .. } => Fault::Failed,
        };
        CallError::new(fault, error.to_string()).into()
    }
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl CallContext {
    /// `log.write`. Anyone may call it.
    pub(crate) fn log(
        &mut self,
        level: Level,
        message: &str,
        fields: &[(String, String)],
    ) -> Result<(), LimitHit> {
        let bytes =
            message.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.spent.log_lines += 1;
        self.spent.log_bytes = self.spent.log_bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.spent.log_lines > self.limits.log_lines {
            return Err(LimitHit::LogLines(self.limits.log_lines));
        }
        if self.spent.log_bytes > self.limits.log_bytes {
            return Err(LimitHit::LogBytes(self.limits.log_bytes));
        }
        let fields: String =
            fields.iter().take(LOG_FIELDS_MAX).map(|(name, value)| format!(" {name}={value:?}")).collect();
        let (plugin, call) = (&self.scope.id, self.name);
        match level {
            Level::Trace => tracing::trace!(target: "regard::plugin", %plugin, call, "{message}{fields}"),
            Level::Debug => tracing::debug!(target: "regard::plugin", %plugin, call, "{message}{fields}"),
            Level::Info => tracing::info!(target: "regard::plugin", %plugin, call, "{message}{fields}"),
            Level::Warn => tracing::warn!(target: "regard::plugin", %plugin, call, "{message}{fields}"),
            Level::Error => tracing::error!(target: "regard::plugin", %plugin, call, "{message}{fields}"),
        }
        if level == Level::Error {
            self.last_words = Some(message.to_owned());
        }
        Ok(())
    }

    /// `clock.now-ms`. Hooks and connectors may call it.
    pub(crate) async fn now_ms(&mut self) -> Result<i64, Stop> {
        self.enter(Interface::Clock).await?;
        Ok(self.scope.services.clock.now().as_millis())
    }

    /// `config.json`. Anyone may call it.
    pub(crate) fn config_json(&mut self) -> Result<String, LimitHit> {
        self.count()?;
        Ok(self.scope.config_text.clone())
    }

    /// `config.secret`. Anyone whose manifest names the secret and was granted it.
    pub(crate) async fn secret(&mut self, name: &str) -> Result<String, Stop> {
        self.enter(Interface::Config).await?;
        if !self.scope.permissions.secrets.iter().any(|granted| granted == name) {
            return Err(self.deny("config.secret", name, "permissions.secrets").await);
        }
        let found = self.scope.services.reads.secret(&self.scope.id, self.channel, name).await?;
        found.ok_or_else(|| CallError::new(Fault::NotFound, format!("secret `{name}` is not set")).into())
    }

    /// Counts a host call and refuses interfaces that the capability's world lacks.
    async fn enter(&mut self, interface: Interface) -> Result<(), Stop> {
        self.count()?;
        if self.role.has(interface) {
            return Ok(());
        }
        let call = format!("regard:core/{}", interface.as_str());
        let why = format!("is not there for {}.{}", self.role.as_str(), self.name);
        self.audit(&call, "", &why).await?;
        Err(CallError::new(Fault::Denied, format!("{call} {why}")).into())
    }

    /// Counts a host call.
    pub(crate) fn count(&mut self) -> Result<(), LimitHit> {
        self.spent.host_calls += 1;
        if self.spent.host_calls > self.limits.host_calls {
            return Err(LimitHit::HostCalls(self.limits.host_calls));
        }
        Ok(())
    }

    /// The error for a missing grant, after it was written to the audit log.
    async fn deny(&mut self, call: &str, what: &str, permission: &str) -> Stop {
        let why = format!("is not granted ({permission})");
        match self.audit(call, what, &why).await {
            Ok(()) => CallError::new(Fault::Denied, format!("{call} of `{what}` {why}")).into(),
            Err(stop) => stop,
        }
    }

    async fn audit(&mut self, call: &str, what: &str, why: &str) -> Result<(), Stop> {
        self.spent.audits += 1;
        if self.spent.audits > AUDITS_MAX {
            return Ok(());
        }
        let what = &what[..what.floor_char_boundary(AUDITED_BYTES_MAX)];
        tracing::warn!(target: "regard::plugin", plugin = %self.scope.id, "denied: {call} of `{what}` {why}");
        let within = format!("{}.{}", self.role.as_str(), self.name);
        let details = Attributes::from([
            ("call", json!(call)),
            ("what", json!(what)),
            ("why", json!(why)),
            ("within", json!(within)),
        ]);
        let name = format!("plugin:{}", self.scope.id);
        Ok(self.scope.services.reads.audit(&name, "call.denied", &name, details).await?)
    }
}
