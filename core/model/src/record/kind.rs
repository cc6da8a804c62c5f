//! A type of records: whether an object is one, and by which of its fields it is found.
//!
//! A declaration is checked once, when it becomes a [`RecordType`]; whoever holds one can rely on a schema that
//! compiles and on indexed fields that are scalar. Patterns run on an engine that takes linear time, because the data
//! that they are matched with comes from anybody.

use std::collections::BTreeMap;
use std::fmt;

use jsonschema::Validator;
use jsonschema::error::{ValidationError, ValidationErrorKind};
use serde_json::Value;

use super::declaration::{
    CustomerRelation, DESCRIPTION_BYTES_MAX, IndexedField, RecordDeclaration, Scalar, TITLE_BYTES_MAX,
    check_name, compile, indexed_fields,
};
use crate::invalid::check_text;
use crate::{CustomerId, Invalid};

/// Longest text in an indexed field, in bytes: PostgreSQL's index entries end at about 2,700, and what is longer is
/// prose that nobody looks up.
pub const FIELD_TEXT_BYTES_MAX: usize = 512;
/// Largest object, as JSON, in bytes; a document or a picture belongs elsewhere.
pub const DATA_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting of an object; also what a Luau plugin can take.
pub const DATA_DEPTH_MAX: usize = 15;
/// Flaws of one object that are told; whoever mends these sees the rest.
pub const FLAWS_MAX: usize = 16;

/// Something about a record that its type does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {problem}")]
pub struct RecordFlaw {
    /// JSON pointer from the record: `/data/state`, `/customer_id`.
    pub pointer: String,
    /// What is wrong, without the value itself, which may be anybody's secret.
    pub problem: String,
}

impl From<RecordFlaw> for Invalid {
    fn from(flaw: RecordFlaw) -> Self {
        Self::new(flaw.pointer.trim_start_matches('/').replace('/', "."), flaw.problem)
    }
}

/// A declared type that records can be checked against.
pub struct RecordType {
    plugin: String,
    declaration: RecordDeclaration,
    fields: BTreeMap<String, IndexedField>,
    validator: Validator,
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordType")
            .field("plugin", &self.plugin)
            .field("declaration", &self.declaration)
            .finish_non_exhaustive()
    }
}

impl PartialEq for RecordType {
    fn eq(&self, other: &Self) -> bool {
        self.plugin == other.plugin && self.declaration == other.declaration
    }
}

impl RecordType {
    /// The type that `plugin` declares. The error names the key of the declaration, and after a semicolon how to mend it.
    pub fn new(plugin: impl Into<String>, declaration: RecordDeclaration) -> Result<Self, Invalid> {
        check_name(&declaration.name)?;
        check_text("title", &declaration.title, TITLE_BYTES_MAX)?;
        if declaration.description.len() > DESCRIPTION_BYTES_MAX {
            let found = declaration.description.len();
            let reason = format!("is {found} bytes long; at most {DESCRIPTION_BYTES_MAX} are taken");
            return Err(Invalid::new("description", reason));
        }
        let validator = compile(&declaration.schema)?;
        let fields = indexed_fields(&declaration)?;
        Ok(Self { plugin: plugin.into(), declaration, fields, validator })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.declaration.name
    }

    /// The plugin that declares it.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// As it was declared.
    pub fn declaration(&self) -> &RecordDeclaration {
        &self.declaration
    }

    /// The fields by which its records are found, by name.
    pub fn fields(&self) -> &BTreeMap<String, IndexedField> {
        &self.fields
    }

    /// One of these fields; the error says which there are.
    pub fn field(&self, name: &str) -> Result<IndexedField, Invalid> {
        self.fields.get(name).copied().ok_or_else(|| {
            let known: Vec<_> = self.fields.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Invalid::new(
                name,
                format!("records of type `{}` are not indexed by it, but by: {known}", self.name()),
            )
        })
    }

    /// Whether `value` can be one of a field's.
    pub fn check_field_value(&self, name: &str, value: &Value) -> Result<(), Invalid> {
        let scalar = self.field(name)?.scalar;
        let fits = match scalar {
            Scalar::Text => value.is_string(),
            Scalar::Integer | Scalar::Number => value.is_number(),
            Scalar::Boolean => value.is_boolean(),
        };
        if fits || value.is_null() {
            return Ok(());
        }
        Err(Invalid::new(name, format!("is no {}", scalar.as_str())))
    }

    /// What `text` stands for in a field, as in a query parameter.
    pub fn field_value(&self, name: &str, text: &str) -> Result<Value, Invalid> {
        let scalar = self.field(name)?.scalar;
        let parsed = match scalar {
            Scalar::Text => return Ok(text.into()),
            Scalar::Integer | Scalar::Number | Scalar::Boolean => serde_json::from_str::<Value>(text).ok(),
        };
        let parsed = parsed.filter(|value| !value.is_null() && self.check_field_value(name, value).is_ok());
        parsed.ok_or_else(|| Invalid::new(name, format!("`{text}` is no {}", scalar.as_str())))
    }

