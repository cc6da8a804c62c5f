//! Named values on customers, interactions and messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Invalid;
use crate::invalid::check_text;

/// More names than this on one object are a modelling error: use interactions or records instead.
pub const ATTRIBUTES_MAX: usize = 128;
/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// All names and values of one object together, as JSON, in bytes; keeps a row within a few database pages.
pub const TOTAL_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of lists and objects in one value; deeper values are documents, not attributes.
pub const DEPTH_MAX: usize = 8;

/// Names and JSON values, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Attributes(pub BTreeMap<String, Value>);

impl Attributes {
    /// No names at all.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets `name`; replaces an earlier value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// Whether there is no name at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies a JSON merge patch of one level (RFC 7396): `null` removes a name, everything else sets it.
    pub fn patch(&mut self, change: Attributes) {
        for (name, value) in change.0 {
            if value.is_null() {
                self.0.remove(&name);
            } else {
                self.0.insert(name, value);
            }
        }
    }

    /// Refuses too many names, bad names, too deep and too large values.
    pub fn checked(self) -> Result<Self, Invalid> {
        if self.0.len() > ATTRIBUTES_MAX {
            let found = self.0.len();
            return Err(Invalid::new(
                "attributes",
                format!("{found} names, at most {ATTRIBUTES_MAX} are allowed"),
            ));
        }
        let mut total = 0;
        for (name, value) in &self.0 {
            check_text("attributes", name, NAME_BYTES_MAX)?;
            total += name.len()
                + size(value, 0).ok_or_else(|| {
                    Invalid::new(
                        format!("attributes.{name}"),
                        format!("nests deeper than {DEPTH_MAX} levels"),
                    )
                })?;
        }
        if total > TOTAL_BYTES_MAX {
            let reason = format!("{total} bytes in all, at most {TOTAL_BYTES_MAX} are allowed");
            return Err(Invalid::new("attributes", reason));
        }
        Ok(self)
    }
}

/// Bytes of the value as JSON, near enough; `None` when it nests too deep.
fn size(value: &Value, depth: usize) -> Option<usize> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => {
            let mut total = 2;
            for item in items {
                total += size(item, depth + 1)? + 1;
            }
            total
        }
        Value::Object(fields) => {
            let mut total = 2;
            for (name, item) in fields {
                total += name.len() + 4 + size(item, depth + 1)?;
            }
            total
        }
    })
}

impl<const N: usize> From<[(&str, Value); N]> for Attributes {
    fn from(pairs: [(&str, Value); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn null_removes_and_the_rest_stays() {
        let mut attributes = Attributes::from([("city", json!("Bonn")), ("age", json!(40))]);
        attributes.patch(Attributes::from([("age", Value::Null), ("name", json!("Ada"))]));
        assert_eq!(attributes, Attributes::from([("city", json!("Bonn")), ("name", json!("Ada"))]));
    }

    #[test]
    fn bounds_hold() {
        let mut deep = json!(1);
        for _ in 0..=DEPTH_MAX {
            deep = json!([deep]);
        }
        assert!(Attributes::from([("deep", deep)]).checked().is_err());
        assert!(Attributes::from([("big", json!("x".repeat(TOTAL_BYTES_MAX)))]).checked().is_err());
        assert!(Attributes::from([("", json!(1))]).checked().is_err());
        let many = (0..=ATTRIBUTES_MAX).map(|n| (n.to_string(), json!(n))).collect();
        assert!(Attributes(many).checked().is_err());
        assert!(Attributes::from([("fine", json!({"a": [1, 2]}))]).checked().is_ok());
    }
}
