//! Bodies, read strictly.
//!
//! Whatever is wrong is named with its place: line and column where the text is no JSON, a JSON pointer where it is
//! JSON of the wrong form.

use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::problem::{Flaw, Problem, Trouble, echo, escape};

/// Largest body of an ordinary call, in bytes: a customer or a message is far smaller.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that are read and dropped behind a body that is too large. A client that still sends when the answer
/// comes sees a broken connection instead of the answer, so most of them get the chance to finish.
const DRAIN_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Reads a body of at most `limit` bytes.
pub async fn read_body(body: axum::body::Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut read = BytesMut::new();
    let mut over = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|why| {
            Problem::new(Trouble::Malformed, "the body broke off before its end").inside(why)
        })?;
        if over > 0 || read.len() + chunk.len() > limit {
            read.clear();
            over += chunk.len();
            if over > DRAIN_BYTES_MAX {
                break;
            }
            continue;
        }
        read.extend_from_slice(&chunk);
    }
    if over > 0 {
        return Err(Problem::new(
            Trouble::TooLarge,
            format!("the body is larger than the {limit} bytes that this call takes; split it"),
        ));
    }
    Ok(read.freeze())
}

/// A JSON body of at most `LIMIT` bytes, read into a `T`.
#[derive(Debug)]
pub struct Input<T, const LIMIT: usize = BODY_BYTES_MAX>(pub T);

impl<S: Sync, T: DeserializeOwned, const LIMIT: usize> FromRequest<S> for Input<T, LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let format = BodyFormat::of(request.headers());
        if format != BodyFormat::Json {
            return Err(format.refused("application/json"));
        }
        read_json(&read_body(request.into_body(), LIMIT).await?).map(Self)
    }
}

/// A call whose body may be left out altogether.
impl<S: Sync, T: DeserializeOwned, const LIMIT: usize> OptionalFromRequest<S> for Input<T, LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, Problem> {
        let format = BodyFormat::of(request.headers());
        let body = read_body(request.into_body(), LIMIT).await?;
        if body.is_empty() {
            return Ok(None);
        }
        if format != BodyFormat::Json {
            return Err(format.refused("application/json"));
        }
        read_json(&body).map(|value| Some(Self(value)))
    }
}

/// The formats of bodies that some call reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/json`, or a type whose name ends in `+json`.
    Json,
    /// One JSON value per line.
    NdJson,
    /// Anything else, as the header names it; empty without a header.
    Other(String),
}

impl BodyFormat {
    /// Tells the format from `Content-Type`.
    pub fn of(headers: &HeaderMap) -> Self {
        let header = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let header = header.unwrap_or_default();
        let media_type = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" => Self::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::NdJson,
            other if other.starts_with("application/") && other.ends_with("+json") => Self::Json,
            _ => Self::Other(media_type),
        }
    }

    /// The answer when a call reads only `taken`.
    pub fn refused(&self, taken: &str) -> Problem {
        let told = match self {
            Self::Other(none) if none.is_empty() => {
                format!("the header Content-Type is missing; send {taken}")
            }
            Self::Other(other) => format!("this call does not read `{}`; send {taken}", echo(other)),
            Self::Json => format!("this call does not read JSON; send {taken}"),
            Self::NdJson => format!("this call does not read newline-delimited JSON; send {taken}"),
        };
        Problem::new(Trouble::UnsupportedMediaType, told)
    }
}

/// Reads JSON into a `T`; a defect is named with its place.
pub fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    check_utf8(json)?;
    // Serde would also read a structure from a list of its fields in order, which nobody means.
    if json.trim_ascii_start().first() == Some(&b'[') {
        serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|error| no_json(&error))?;
        return Err(Problem::new(
            Trouble::Malformed,
            "the body is not of the right form: expected an object, not a list",
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer_of(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            let Flaw { pointer, detail } = flaw(pointer, &inner);
            Problem::new(Trouble::Malformed, format!("the body is not of the right form: {detail}"))
                .at(pointer, detail)
        } else {
            no_json(&inner)
        }
    })?;
    reader.end().map_err(|error| no_json(&error))?;
    Ok(value)
}

/// Refuses a body that is not UTF-8, which RFC 8259 asks of JSON.
pub fn check_utf8(text: &[u8]) -> Result<(), Problem> {
    std::str::from_utf8(text).map(drop).map_err(|error| {
        Problem::new(
            Trouble::Malformed,
            format!("the body is not UTF-8: the byte at {} fits nowhere", error.valid_up_to()),
        )
    })
}

/// The problem of a body that is not JSON at all.
pub fn no_json(error: &serde_json::Error) -> Problem {
    Problem::new(Trouble::Malformed, format!("the body is no JSON: {error}"))
}

/// A value of the wrong form, with its place.
pub fn flaw(pointer: String, error: &serde_json::Error) -> Flaw {
    let text = error.to_string();
    let detail = text.split(" at line ").next().unwrap_or_default();
    // Names of our types say nothing to a caller.
    let detail = match detail.find("expected struct ") {
        Some(at) => format!("{}expected an object", &detail[..at]),
        None => detail.replace("expected i64", "expected a whole number"),
    };
    Flaw { pointer, detail }
}

/// The place as a JSON pointer.
pub fn pointer_of(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", escape(key)),
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use regard_engine::inbound::Submission;

    async fn told<T: DeserializeOwned>(json: &[u8]) -> serde_json::Value {
        let problem = read_json::<T>(json).err().expect("refused");
        let body = read_body(problem.into_response().into_body(), BODY_BYTES_MAX).await.expect("a body");
        serde_json::from_slice(&body).expect("a document")
    }

    #[tokio::test]
    async fn defects_are_named_with_their_place() {
        let good = r#"{"channel":"shop","external_id":"1","kind":"order.placed","occurred_at":"1997-01-01""#;
        let form =
            told::<Submission>(format!(r#"{good},"amount":{{"minor":"1","currency":"USD"}}}}"#).as_bytes())
                .await;
        assert_eq!(form["errors"][0]["pointer"], "/amount/minor", "{form}");
        let unknown = told::<Submission>(format!(r#"{good},"amount":{{"minus":1}}}}"#).as_bytes()).await;
        assert_eq!(unknown["errors"][0]["pointer"], "/amount/minus", "{unknown}");
        let syntax = told::<Submission>(b"{\n \"channel\": }").await;
        assert!(syntax["detail"].as_str().is_some_and(|text| text.contains("line 2 column 13")), "{syntax}");
        let trailing = told::<Submission>(format!("{good}}} x").as_bytes()).await;
        assert!(
            trailing["detail"].as_str().is_some_and(|text| text.contains("trailing characters")),
            "{trailing}"
        );
        let bytes = told::<Submission>(b"{\"channel\": \"\xff\"}").await;
        assert!(bytes["detail"].as_str().is_some_and(|text| text.contains("not UTF-8")), "{bytes}");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_after_it_was_read() {
        let body = axum::body::Body::from(vec![b'x'; 100]);
        assert_eq!(read_body(body, 99).await.expect_err("too large").status(), 413);
        assert!(read_body(axum::body::Body::from(vec![b'x'; 99]), 99).await.is_ok());
    }
}
