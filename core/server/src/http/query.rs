//! Names in the path and parameters of the query, read strictly.

use std::ops::Deref;

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::body::{flaw, pointer_of};
use super::problem::{Flaw, Problem, Trouble, echo};

/// What the path names. A name that cannot be one is a thing that is not there.
#[derive(Debug)]
pub struct Target<T>(pub T);

impl<T> Deref for Target<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Target<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // PostgreSQL cannot hold a NUL character, so nothing that is stored has one in its name.
        if parts.uri.path().contains("%00") {
            return Err(Problem::new(Trouble::NotFound, "no name has a NUL character"));
        }
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Problem::new(Trouble::NotFound, echo_rejection(&rejection.body_text()))),
        }
    }
}

fn echo_rejection(text: &str) -> String {
    let text = text.strip_prefix("Invalid URL: ").unwrap_or(text);
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Parameters of a query, each at most once.
pub fn query_pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let raw = uri.query().unwrap_or_default();
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|why| Problem::new(Trouble::Malformed, format!("the query cannot be read: {why}")))?;
    // Bytes that are no UTF-8 come out as the replacement character; one that the caller sent itself may stay.
    let replaced = pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}'));
    if replaced && !raw.to_ascii_uppercase().contains("%EF%BF%BD") {
        return Err(Problem::new(Trouble::Malformed, "the query is not UTF-8"));
    }
    for (at, (name, value)) in pairs.iter().enumerate() {
        // PostgreSQL cannot hold this character, so nothing that is stored has it.
        if value.contains('\0') {
            let told = format!("the parameter `{}` has a NUL character", echo(name));
            return Err(Problem::new(Trouble::Malformed, told.clone()).at(name, told));
        }
        if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
            let told = format!("the parameter `{}` is given twice", echo(name));
            return Err(Problem::new(Trouble::Malformed, told.clone()).at(name, told));
        }
    }
    Ok(pairs)
}

/// Reads parameters into a `T`, whose fields all read from text; unknown names are refused.
pub fn read_pairs<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Problem> {
    let object = pairs.into_iter().map(|(name, value)| (name, serde_json::Value::String(value))).collect();
    serde_path_to_error::deserialize(serde_json::Value::Object(object)).map_err(|error| {
        let Flaw { pointer, detail } = flaw(pointer_of(error.path()), error.inner());
        let name = pointer.trim_start_matches('/').to_owned();
        Problem::new(Trouble::Malformed, format!("the query parameter `{}`: {detail}", echo(&name)))
            .at(name, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_strictly() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Filter {
            since: Option<regard_model::Timestamp>,
        }
        let read = |query: &str| {
            let uri: Uri = format!("/x?{query}").parse().expect("a path");
            query_pairs(&uri).and_then(read_pairs::<Filter>)
        };
        assert!(read("since=1997-01-01").expect("read").since.is_some());
        assert!(read("").expect("read").since.is_none());
        for wrong in [
            "since=yesterday",
            "sinc=1997-01-01",
            "since=1997-01-01&since=1998-01-01",
            "since=%FF",
            "since=%00",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
