//! How a command reaches the API: the same routes, in this process or over the network.
//!
//! A command is written once, as a client of the API. Without `--server` the router answers in this process, as if an
//! administrator had called, over the store that `--data-dir` or `--database-url` names.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use regard_engine::import::ImportMark;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::app::App;
use crate::config::{Config, Reach};
use crate::http::{self, Principal};
use crate::import::map::{Shape, Target};
use crate::import::rows::RowValue;
use crate::import::sink::{Sink, Stored};

/// Largest answer that is read, in bytes: a page of 500 large interactions stays well below.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A way to the API.
pub enum Client {
    /// In this process.
    Local {
        /// The parts.
        app: Arc<App>,
        /// The routes.
        router: Router,
    },
    /// A running server.
    Remote {
        /// Connections.
        http: reqwest::Client,
        /// Its address, without a slash at the end.
        server: String,
        /// Bearer token.
        token: String,
    },
}

impl Client {
    /// The way that the flags name; `--server` goes before a place that the environment may name.
    pub async fn open(reach: &Reach) -> Result<Self> {
        let Some(server) = &reach.server else {
            let app = App::open(&Config::settle(&reach.place, None)?).await?;
            return Ok(Self::local(app));
        };
        // A second initialisation is refused and harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self::Remote {
            http: reqwest::Client::new(),
            server: server.trim_end_matches('/').to_owned(),
            token: reach.token.clone().context("--server needs --token")?,
        })
    }

    /// The API of `app` in this process.
    pub fn local(app: Arc<App>) -> Self {
        Self::Local { router: http::router(app.clone()), app }
    }

    /// Calls the API below `/api/v1`. An error carries the problem's detail.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| body.to_string());
        let (status, bytes) =
            self.exchange(method, path, "application/json", body.unwrap_or_default()).await?;
        let value: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).with_context(|| format!("{path} did not answer with JSON"))?
        };
        if status.is_success() {
            return Ok(value);
        }
        bail!("{}", problem_text(status, &value))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: String,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let path = format!("/api/v1{path}");
        match self {
            Self::Local { router, .. } => {
                let request = Request::builder()
                    .method(method)
                    .uri(&path)
                    .header("content-type", kind)
                    .extension(Principal::local())
                    .body(Body::from(body))?;
                let response = router.clone().oneshot(request).await?;
                let status = response.status();
                Ok((status, to_bytes(response.into_body(), ANSWER_BYTES_MAX).await?.to_vec()))
            }
            Self::Remote { http, server, token } => {
                let response = http
                    .request(method, format!("{server}{path}"))
                    .bearer_auth(token)
                    .header("content-type", kind)
                    .body(body)
                    .send()
                    .await
                    .with_context(|| format!("cannot reach {server}"))?;
                Ok((response.status(), response.bytes().await?.to_vec()))
            }
        }
    }

    /// Every item of a list, page by page.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = self.call(Method::GET, &format!("{path}{joint}limit=500{cursor}"), None).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    /// Where imported rows go. A channel that the map names and nobody made yet is made.
    pub async fn sink(&self, request: &crate::import::Request) -> Result<Box<dyn Sink + '_>> {
        if let Some(Target::Interaction { channel, .. }) = request.map.as_ref().map(|map| &map.target)
            && let Some(name) = channel.literal()
        {
            let known = self.list("/channels").await?.iter().any(|known| known["name"] == name);
            if !known {
                self.call(Method::POST, "/channels", Some(json!({ "name": name, "kind": name }))).await?;
            }
        }
        Ok(match self {
            Self::Local { app, .. } => Box::new(Direct(app.clone())),
            Self::Remote { .. } if request.shape == Shape::Interactions => Box::new(Through(self)),
            Self::Remote { .. } => {
                bail!("customers are imported into the store directly: give --data-dir or --database-url")
            }
        })
    }
}

fn problem_text(status: StatusCode, problem: &Value) -> String {
    let mut text = problem["detail"]
        .as_str()
        .or_else(|| problem["title"].as_str())
        .unwrap_or(status.as_str())
        .to_owned();
    for error in problem["errors"].as_array().into_iter().flatten() {
        let (pointer, detail) =
            (error["pointer"].as_str().unwrap_or_default(), error["detail"].as_str().unwrap_or_default());
        text.push_str(&format!("\n  {pointer}: {detail}"));
    }
    text
}

/// Into the store of this process; rows and the import's place commit together.
struct Direct(Arc<App>);

#[async_trait]
impl Sink for Direct {
    async fn resume(&self, key: &str) -> Result<Option<ImportMark>> {
        self.0.resume(key).await
    }

    async fn store(&self, rows: Vec<RowValue>, mark: &ImportMark) -> Result<Vec<Stored>> {
        Sink::store(self.0.as_ref(), rows, mark).await
    }
}

/// Through a running server. It keeps no place: an import that was broken off starts anew, and what is there already is
/// a duplicate.
struct Through<'a>(&'a Client);

#[async_trait]
impl Sink for Through<'_> {
    async fn resume(&self, _: &str) -> Result<Option<ImportMark>> {
        Ok(None)
    }

    async fn store(&self, rows: Vec<RowValue>, _: &ImportMark) -> Result<Vec<Stored>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut lines = String::new();
        for row in &rows {
            if let RowValue::Interaction(submission) = row {
                lines.push_str(&serde_json::to_string(submission)?);
                lines.push('\n');
            }
        }
        let (status, bytes) =
            self.0.exchange(Method::POST, "/interactions", "application/x-ndjson", lines).await?;
        let answer: Value =
            serde_json::from_slice(&bytes).context("/interactions did not answer with JSON")?;
        if !status.is_success() {
            bail!("{}", problem_text(status, &answer));
        }
        let outcome = |item: &Value| match item["status"].as_str() {
            Some("accepted") => Stored::Accepted,
            Some("duplicate") => Stored::Duplicate,
            _ => Stored::Rejected(item["reason"].as_str().unwrap_or("refused").to_owned()),
        };
        Ok(answer["items"].as_array().into_iter().flatten().map(outcome).collect())
    }
}
