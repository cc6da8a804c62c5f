//! Outbound HTTP for plugins: which addresses may be reached, how much may come back.
//!
//! Redirects are not followed here: the caller checks each hop against the grants. Addresses are checked by the
//! resolver that the connection itself uses, so a name cannot point somewhere public when it is checked and somewhere
//! private when it is dialled.
//!
//! What carries a request out is a [`Transport`]: the network, or answers that somebody recorded. Grants, methods, headers
//! and sizes are checked before it is asked.

mod address;

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use regard_engine::Fault;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, StatusCode, Url};

use address::is_public;

/// Largest response body that is read, in bytes; a page of any API is far below.
const RESPONSE_BYTES_MAX: usize = 16 << 20;
/// Largest request body, in bytes.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Most headers in a request.
const HEADERS_MAX: usize = 64;
/// Time to connect; a host that does not answer by then will not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections kept per host.
const IDLE_PER_HOST_MAX: usize = 4;
/// Headers that belong to the connection, not to the request.
const HEADERS_OF_THE_HOST: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "proxy-authorization"];
/// Headers that are for the first host only and must not follow a redirect to another one.
const HEADERS_OF_ONE_HOST: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A request as a plugin makes it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How long the plugin waits; within what is left of its call.
    pub timeout: Option<Duration>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Where a host may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// At public addresses only.
    PublicOnly,
    /// Anywhere: the operator granted this host and port.
    Granted,
}

/// One hop of a request.
pub(crate) enum Step {
    /// The answer.
    Done(Response),
    /// Another place to ask; the caller checks it first.
    Redirect(Request),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The name leads to an address that is not public.
    PrivateAddress(String),
    /// Anything else.
    Failed(Fault, String),
}

impl Refused {
    /// Nothing came back in time.
    pub fn timed_out() -> Self {
        Self::Failed(Fault::Unavailable, "did not answer in time".to_owned())
    }
}

/// Carries one hop of a request and brings what came back; follows no redirect.
#[async_trait]
pub trait Transport: std::fmt::Debug + Send + Sync {
    /// The request is within its bounds and its host is granted; `reach` says where that host may be.
    async fn exchange(&self, request: &Request, reach: Reach) -> Result<Response, Refused>;
}

/// Outbound HTTP of all plugins.
#[derive(Debug)]
pub(crate) struct Http(Arc<dyn Transport>);

impl Http {
    /// Over `transport`, or else over the network.
    pub(crate) fn new(transport: Option<Arc<dyn Transport>>) -> Self {
        Self(transport.unwrap_or_else(|| Arc::new(Network::default())))
    }

    /// Makes one hop. The caller has checked host and port against the grants.
    pub(crate) async fn send(&self, request: &Request, url: &Url, reach: Reach) -> Result<Step, Refused> {
        // An address in the URL is dialled without asking the resolver.
        if let Some(address) =
            literal(url).filter(|&address| reach == Reach::PublicOnly && !is_public(address))
        {
            return Err(Refused::PrivateAddress(address.to_string()));
        }
        let method = method(request)?;
        if request.body.len() > REQUEST_BYTES_MAX {
            return Err(invalid(format!("body: {} bytes, at most {REQUEST_BYTES_MAX}", request.body.len())));
        }
        headers(&request.headers).map_err(invalid)?;
        let response = self.0.exchange(request, reach).await?;
        if response.body.len() > RESPONSE_BYTES_MAX {
            return Err(too_long());
        }
        if let Some(next) = redirected(request, &method, url, &response) {
            return next.map(Step::Redirect);
        }
        Ok(Step::Done(response))
    }
}

fn invalid(why: String) -> Refused {
    Refused::Failed(Fault::Invalid, why)
}

fn too_long() -> Refused {
    Refused::Failed(Fault::Exhausted, format!("the answer is longer than {RESPONSE_BYTES_MAX} bytes"))
}

fn method(request: &Request) -> Result<Method, Refused> {
    Method::from_bytes(request.method.as_bytes()).map_err(|why| invalid(format!("method: {why}")))
}

/// The connections of all plugins; built at the first request, since most installations start without one.
#[derive(Debug, Default)]
struct Network {
    public: OnceLock<Client>,
    granted: OnceLock<Client>,
}

#[async_trait]
impl Transport for Network {
    async fn exchange(&self, request: &Request, reach: Reach) -> Result<Response, Refused> {
        let client = match reach {
            Reach::PublicOnly => client(&self.public, Some(Arc::new(PublicOnly)))?,
            Reach::Granted => client(&self.granted, None)?,
        };
        let response = client
            .request(method(request)?, &request.url)
            .headers(headers(&request.headers).map_err(invalid)?)
            .body(request.body.clone())
            .timeout(request.timeout.unwrap_or(CONNECT_TIMEOUT))
            .send()
            .await
            .map_err(refused)?;
        read(response).await
    }
}

