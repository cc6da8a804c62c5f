//! What can go wrong on the way, and who is to blame.

use std::time::Duration;

use regard_model::Invalid;

/// The store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or is busy; the same call may succeed later.
    #[error("store: {during}: database unavailable: {why}")]
    Unavailable {
        /// The operation, such as `append interactions`.
        during: &'static str,
        /// What the driver said.
        why: String,
    },
    /// Somebody else changed the row meanwhile, or a unique value is taken.
    #[error("store: conflict: {0}")]
    Conflict(String),
    /// Nothing of that name is stored.
    #[error("store: not found: {0}")]
    NotFound(String),
    /// The value breaks a rule that only the store can check.
    #[error("store: invalid: {0}")]
    Invalid(#[from] Invalid),
    /// What is stored cannot be read back: a defect here or a damaged database.
    #[error("store: {during}: stored data is damaged: {why}")]
    Damaged {
        /// The operation.
        during: &'static str,
        /// What does not fit.
        why: String,
    },
}

/// Why a plugin's call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The plugin refused the input.
    Invalid,
    /// A grant is missing, or a signature is wrong.
    Denied,
    /// What was asked for is not there.
    NotFound,
    /// Somebody else changed it meanwhile.
    Conflict,
    /// Asked to slow down.
    Throttled,
    /// Something outside does not answer.
    Unavailable,
    /// The plugin does not do this.
    Unsupported,
    /// The call ran longer than it may.
    Timeout,
    /// The call used more memory than it may.
    Memory,
    /// The call went over another limit: output, log, host calls.
    Exhausted,
    /// The guest crashed.
    Trap,
    /// The plugin reported any other failure, or broke the contract.
    Failed,
    /// The plugin is not installed, disabled or in quarantine.
    OutOfService,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Invalid,
        Self::Denied,
        Self::NotFound,
        Self::Conflict,
        Self::Throttled,
        Self::Unavailable,
        Self::Unsupported,
        Self::Timeout,
        Self::Memory,
        Self::Exhausted,
        Self::Trap,
        Self::Failed,
        Self::OutOfService,
    ];

    /// The word used in logs, metrics and problem documents; the contract's `error.code` where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Exhausted => "exhausted",
            Self::Trap => "trap",
            Self::Failed => "failed",
            Self::OutOfService => "out-of-service",
        }
    }

    /// The fault that a contract `error.code` stands for; codes of a later contract count as failed.
    pub fn from_code(code: &str) -> Self {
        match code {
            "invalid" => Self::Invalid,
            "denied" => Self::Denied,
            "not-found" => Self::NotFound,
            "conflict" => Self::Conflict,
            "throttled" => Self::Throttled,
            "unavailable" => Self::Unavailable,
            "unsupported" => Self::Unsupported,
            "exhausted" => Self::Exhausted,
            _ => Self::Failed,
        }
    }

    /// Whether the guest broke (rather than reported an error), so that its instance must not be used again.
    pub const fn breaks_instance(self) -> bool {
        matches!(self, Self::Timeout | Self::Memory | Self::Exhausted | Self::Trap)
    }
}

/// A plugin's call failed; the message names plugin, capability and call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{plugin}: {capability}.{call} failed: {}: {message}", fault.as_str())]
pub struct PluginError {
    /// The plugin's id.
    pub plugin: String,
    /// `connector`, `hook`, `kpi` or `lifecycle`.
    pub capability: &'static str,
    /// The contract's function, such as `send`.
    pub call: &'static str,
    /// What kind of failure.
    pub fault: Fault,
    /// What happened, in words.
    pub message: String,
    /// When it makes sense to try again, if the plugin said so.
    pub retry_after: Option<Duration>,
}
