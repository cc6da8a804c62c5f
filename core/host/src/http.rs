//! Outbound HTTP for plugins: which addresses may be reached, how much may come back.
//!
//! Redirects are not followed here: the caller checks each hop against the grants. Addresses are checked by the
//! resolver that the connection itself uses, so a name cannot point somewhere public when it is checked and somewhere
//! private when it is dialled.

mod address;

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use regard_engine::Fault;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue};
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
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) timeout: Option<Duration>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Where a host may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
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
pub(crate) enum Refused {
    /// The name leads to an address that is not public.
    PrivateAddress(String),
    /// Anything else.
    Failed(Fault, String),
}

/// The connections of all plugins; built at the first request, since most installations start without one.
#[derive(Default)]
pub(crate) struct Http {
    public: OnceLock<Client>,
    granted: OnceLock<Client>,
}

impl Http {
    /// Makes one hop. The caller has checked host and port against the grants.
    pub(crate) async fn send(&self, request: &Request, url: &Url, reach: Reach) -> Result<Step, Refused> {
        let client = match reach {
            Reach::PublicOnly => {
                // An address in the URL is dialled without asking the resolver.
                if let Some(address) = literal(url).filter(|&address| !is_public(address)) {
                    return Err(Refused::PrivateAddress(address.to_string()));
                }
                client(&self.public, Some(Arc::new(PublicOnly)))?
            }
            Reach::Granted => client(&self.granted, None)?,
        };
        let invalid = |why: String| Refused::Failed(Fault::Invalid, why);
        let method =
            Method::from_bytes(request.method.as_bytes()).map_err(|why| invalid(format!("method: {why}")))?;
        if request.body.len() > REQUEST_BYTES_MAX {
            return Err(invalid(format!("body: {} bytes, at most {REQUEST_BYTES_MAX}", request.body.len())));
        }
        let headers = headers(&request.headers).map_err(invalid)?;
        let response = client
            .request(method.clone(), url.clone())
            .headers(headers)
            .body(request.body.clone())
            .timeout(request.timeout.unwrap_or(CONNECT_TIMEOUT))
            .send()
            .await
            .map_err(|why| refused(&why))?;
        if let Some(next) = redirected(request, &method, url, &response) {
            return next.map(Step::Redirect);
        }
        read(response).await.map(Step::Done)
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
    let built = builder.build().map_err(|why| Refused::Failed(Fault::Unavailable, chain(&why)))?;
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

/// The request that a redirect asks for; `None` when the response is no redirect.
fn redirected(
    request: &Request,
    method: &Method,
    url: &Url,
    response: &reqwest::Response,
) -> Option<Result<Request, Refused>> {
    let keeps_method = match response.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            response.status() != StatusCode::SEE_OTHER && matches!(*method, Method::GET | Method::HEAD)
        }
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return None,
    };
    let location = response.headers().get(reqwest::header::LOCATION)?;
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
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
    while let Some(chunk) = response.chunk().await.map_err(|why| refused(&why))? {
        if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
            let why = format!("the answer is longer than {RESPONSE_BYTES_MAX} bytes");
            return Err(Refused::Failed(Fault::Exhausted, why));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status, headers, body })
}

fn refused(why: &reqwest::Error) -> Refused {
    let mut cause = why.source();
    while let Some(error) = cause {
        if let Some(NotPublic(address)) = error.downcast_ref() {
            return Refused::PrivateAddress(address.to_string());
        }
        cause = error.source();
    }
    let words = if why.is_timeout() { "did not answer in time".to_owned() } else { chain(why) };
    Refused::Failed(Fault::Unavailable, words)
}

/// reqwest's own words say little; the causes say the rest.
fn chain(why: &reqwest::Error) -> String {
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