    /// Whether `data`, of `customer`, can be a record of this type; all that speaks against it otherwise.
    pub fn check(&self, customer: Option<CustomerId>, data: &Value) -> Result<(), Vec<RecordFlaw>> {
        let one =
            |pointer: &str, problem: String| Err(vec![RecordFlaw { pointer: pointer.to_owned(), problem }]);
        match (self.declaration.customer, customer) {
            (CustomerRelation::Required, None) => {
                return one(
                    "/customer_id",
                    format!("each record of type `{}` belongs to a customer", self.name()),
                );
            }
            (CustomerRelation::None, Some(_)) => {
                return one(
                    "/customer_id",
                    format!("no record of type `{}` belongs to a customer", self.name()),
                );
            }
            _ => {}
        }
        if nests_deeper(data, DATA_DEPTH_MAX) {
            return one("/data", format!("nests deeper than {DATA_DEPTH_MAX} levels"));
        }
        let bytes = data.to_string().len();
        if bytes > DATA_BYTES_MAX {
            return one("/data", format!("is {bytes} bytes of JSON, at most {DATA_BYTES_MAX} are taken"));
        }
        let mut flaws: Vec<_> =
            self.validator.iter_errors(data).take(FLAWS_MAX).map(|error| flaw(&error)).collect();
        for name in self.fields.keys() {
            let length = data.get(name).and_then(Value::as_str).map_or(0, str::len);
            if length > FIELD_TEXT_BYTES_MAX {
                let problem =
                    format!("is {length} bytes long, an indexed field takes at most {FIELD_TEXT_BYTES_MAX}");
                flaws.push(RecordFlaw { pointer: format!("/data/{}", escape(name)), problem });
            }
        }
        if flaws.is_empty() { Ok(()) } else { Err(flaws) }
    }
}

/// A missing or surplus member is named itself, not only the object that it belongs to.
fn flaw(error: &ValidationError<'_>) -> RecordFlaw {
    let member = match error.kind() {
        ValidationErrorKind::Required { property } => property.as_str(),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected.first().map(String::as_str),
        _ => None,
    };
    let member = member.map(|member| format!("/{}", escape(member))).unwrap_or_default();
    RecordFlaw {
        pointer: format!("/data{}{member}", error.instance_path()),
        problem: error.masked_with("the value").to_string(),
    }
}

/// A name as one step of a JSON pointer (RFC 6901, section 3).
fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

fn nests_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| nests_deeper(item, levels - 1)),
        Value::Object(members) => levels == 0 || members.values().any(|item| nests_deeper(item, levels - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::declaration::tests::declaration;
    use super::*;
    use serde_json::json;

    fn case() -> RecordType {
        RecordType::new("hook-case", declaration()).expect("a type")
    }

    #[test]
    fn flaws_say_where_and_not_what() {
        let case = case();
        let customer = Some(CustomerId::from_i64(7));
        assert_eq!(case.check(customer, &json!({ "state": "open", "number": 1, "priority": null })), Ok(()));
        let check = |customer, data: Value, told: &[(&str, &str)]| {
            let flaws = case.check(customer, &data).expect_err("refused");
            let flaws: Vec<_> =
                flaws.iter().map(|flaw| (flaw.pointer.as_str(), flaw.problem.as_str())).collect();
            assert_eq!(flaws.len(), told.len(), "{data}: {flaws:?}");
            for ((pointer, says), (found, problem)) in told.iter().zip(flaws) {
                assert!(*pointer == found && problem.contains(says), "{data}: {found}: {problem}");
                assert!(!problem.contains("secret"), "{problem}");
            }
        };
        check(None, json!({ "state": "open", "number": 1 }), &[("/customer_id", "belongs to a customer")]);
        check(customer, json!({ "state": "open" }), &[("/data/number", "required")]);
        check(customer, json!({ "state": "secret", "number": 1 }), &[("/data/state", "\"open\"")]);
        check(customer, json!({ "state": "open", "number": 1, "a/b": 1 }), &[("/data/a~1b", "a/b")]);
        check(customer, json!({ "state": "open", "number": 1, "due": "secret" }), &[("/data/due", "date")]);
        check(
            customer,
            json!({ "state": "open", "number": 1, "lines": [{ "text": "x" }, {}] }),
            &[("/data/lines/1/text", "required")],
        );
        check(customer, json!("secret"), &[("/data", "object")]);
        let deep = (0..DATA_DEPTH_MAX).fold(json!([]), |value, _| json!([value]));
        check(customer, json!({ "state": "open", "number": 1, "deep": deep }), &[("/data", "deeper")]);
        check(customer, json!({ "state": "x".repeat(DATA_BYTES_MAX), "number": 1 }), &[("/data", "bytes")]);
    }

    #[test]
    fn patterns_take_linear_time() {
        let data = json!({ "state": "open", "number": 1, "code": format!("{}!", "a".repeat(50_000)) });
        let started = std::time::Instant::now();
        assert!(case().check(Some(CustomerId::from_i64(1)), &data).is_err());
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    #[test]
    fn text_stands_for_a_value_of_its_field() {
        let case = case();
        assert_eq!(case.field_value("state", "1"), Ok(json!("1")));
        assert_eq!(case.field_value("number", "12"), Ok(json!(12)));
        assert_eq!(case.field_value("priority", "0.5"), Ok(json!(0.5)));
        assert_eq!(case.field_value("closed", "true"), Ok(json!(true)));
        for (field, text) in [("number", "x"), ("closed", "1"), ("priority", "null"), ("priority", "NaN")] {
            assert!(case.field_value(field, text).is_err(), "{field}={text}");
        }
        let unknown = case.field_value("code", "x").expect_err("not indexed");
        assert!(unknown.reason.contains("but by: closed, number, priority, state"), "{unknown}");
    }
}
