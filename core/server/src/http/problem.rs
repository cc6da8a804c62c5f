//! What a caller is told when something cannot be done: problem details after RFC 9457.
//!
//! A problem has an outside and an inside. The outside is the document; it names what is wrong, where, and how to
//! mend it. The inside is what the driver or the guest said; it is only logged, together with the request's id.
//! [`causes`] tells which failure of store, plugin or evaluation becomes which problem.

mod causes;

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Longest piece of a caller's own text that is shown back, in characters.
const ECHO_CHARS_MAX: usize = 64;

/// The kinds of problems. The slug is part of the interface; titles may be reworded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The request cannot be read: no JSON, wrong type, unknown field.
    Malformed,
    /// No token, or one that is not valid.
    Unauthenticated,
    /// The token's role does not allow it.
    Forbidden,
    /// Nothing is there.
    NotFound,
    /// Something is there, but it does not take this method.
    MethodNotAllowed,
    /// Somebody else changed it meanwhile, or a unique value is taken.
    Conflict,
    /// The body is larger than this call takes.
    TooLarge,
    /// The body is in a format that this call does not read.
    UnsupportedMediaType,
    /// The request can be read, but breaks a rule.
    Invalid,
    /// The idempotency key was used for another request before.
    KeyReused,
    /// A plugin asks to slow down.
    Throttled,
    /// A defect here.
    Internal,
    /// A plugin failed.
    PluginFailed,
    /// Something that is needed does not answer at the moment.
    Unavailable,
    /// The request took longer than it may.
    Timeout,
}

impl Trouble {
    /// Slug, title and status.
    const fn row(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Malformed => ("malformed", "The request cannot be read", StatusCode::BAD_REQUEST),
            Self::Unauthenticated => ("unauthenticated", "A valid token is needed", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "The role does not allow this", StatusCode::FORBIDDEN),
            Self::NotFound => ("not-found", "There is nothing here", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "The method is not taken here", StatusCode::METHOD_NOT_ALLOWED)
            }
            Self::Conflict => ("conflict", "The request conflicts with what is stored", StatusCode::CONFLICT),
            Self::TooLarge => ("too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", "The format is not taken here", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::Invalid => ("invalid", "The request breaks a rule", StatusCode::UNPROCESSABLE_ENTITY),
            Self::KeyReused => (
                "idempotency-key-reused",
                "The key belongs to another request",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::Throttled => ("throttled", "Too many requests", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("internal", "The server failed", StatusCode::INTERNAL_SERVER_ERROR),
            Self::PluginFailed => ("plugin-failed", "A plugin failed", StatusCode::BAD_GATEWAY),
            Self::Unavailable => ("unavailable", "Try again in a moment", StatusCode::SERVICE_UNAVAILABLE),
            Self::Timeout => ("timeout", "The request took too long", StatusCode::GATEWAY_TIMEOUT),
        }
    }
}

/// One value of the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Flaw {
    /// Where it stands: a JSON pointer into the body (RFC 6901), or the name of a query parameter.
    #[schema(example = "/amount/currency")]
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Problem details after RFC 9457, as `application/problem+json`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Names the kind of problem: `urn:regard:problem:<slug>`.
    #[serde(rename = "type")]
    #[schema(example = "urn:regard:problem:invalid")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What is wrong, where, and how to mend it.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// The values that are wrong, where single ones can be named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Flaw>,
}

/// Why a request was not served.
#[derive(Debug)]
pub struct Problem {
    trouble: Trouble,
    detail: Cow<'static, str>,
    errors: Vec<Flaw>,
    inside: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem with its outside message.
    pub fn new(trouble: Trouble, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { trouble, detail: detail.into(), errors: Vec::new(), inside: None, retry_after: None }
    }

    /// A defect here: the caller learns only that there is one.
    pub fn internal(inside: impl std::fmt::Display) -> Self {
        Self::new(Trouble::Internal, "the server failed; its log tells more under this request's id")
            .inside(inside)
    }

    /// Nothing called `name` is there.
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(Trouble::NotFound, format!("there is no {what} `{}`", echo(&name.to_string())))
    }

    /// Names the value that is wrong.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(Flaw { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Adds what is only logged.
    #[must_use]
    pub fn inside(mut self, inside: impl std::fmt::Display) -> Self {
        self.inside = Some(inside.to_string());
        self
    }

    /// Says when it makes sense to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The status that the caller gets.
    pub const fn status(&self) -> StatusCode {
        self.trouble.row().2
    }
}

/// What is only logged, on its way to where the request's id is known: [`super::watch`].
#[derive(Debug, Clone)]
pub struct Inside(pub String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (slug, title, status) = self.trouble.row();
        let document = ProblemDocument {
            kind: format!("urn:regard:problem:{slug}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let mut response = (status, axum::Json(document)).into_response();
        if let Some(inside) = self.inside {
            response.extensions_mut().insert(Inside(inside));
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"regard\""));
        }
        if let Some(after) = self.retry_after {
            // Retry-After counts whole seconds; a pause of zero would invite a storm.
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}

/// The path of an [`Invalid`](regard_model::Invalid) as a JSON pointer: `amount.currency` is `/amount/currency`.
pub fn pointer(field: &str) -> String {
    if field.is_empty() {
        return String::new();
    }
    field.split('.').fold(String::new(), |pointer, part| pointer + "/" + &escape(part))
}

/// A name as one step of a JSON pointer (RFC 6901, section 3).
pub fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// A caller's text, short and without characters that a terminal would act on.
pub fn echo(text: &str) -> String {
    let mut shown: String = text.chars().take(ECHO_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(ECHO_CHARS_MAX).is_some() {
        shown.push('\u{2026}');
    }
    shown
}

/// Answers for every path that no route has.
pub async fn no_route(uri: Uri) -> Problem {
    Problem::new(
        Trouble::NotFound,
        format!("there is nothing at {}; GET /openapi.json lists every path", echo(uri.path())),
    )
}

/// Answers for every method that a route does not have; axum adds `Allow`.
pub async fn no_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Trouble::MethodNotAllowed,
        format!("{} does not take {method}; the header Allow lists what it takes", echo(uri.path())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_pointers() {
        assert_eq!(pointer(""), "");
        assert_eq!(pointer("amount.currency"), "/amount/currency");
        assert_eq!(pointer("attributes.a/b~c"), "/attributes/a~1b~0c");
    }

    #[test]
    fn echoes_are_short_and_harmless() {
        assert_eq!(echo("a\u{1b}[31m"), "a\\u{1b}[31m");
        assert_eq!(echo(&"x".repeat(100)).chars().count(), ECHO_CHARS_MAX + 1);
    }
}