fn client(cell: &OnceLock<Client>, resolver: Option<Arc<PublicOnly>>) -> Result<&Client, Refused> {
    if let Some(client) = cell.get() {
        return Ok(client);
    }
    // Fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // A proxy from the environment would dial in our place, past the check of addresses.
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .user_agent(concat!("regard/", env!("CARGO_PKG_VERSION")));
    if let Some(resolver) = resolver {
        builder = builder.dns_resolver(resolver);
    }
    let built = builder.build().map_err(|why| Refused::Failed(Fault::Unavailable, chain(why)))?;
    Ok(cell.get_or_init(|| built))
}

/// Resolves names and drops nothing silently: one address that is not public refuses the whole name.
struct PublicOnly;

#[derive(Debug, thiserror::Error)]
#[error("{0} is not a public address")]
struct NotPublic(IpAddr);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(hidden) = found.iter().find(|address| !is_public(address.ip())) {
                return Err(NotPublic(hidden.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, String> {
    if given.len() > HEADERS_MAX {
        return Err(format!("headers: {} given, at most {HEADERS_MAX}", given.len()));
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let header: HeaderName = name.parse().map_err(|_| format!("headers: `{name}` is no header name"))?;
        if HEADERS_OF_THE_HOST.contains(&header.as_str()) || header == HOST {
            return Err(format!("headers: `{name}` is set by the host"));
        }
        let value: HeaderValue =
            value.parse().map_err(|_| format!("headers: the value of `{name}` is no header value"))?;
        headers.append(header, value);
    }
    Ok(headers)
}

/// Whether an answer with this status may be a redirect that is followed.
const fn leads_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The request that a redirect asks for; `None` when the response is no redirect.
fn redirected(
    request: &Request,
    method: &Method,
    url: &Url,
    response: &Response,
) -> Option<Result<Request, Refused>> {
    let keeps_method = match StatusCode::from_u16(response.status).ok()? {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            response.status != StatusCode::SEE_OTHER.as_u16() && matches!(*method, Method::GET | Method::HEAD)
        }
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return None,
    };
    let is_location = |name: &String| name.eq_ignore_ascii_case(LOCATION.as_str());
    let (_, location) = response.headers.iter().find(|(name, _)| is_location(name))?;
    let next = url.join(location).ok();
    let Some(next) = next else {
        return Some(Err(Refused::Failed(Fault::Unavailable, "redirects to no address".to_owned())));
    };
    let mut request = request.clone();
    let origin_stays = next.origin() == url.origin();
    request.headers.retain(|(name, _)| {
        let name = name.to_ascii_lowercase();
        (origin_stays || !HEADERS_OF_ONE_HOST.contains(&name.as_str()))
            && (keeps_method || !name.starts_with("content-"))
    });
    if !keeps_method {
        request.method = if *method == Method::HEAD { "HEAD" } else { "GET" }.to_owned();
        request.body = Bytes::new();
    }
    request.url = next.into();
    Some(Ok(request))
}

async fn read(mut response: reqwest::Response) -> Result<Response, Refused> {
    let status = response.status().as_u16();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers =
        response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let mut body = Vec::new();
    // What stands in a redirect is not read: nobody would see it.
    if leads_on(response.status()) && response.headers().contains_key(LOCATION) {
        return Ok(Response { status, headers, body });
    }
    while let Some(chunk) = response.chunk().await.map_err(refused)? {
        if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status, headers, body })
}

fn refused(why: reqwest::Error) -> Refused {
    let mut cause = why.source();
    while let Some(error) = cause {
        if let Some(NotPublic(address)) = error.downcast_ref() {
            return Refused::PrivateAddress(address.to_string());
        }
        cause = error.source();
    }
    if why.is_timeout() { Refused::timed_out() } else { Refused::Failed(Fault::Unavailable, chain(why)) }
}

/// reqwest's own words say little; the causes say the rest. The address is left out: some providers want their token in it,
/// and whoever asked says the host.
fn chain(why: reqwest::Error) -> String {
    let why = why.without_url();
    let mut words = why.to_string();
    let mut cause = why.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_are_refused() {
        let given = |name: &str, value: &str| headers(&[(name.to_owned(), value.to_owned())]);
        assert!(given("accept", "text/plain").is_ok());
        for (name, value) in [("Host", "x"), ("content-length", "1"), ("a b", "x"), ("x", "a\r\nb: c")] {
            assert!(given(name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn addresses_in_urls_are_seen() {
        for url in ["http://127.0.0.1/", "http://[::1]:80/", "http://0x7f.1/", "http://2130706433/"] {
            let url = Url::parse(url).expect("a url");
            assert!(literal(&url).is_some_and(|address| !is_public(address)), "{url}");
        }
        assert_eq!(literal(&Url::parse("http://example.com/").expect("a url")), None);
    }
}
