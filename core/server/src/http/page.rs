//! Lists, one page at a time: `?limit=&cursor=` in, `{"items":[…],"next_cursor":…}` out.
//!
//! A cursor is opaque. It carries the list and a digest of the filter that it was made for, because going on in
//! another list, or in the same one with another filter, would silently leave things out.

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::problem::{Problem, Trouble, echo};
use super::query::{query_pairs, read_pairs};

/// Items on a page when the caller does not say.
const LIMIT_DEFAULT: usize = 50;
/// Most items on a page: about what a client wants to wait for.
pub const LIMIT_MAX: usize = 500;
/// Bytes of the filter's digest; it tells filters apart, it guards nothing.
const DIGEST_BYTES: usize = 9;

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// Give it as `cursor` to get the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// Parameters that every list takes.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the parameters; `Listing` reads them")]
pub struct PageParams {
    /// Items on the page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; only together with the same filter.
    cursor: Option<String>,
}

/// A list without a filter of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoFilter {}

/// Which page of which list is wanted: a filter `F`, and a position `P` in the list's order.
#[derive(Debug)]
pub struct Listing<F, P> {
    /// What narrows the list.
    pub filter: F,
    /// Items wanted.
    pub limit: usize,
    /// Position of the last item of the page before.
    pub after: Option<P>,
    list: String,
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor<P> {
    list: String,
    filter: String,
    at: P,
}

impl<F, P: Serialize> Listing<F, P> {
    /// How many items to ask for: one more than wanted, so that the last page is known as such.
    pub const fn probe(&self) -> u64 {
        self.limit as u64 + 1
    }

    /// Makes the page from what [`Listing::probe`] asked for; `position` tells where an item stands.
    pub fn page<T>(&self, mut items: Vec<T>, position: impl Fn(&T) -> P) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next_cursor = items.last().filter(|_| more).map(|last| self.cursor(position(last)));
        Page { items, next_cursor }
    }

    fn cursor(&self, at: P) -> String {
        let cursor = Cursor { list: self.list.clone(), filter: self.digest.clone(), at };
        // Positions are numbers and texts, which always can be written.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
    }
}

impl<S, F, P> FromRequestParts<S> for Listing<F, P>
where
    S: Send + Sync,
    F: DeserializeOwned,
    P: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let list = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
        let mut pairs = query_pairs(&parts.uri)?;
        let limit = take(&mut pairs, "limit").map_or(Ok(LIMIT_DEFAULT), |text| read_limit(&text))?;
        let cursor = take(&mut pairs, "cursor");
        pairs.sort();
        let digest = digest(parts.uri.path(), &pairs);
        let after = cursor.map(|text| read_cursor(&text, &list, &digest)).transpose()?;
        Ok(Self { filter: read_pairs(pairs)?, limit, after, list, digest })
    }
}

fn take(pairs: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = pairs.iter().position(|(known, _)| known == name)?;
    Some(pairs.swap_remove(at).1)
}

fn read_limit(text: &str) -> Result<usize, Problem> {
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
        let told = format!("`{}` is no limit: write a whole number from 1 to {LIMIT_MAX}", echo(text));
        Problem::new(Trouble::Malformed, told.clone()).at("limit", told)
    })
}

fn read_cursor<P: DeserializeOwned>(text: &str, list: &str, digest: &str) -> Result<P, Problem> {
    let refused = |told: String| Problem::new(Trouble::Malformed, told.clone()).at("cursor", told);
    let unknown =
        || refused("this is no cursor; give the next_cursor of the page before, or leave it out".into());
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown())?;
    // The list is looked at first: the position of another list need not even be readable as one of this list.
    let cursor: Cursor<serde_json::Value> = serde_json::from_slice(&json).map_err(|_| unknown())?;
    if cursor.list != list {
        return Err(refused(format!(
            "this cursor belongs to the list {}, not to {list}",
            echo(&cursor.list)
        )));
    }
    if cursor.filter != digest {
        return Err(refused(
            "this cursor was made for another filter; repeat that filter, or leave the cursor out".into(),
        ));
    }
    serde_json::from_value(cursor.at).map_err(|_| unknown())
}

fn digest(path: &str, filter: &[(String, String)]) -> String {
    let mut hash = Sha256::new();
    for part in
        [path].into_iter().chain(filter.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]))
    {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..DIGEST_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        #[allow(dead_code, reason = "only its name counts here")]
        kind: Option<String>,
    }

    async fn listing(uri: &str) -> Result<Listing<Filter, i64>, Problem> {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).expect("a request").into_parts();
        Listing::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn pages_go_on_where_the_last_one_ended() {
        let first = listing("/a?limit=2&kind=x").await.expect("a listing");
        let page = first.page(vec![1, 2, 3], |item| *item);
        assert_eq!(page.items, [1, 2]);
        let cursor = page.next_cursor.expect("more");
        let second = listing(&format!("/a?kind=x&limit=2&cursor={cursor}")).await.expect("a listing");
        assert_eq!(second.after, Some(2));
        assert!(second.page(vec![3], |item| *item).next_cursor.is_none());
        for other in [format!("/a?kind=y&cursor={cursor}"), format!("/b?kind=x&cursor={cursor}")] {
            assert!(listing(&other).await.is_err(), "{other}");
        }
    }

    #[tokio::test]
    async fn bad_parameters_are_refused() {
        for query in ["limit=0", "limit=501", "limit=x", "limit=-1", "cursor=x", "cursor=%00", "surprise=1"] {
            assert!(listing(&format!("/a?{query}")).await.is_err(), "{query}");
        }
    }
}
