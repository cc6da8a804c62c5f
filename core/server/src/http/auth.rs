//! Who calls, and whether the role allows it.
//!
//! A handler says in its signature what it needs: `who: Needs<Writer>`. The extractor runs before the body is read, so
//! a caller without the role learns nothing about the body's rules and costs nothing.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use regard_model::{Role, TokenId};

use super::Site;
use super::problem::{Problem, Trouble};

/// Longest token that is looked up, in bytes; ours are far shorter.
const TOKEN_BYTES_MAX: usize = 256;

/// Whoever calls.
///
/// A program that runs the router in its own process puts one into the request's extensions, which cannot come over
/// the network; every other caller is known by the token that it bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The token it bears; nobody at the command line bears one.
    token: Option<TokenId>,
    role: Role,
}

impl Principal {
    /// The operator at this machine's command line, who may do everything.
    pub const fn local() -> Self {
        Self { token: None, role: Role::Admin }
    }

    /// The bearer of a token.
    pub const fn bearer(id: TokenId, role: Role) -> Self {
        Self { token: Some(id), role }
    }

    /// How the audit log names the caller: `token:<id>` or `cli`.
    pub fn actor(&self) -> String {
        self.token.map_or_else(|| "cli".to_owned(), |id| format!("token:{id}"))
    }

    /// What the caller may do.
    pub const fn role(&self) -> Role {
        self.role
    }
}

impl FromRequestParts<Arc<Site>> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(*known);
        }
        let secret = bearer_secret(parts)?;
        let (id, role) = site.store.verify_token(secret).await?.ok_or_else(|| {
            Problem::new(
                Trouble::Unauthenticated,
                "the token is not known here or was revoked; ask an admin for another",
            )
        })?;
        let principal = Self::bearer(id, role);
        parts.extensions.insert(principal);
        Ok(principal)
    }
}

fn bearer_secret(parts: &Parts) -> Result<&str, Problem> {
    let missing = || {
        Problem::new(
            Trouble::Unauthenticated,
            "send the header `Authorization: Bearer <token>`; `regard token create --role agent` makes a token",
        )
    };
    let header = parts.headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, secret) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let secret = secret.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || secret.is_empty() || secret.len() > TOKEN_BYTES_MAX {
        return Err(missing());
    }
    Ok(secret)
}

/// A set of roles that a handler asks for.
pub trait Allows {
    /// The roles, admin first.
    const ROLES: &'static [Role];
}

/// The caller, whose role is one of `A`'s.
pub struct Needs<A>(Principal, PhantomData<fn() -> A>);

impl<A> std::ops::Deref for Needs<A> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl<A> fmt::Debug for Needs<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<A: Allows> FromRequestParts<Arc<Site>> for Needs<A> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, site).await?;
        if A::ROLES.contains(&principal.role) {
            return Ok(Self(principal, PhantomData));
        }
        let needed = A::ROLES.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or ");
        Err(Problem::new(
            Trouble::Forbidden,
            format!("this call needs the role {needed}; the token has the role {}", principal.role),
        ))
    }
}

macro_rules! allows {
    ($($(#[$doc:meta])* $name:ident: $($role:ident),+;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Allows for $name {
            const ROLES: &'static [Role] = &[$(Role::$role),+];
        }
    )*};
}

allows! {
    /// Runs the system: channels, plugins, tokens, the audit log.
    Operator: Admin;
    /// Reads what is no secret about the system, and has metrics evaluated.
    Observer: Admin, Analyst;
    /// Changes customers and writes to them.
    Writer: Admin, Agent;
    /// Reads customers, interactions and metrics.
    Reader: Admin, Agent, Analyst;
    /// Hands in interactions.
    Collector: Admin, Agent, Ingest;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn secret_of(header: &str) -> Option<String> {
        let (parts, ()) =
            Request::builder().header(AUTHORIZATION, header).body(()).expect("a request").into_parts();
        bearer_secret(&parts).ok().map(str::to_owned)
    }

    #[test]
    fn reads_the_header_as_rfc_6750_has_it() {
        assert_eq!(secret_of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(secret_of("bearer  abc").as_deref(), Some("abc"));
        for wrong in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(secret_of(wrong), None, "{wrong}");
        }
    }
}
