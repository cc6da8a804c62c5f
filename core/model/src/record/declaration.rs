//! What a plugin's manifest says of a type of records, and whether it can be one.

use std::collections::BTreeMap;

use jsonschema::{Draft, PatternOptions, Validator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Invalid;
use crate::customer::words;
use crate::invalid::check_text;

/// Types that one plugin declares at most; more are several plugins.
pub const TYPES_MAX: usize = 32;
/// Longest name of a type, in characters; it is part of addresses and a database key.
pub const NAME_CHARS_MAX: usize = 64;
/// Longest title, in bytes; it is a heading.
pub const TITLE_BYTES_MAX: usize = 128;
/// Longest description, in bytes; a paragraph, not a manual.
pub const DESCRIPTION_BYTES_MAX: usize = 2_048;
/// Largest schema, as JSON, in bytes; it is compiled whenever a process first meets the type.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Fields that are indexed or unique at most: each is one more row that every change of a record writes.
pub const FIELDS_MAX: usize = 12;
/// Longest name of an indexed field, in bytes; it is a query parameter and a database key.
pub const FIELD_BYTES_MAX: usize = 128;
/// Names that lists of records have for themselves, so no indexed field may have them.
pub const RESERVED_FIELDS: [&str; 4] = ["cursor", "customer", "limit", "sort"];

/// What a plugin's manifest says of a type of records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordDeclaration {
    /// Kebab-case name, unique on one installation, such as `case`.
    pub name: String,
    /// The name that people read.
    pub title: String,
    /// What a record of this type is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether a record belongs to a customer.
    pub customer: CustomerRelation,
    /// Top-level scalar fields by which records can be found and sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<String>,
    /// Fields whose value no two records share; they are indexed as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique: Vec<String>,
    /// JSON Schema (2020-12) of the object.
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// Whether the records of a type belong to a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CustomerRelation {
    /// Each does.
    Required,
    /// Some do.
    Optional,
    /// None does.
    None,
}
words!(CustomerRelation, "customer": Required = "required", Optional = "optional", None = "none");

/// The type of an indexed field; `null` and absence are allowed where the schema allows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// `string`.
    Text,
    /// `integer`.
    Integer,
    /// `number`.
    Number,
    /// `boolean`.
    Boolean,
}

/// A field by which records are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedField {
    /// What its values are.
    pub scalar: Scalar,
    /// Whether no two records share a value; `null` is no value.
    pub unique: bool,
}

impl Scalar {
    /// The word of JSON Schema.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Text, Self::Integer, Self::Number, Self::Boolean]
            .into_iter()
            .find(|scalar| scalar.as_str() == word)
    }
}

/// Refuses what cannot be the name of a type: kebab-case, as in addresses.
pub fn check_name(name: &str) -> Result<(), Invalid> {
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts_well && name.split('-').all(is_word) && name.len() <= NAME_CHARS_MAX {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    Err(Invalid::new(
        "name",
        format!(
            "`{shown}` is not a kebab-case name of at most {NAME_CHARS_MAX} characters; use lower-case letters, \
             digits and single hyphens, such as `support-case`"
        ),
    ))
}

pub(super) fn compile(schema: &Value) -> Result<Validator, Invalid> {
    if schema.get("type") != Some(&Value::String("object".into())) {
        return Err(Invalid::new("schema", "does not describe an object; begin it with type = \"object\""));
    }
    let bytes = schema.to_string().len();
    if bytes > SCHEMA_BYTES_MAX {
        return Err(Invalid::new(
            "schema",
            format!("is {bytes} bytes of JSON; at most {SCHEMA_BYTES_MAX} are taken"),
        ));
    }
    let unusable =
        |why: String| Invalid::new("schema", format!("is no usable JSON Schema: {why}; correct it"));
    jsonschema::draft202012::meta::validate(schema)
        .map_err(|why| unusable(format!("{} at {}", why, why.instance_path())))?;
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|why| unusable(why.to_string()))
}

