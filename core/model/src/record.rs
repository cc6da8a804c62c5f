//! Records: objects of the types that plugins declare, such as a case, an opportunity or a coupon.
//!
//! [`declaration`] is what a plugin says of a type, [`kind`] the type that records are checked against. Here is the record
//! itself, and what may be done to it. A record may stand in relation to a customer; like an interaction it stays with
//! the customer that it was recorded under, and is read under the one that this is merged into.

pub mod declaration;
pub mod kind;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{CustomerId, RecordId, Timestamp};

pub use declaration::{CustomerRelation, IndexedField, RecordDeclaration, Scalar};
pub use kind::{RecordFlaw, RecordType};

/// An object of a declared type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Record {
    /// Names the record.
    pub id: RecordId,
    /// Name of its type, such as `case`.
    pub kind: String,
    /// The customer, after merges; types say whether there is one.
    pub customer_id: Option<CustomerId>,
    /// The object, valid against the type's schema.
    #[schema(value_type = Object)]
    pub data: Value,
    /// Counts changes; starts at 1.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A record to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecord {
    /// Name of its type.
    pub kind: String,
    /// The customer.
    pub customer_id: Option<CustomerId>,
    /// The object.
    pub data: Value,
}

/// What a plugin does to a record; part of the effects of its call.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordChange {
    /// Makes one under an id that was given out beforehand.
    Create(RecordId, NewRecord),
    /// Replaces the data of the record at this version.
    Update {
        /// The record.
        id: RecordId,
        /// Name of its type.
        kind: String,
        /// The version that it was read at.
        version: i64,
        /// The new object.
        data: Value,
    },
    /// Deletes the record at this version.
    Delete {
        /// The record.
        id: RecordId,
        /// Name of its type.
        kind: String,
        /// The version that it was read at.
        version: i64,
    },
}

/// Applies a JSON merge patch (RFC 7396): `null` removes a member, objects are merged, everything else replaces.
pub fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(&name);
        } else {
            merge_patch(members.entry(name).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Cases of RFC 7396, appendix A.
    #[test]
    fn patches_as_the_rfc_has_it() {
        for (original, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut patched = original.clone();
            merge_patch(&mut patched, patch.clone());
            assert_eq!(patched, result, "{original} with {patch}");
        }
    }
}
