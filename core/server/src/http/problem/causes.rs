//! Which failure becomes which problem.

use std::time::Duration;

use regard_engine::pipeline::WebhookError;
use regard_engine::{Fault, PluginError, StoreError};
use regard_model::Invalid;
use regard_warehouse::EvaluateError;

use super::{Problem, Trouble, pointer};

/// When to try again after the database was not reachable, in seconds: a failover takes about as long.
const RETRY_AFTER_S: u64 = 1;

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let pointer = pointer(&invalid.field);
        Self::new(Trouble::Invalid, invalid.to_string()).at(pointer, invalid.reason)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::new(
                Trouble::Unavailable,
                "the database is busy or cannot be reached; try again in a moment",
            )
            .retry_after(Duration::from_secs(RETRY_AFTER_S))
            .inside(error),
            StoreError::Conflict(what) => Self::new(Trouble::Conflict, what),
            StoreError::NotFound(what) => Self::new(Trouble::NotFound, format!("there is no {what}")),
            StoreError::Invalid(invalid) => invalid.into(),
            StoreError::Damaged { .. } => Self::internal(error),
        }
    }
}

impl From<PluginError> for Problem {
    fn from(error: PluginError) -> Self {
        let PluginError { plugin, capability, call, fault, message, retry_after } = &error;
        let told = format!("{plugin}: {capability}.{call} failed: {}: {message}", fault.as_str());
        let problem = match fault {
            Fault::Invalid | Fault::Unsupported => Self::new(Trouble::Invalid, told),
            Fault::Denied => Self::new(Trouble::Forbidden, told),
            Fault::NotFound => Self::new(Trouble::NotFound, told),
            Fault::Conflict => Self::new(Trouble::Conflict, told),
            Fault::Throttled => Self::new(Trouble::Throttled, told),
            Fault::Unavailable | Fault::OutOfService => Self::new(Trouble::Unavailable, told),
            Fault::Failed => Self::new(Trouble::PluginFailed, told),
            // What a guest says while it breaks is a stack trace of somebody else's code.
            Fault::Timeout | Fault::Memory | Fault::Exhausted | Fault::Trap => Self::new(
                Trouble::PluginFailed,
                format!("{plugin}: {capability}.{call} failed: {}", fault.as_str()),
            )
            .inside(&error),
        };
        Self { retry_after: *retry_after, ..problem }
    }
}

impl From<EvaluateError> for Problem {
    fn from(error: EvaluateError) -> Self {
        match error {
            EvaluateError::UnknownMetric { .. } => Self::new(Trouble::NotFound, error.to_string()),
            EvaluateError::EmptyWindow { .. } => {
                let told = error.to_string();
                Self::new(Trouble::Invalid, told.clone()).at("/until", told)
            }
            EvaluateError::Column(_) => Self::new(Trouble::PluginFailed, error.to_string()),
            EvaluateError::Plugin(error) => error.into(),
            EvaluateError::Store(error) => error.into(),
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            // A wrong signature: whoever calls is not the provider that the channel knows.
            WebhookError::Plugin(error) if error.fault == Fault::Denied => Self::new(
                Trouble::Unauthenticated,
                format!("the connector refused the call: {}", error.message),
            ),
            WebhookError::Plugin(error) if error.fault == Fault::Invalid => Self::new(
                Trouble::Malformed,
                format!("the connector cannot read the call: {}", error.message),
            ),
            WebhookError::Plugin(error) => error.into(),
            WebhookError::Invalid { at, invalid } => {
                let pointer = format!("/{at}{}", pointer(&invalid.field));
                Self::new(Trouble::Malformed, format!("item {at} of the call: {invalid}"))
                    .at(pointer, invalid.reason)
            }
            WebhookError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::PROBLEM_JSON;
    use axum::http::StatusCode;
    use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
    use axum::response::IntoResponse as _;

    #[test]
    fn what_is_inside_stays_inside() {
        let error = StoreError::Unavailable { during: "append interactions", why: "password=secret".into() };
        let problem = Problem::from(error);
        assert!(!problem.detail.contains("secret"));
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    }

    /// The test kit tells authors the status that a provider will see.
    #[test]
    fn a_provider_sees_the_status_that_the_engine_tells() {
        for fault in Fault::ALL {
            let error = || {
                WebhookError::Plugin(PluginError {
                    plugin: "shop".into(),
                    capability: "connector",
                    call: "receive",
                    fault,
                    message: "no".into(),
                    retry_after: None,
                })
            };
            assert_eq!(Problem::from(error()).status().as_u16(), error().http_status(), "{fault:?}");
        }
    }
}