pub(super) fn indexed_fields(
    declaration: &RecordDeclaration,
) -> Result<BTreeMap<String, IndexedField>, Invalid> {
    let mut fields = BTreeMap::new();
    for (key, names) in [("indexes", &declaration.indexes), ("unique", &declaration.unique)] {
        for (at, name) in names.iter().enumerate() {
            let invalid = |reason: String| Invalid::new(format!("{key}[{at}]"), reason);
            if names[..at].contains(name) {
                return Err(invalid(format!("names `{name}` again; name each field once")));
            }
            check_text(key, name, FIELD_BYTES_MAX).map_err(|why| invalid(why.reason))?;
            if RESERVED_FIELDS.contains(&name.as_str()) {
                let reserved = RESERVED_FIELDS.join(", ");
                return Err(invalid(format!(
                    "`{name}` is a parameter of every list ({reserved}); rename the field"
                )));
            }
            let scalar = scalar_of(&declaration.schema, name).map_err(invalid)?;
            let unique = key == "unique" || fields.get(name).is_some_and(|known: &IndexedField| known.unique);
            fields.insert(name.clone(), IndexedField { scalar, unique });
        }
    }
    if fields.len() > FIELDS_MAX {
        let reason = format!("and unique name {} fields together; name at most {FIELDS_MAX}", fields.len());
        return Err(Invalid::new("indexes", reason));
    }
    Ok(fields)
}

/// The scalar type of a property, `null` beside it allowed.
fn scalar_of(schema: &Value, name: &str) -> Result<Scalar, String> {
    let property = schema.get("properties").and_then(|properties| properties.get(name));
    let property =
        property.ok_or_else(|| format!("`{name}` is no property of the schema; describe it there"))?;
    let words: Vec<&str> = match property.get("type") {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => {
            words.iter().filter_map(Value::as_str).filter(|word| *word != "null").collect()
        }
        _ => Vec::new(),
    };
    match words[..] {
        [word] => Scalar::parse(word),
        _ => None,
    }
    .ok_or_else(|| {
        format!("`{name}` is not of one scalar type; give it the type string, integer, number or boolean")
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::RecordType;
    use serde_json::json;

    /// A type with a field of every kind.
    pub(in crate::record) fn declaration() -> RecordDeclaration {
        RecordDeclaration {
            name: "case".into(),
            title: "Case".into(),
            description: String::new(),
            customer: CustomerRelation::Required,
            indexes: vec!["state".into(), "priority".into(), "closed".into()],
            unique: vec!["number".into()],
            schema: json!({
                "type": "object",
                "required": ["state", "number"],
                "additionalProperties": false,
                "properties": {
                    "state": { "enum": ["open", "closed"], "type": "string" },
                    "number": { "type": "integer" },
                    "priority": { "type": ["number", "null"] },
                    "closed": { "type": "boolean" },
                    "code": { "type": "string", "pattern": "^(a+)+$" },
                    "due": { "type": "string", "format": "date" },
                    "lines": { "type": "array", "items": { "type": "object", "required": ["text"] } }
                }
            }),
        }
    }

    #[test]
    fn declarations_that_cannot_work_are_refused() {
        let check = |change: &dyn Fn(&mut RecordDeclaration), field: &str, says: &str| {
            let mut wrong = declaration();
            change(&mut wrong);
            let invalid = RecordType::new("hook-case", wrong).expect_err(says);
            assert!(invalid.field == field && invalid.reason.contains(says), "{invalid:?}");
        };
        check(&|it| it.name = "Case".into(), "name", "is not a kebab-case name");
        check(&|it| it.name = "a".repeat(65), "name", "at most 64 characters");
        check(&|it| it.title = " ".into(), "title", "must not be empty");
        check(&|it| it.schema = json!({ "type": "string" }), "schema", "does not describe an object");
        check(
            &|it| it.schema["properties"]["x"] = json!({ "type": "text" }),
            "schema",
            "no usable JSON Schema",
        );
        check(
            &|it| it.schema["properties"]["x"] = json!({ "pattern": "(?=a)b" }),
            "schema",
            "no usable JSON Schema",
        );
        let remote = json!({ "$ref": "https://example.com/x.json" });
        check(&|it| it.schema["properties"]["x"] = remote.clone(), "schema", "no usable JSON Schema");
        check(&|it| it.schema["title"] = json!("x".repeat(SCHEMA_BYTES_MAX)), "schema", "bytes of JSON");
        check(&|it| it.indexes.push("lines".into()), "indexes[3]", "not of one scalar type");
        check(&|it| it.indexes.push("nothing".into()), "indexes[3]", "is no property of the schema");
        check(&|it| it.indexes.push("state".into()), "indexes[3]", "again");
        check(&|it| it.unique.push("limit".into()), "unique[1]", "is a parameter of every list");
        let many = |it: &mut RecordDeclaration| {
            for number in 0..FIELDS_MAX {
                it.schema["properties"][format!("f{number}")] = json!({ "type": "string" });
                it.indexes.push(format!("f{number}"));
            }
        };
        check(&many, "indexes", "name at most 12");
    }
}
