//! Values that stand in one column as JSON text.
//!
//! The columns are plain text on both databases: PostgreSQL's `jsonb` would refuse `\u0000`, which a source may well
//! send inside an attribute, and reorder what an audit hash is taken over.

use std::borrow::Cow;

use regard_engine::StoreError;
use regard_model::Attributes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::During;

/// The attributes as text; most have none, which costs nothing.
pub(crate) fn to_text(
    during: &'static str,
    attributes: &Attributes,
) -> Result<Cow<'static, str>, StoreError> {
    if attributes.is_empty() { Ok(Cow::Borrowed("{}")) } else { write(during, attributes).map(Cow::Owned) }
}

/// Any value as text.
pub(crate) fn write<T: Serialize>(during: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).during(during)
}

/// A value back from its column.
pub(crate) fn read<T: DeserializeOwned>(during: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).during(during)
}
