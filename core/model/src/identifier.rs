//! How a source names a customer, and how the name is normalised.
//!
//! Two sources that mean the same customer must arrive at the same (scheme, value), so every value is normalised by
//! the rules of its scheme before it is stored or looked up. The rules are deterministic and idempotent.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Invalid;
use crate::invalid::{check_slug, check_text};

/// Longest scheme, in bytes.
pub const SCHEME_BYTES_MAX: usize = 64;
/// Longest value, in bytes: an e-mail address has at most 254 (RFC 5321, section 4.5.3.1.3).
pub const VALUE_BYTES_MAX: usize = 254;
/// Prefix of schemes that another system keeps: `external:shop`.
pub const EXTERNAL: &str = "external:";

/// A (scheme, normalised value) that names at most one customer.
///
/// Schemes: `email`, `phone` (E.164), a network's handle such as `bluesky`, `cookie`, `external:<source>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
pub struct Identifier {
    /// What kind of name it is.
    #[schema(example = "email")]
    pub scheme: String,
    /// The name, normalised by the scheme's rules.
    #[schema(example = "ada@example.com")]
    pub value: String,
}

impl Identifier {
    /// Checks the scheme and normalises the value.
    pub fn new(scheme: &str, value: &str) -> Result<Self, Invalid> {
        let name = scheme.strip_prefix(EXTERNAL).unwrap_or(scheme);
        check_slug("scheme", name, SCHEME_BYTES_MAX)?;
        let value = value.trim();
        check_text("value", value, VALUE_BYTES_MAX)?;
        let value = match scheme {
            "email" => email(value)?,
            "phone" => phone(value)?,
            _ if scheme.starts_with(EXTERNAL) || scheme == "cookie" => value.to_owned(),
            _ => handle(value),
        };
        check_text("value", &value, VALUE_BYTES_MAX)?;
        Ok(Self { scheme: scheme.to_owned(), value })
    }

    /// Reads `scheme:value`, as in `email:ada@example.com` or `external:shop:4711`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(
                "identifier",
                format!("`{text}` is not of the form scheme:value, such as email:ada@example.com"),
            )
        };
        let start = if text.starts_with(EXTERNAL) { EXTERNAL.len() } else { 0 };
        let colon = text[start..].find(':').ok_or_else(wrong)? + start;
        Self::new(&text[..colon], &text[colon + 1..])
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.value)
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            scheme: String,
            value: String,
        }
        let raw = Raw::deserialize(deserializer)?;
        Self::new(&raw.scheme, &raw.value).map_err(serde::de::Error::custom)
    }
}

/// Lower-cases the address and turns the domain into its ASCII form (UTS 46).
///
/// RFC 5321 lets the local part be case-sensitive; no provider of note makes it so, and people write their own
/// address in every case. Dots and tags stay: whether they matter differs from provider to provider.
fn email(value: &str) -> Result<String, Invalid> {
    let wrong = |why: &str| Invalid::new("value", format!("`{value}` is no e-mail address: {why}"));
    let (local, domain) = value.rsplit_once('@').ok_or_else(|| wrong("it has no @"))?;
    if local.is_empty() || local.len() > 64 {
        return Err(wrong("the part before the @ has 1 to 64 bytes"));
    }
    if !local.starts_with('"')
        && local.contains(|c: char| c.is_whitespace() || matches!(c, '@' | ',' | ';' | '<' | '>'))
    {
        return Err(wrong("the part before the @ has a character that needs quotes"));
    }
    let domain =
        idna::domain_to_ascii_strict(domain).map_err(|_| wrong("the part after the @ is no domain name"))?;
    if domain.is_empty() || domain.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(wrong("the part after the @ is no domain name"));
    }
    Ok(format!("{}@{domain}", local.to_lowercase()))
}

/// E.164: a plus sign and 7 to 15 digits; the marks that people put between digits are dropped.
fn phone(value: &str) -> Result<String, Invalid> {
    let wrong = |why: &str| Invalid::new("value", format!("`{value}` is no phone number of E.164: {why}"));
    let number = value.strip_prefix("00").map_or_else(|| value.to_owned(), |rest| format!("+{rest}"));
    let digits = number.strip_prefix('+').ok_or_else(|| wrong("begin with + and the country code"))?;
    let digits: String =
        digits.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}')).collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("only digits follow the +"));
    }
    if !(7..=15).contains(&digits.len()) || digits.starts_with('0') {
        return Err(wrong("it has 7 to 15 digits and no country code begins with 0"));
    }
    Ok(format!("+{digits}"))
}

/// A network's handle: no leading @, lower case.
fn handle(value: &str) -> String {
    value.trim_start_matches('@').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_written_in_many_ways_is_one_identifier() {
        for (scheme, written, normal) in [
            ("email", " Ada.Lovelace@Example.COM ", "ada.lovelace@example.com"),
            ("email", "post@b\u{fc}cher.example", "post@xn--bcher-kva.example"),
            ("phone", "+49 (228) 12-34.56", "+49228123456"),
            ("phone", "0049228123456", "+49228123456"),
            ("bluesky", "@Ada.bsky.social", "ada.bsky.social"),
            ("external:shop", "A-17", "A-17"),
        ] {
            let once = Identifier::new(scheme, written).expect(written);
            assert_eq!(once.value, normal);
            assert_eq!(Identifier::new(scheme, &once.value).expect("idempotent"), once);
            assert_eq!(Identifier::parse(&once.to_string()).expect("parses"), once);
        }
    }

    #[test]
    fn refuses_what_names_nobody() {
        for (scheme, value) in [
            ("email", "ada"),
            ("email", "@example.com"),
            ("email", "a b@example.com"),
            ("email", "ada@exa mple"),
            ("phone", "0228 123456"),
            ("phone", "+49abc"),
            ("phone", "+1"),
            ("E Mail", "x"),
            ("", "x"),
            ("external:", "x"),
            ("cookie", ""),
            ("cookie", "a\u{0}b"),
        ] {
            assert!(Identifier::new(scheme, value).is_err(), "{scheme} {value:?}");
        }
    }
}
