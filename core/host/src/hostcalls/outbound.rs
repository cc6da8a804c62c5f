//! `http.send` as host function: the grant, the way through redirects, the audit.

use regard_engine::Fault;
use reqwest::Url;

use super::{CallError, Stop};
use crate::call::{CallContext, Interface};
use crate::http::{Reach, Refused, Request, Response, Step};
use crate::limits::LimitHit;

/// Hops that one request may be sent on; browsers follow 20, an API needs one or two.
const REDIRECTS_MAX: usize = 5;

impl CallContext {
    /// `http.send`. Connectors and hooks, to the hosts in `permissions.hosts` and to the private addresses that the
    /// operator granted. Every hop of a redirect is checked like the first one.
    pub(crate) async fn send_http(&mut self, mut request: Request) -> Result<Response, Stop> {
        self.enter(Interface::Http).await?;
        let asked = request.timeout.map_or(self.remaining(), |asked| asked.min(self.remaining()));
        let started = std::time::Instant::now();
        for _ in 0..=REDIRECTS_MAX {
            let url = parse_url(&request.url)?;
            let reach = self.reach(&url).await?;
            request.timeout = Some(asked.saturating_sub(started.elapsed()));
            self.spend_http(1, request.body.len())?;
            let services = self.scope.services.clone();
            match services.http.send(&request, &url, reach).await {
                Ok(Step::Done(response)) => {
                    self.spend_http(0, response.body.len())?;
                    return Ok(response);
                }
                Ok(Step::Redirect(next)) => request = next,
                Err(Refused::PrivateAddress(address)) => {
                    let what = format!("{} ({address})", place(&url));
                    return Err(self.deny("http.send", &what, "permissions.private_hosts").await);
                }
                Err(Refused::Failed(fault, why)) => {
                    return Err(CallError::new(fault, format!("{}: {why}", place(&url))).into());
                }
            }
        }
        Err(CallError::new(Fault::Unavailable, format!("redirected more than {REDIRECTS_MAX} times")).into())
    }

    fn spend_http(&mut self, requests: u32, bytes: usize) -> Result<(), LimitHit> {
        self.spent.http_requests += requests;
        self.spent.http_bytes = self.spent.http_bytes.saturating_add(bytes as u64);
        if self.spent.http_requests > self.limits.http_requests {
            return Err(LimitHit::HttpRequests(self.limits.http_requests));
        }
        if self.spent.http_bytes > self.limits.http_bytes {
            return Err(LimitHit::HttpBytes(self.limits.http_bytes));
        }
        Ok(())
    }

    /// Whether the grants let `url` be reached, and if so, where its host may be.
    async fn reach(&mut self, url: &Url) -> Result<Reach, Stop> {
        let (host, port) =
            (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let permissions = &self.scope.permissions;
        if permissions.allows_private_host(host, port) {
            return Ok(Reach::Granted);
        }
        if permissions.allows_host(host, port) {
            return Ok(Reach::PublicOnly);
        }
        Err(self.deny("http.send", &place(url), "permissions.hosts").await)
    }
}

fn parse_url(text: &str) -> Result<Url, Stop> {
    let invalid = |why: &str| CallError::new(Fault::Invalid, format!("url: {why}"));
    let url = Url::parse(text).map_err(|why| invalid(&why.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("begin with https:// or http://").into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("leave user and password out, send an authorization header").into());
    }
    Ok(url)
}

fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}
