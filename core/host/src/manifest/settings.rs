//! `[config]` and `[channel]`: settings that an operator gives, described by a JSON Schema.
//!
//! The schema is written as a TOML table; its `default`s are filled in before validation, so a plugin sees
//! a complete configuration and never repeats a default in code.

use std::borrow::Cow;

use regard_model::channel::CORE_SETTINGS;
use regard_model::{Attributes, Channel};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Fault;

/// How deep objects of a configuration may nest; deeper ones are refused rather than followed.
pub const DEPTH_MAX: usize = 16;

/// The schema of an object of settings; without one, no setting is allowed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// JSON Schema (2020-12) of an object. `additionalProperties` is false unless the schema says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// A setting that does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", if pointer.is_empty() { "the settings" } else { pointer.as_str() })]
pub struct SettingFault {
    /// JSON pointer of the setting, empty for the whole object.
    pub pointer: String,
    /// What the schema says about it.
    pub problem: String,
}

impl Settings {
    /// Whether there is nothing to set.
    pub fn is_empty(&self) -> bool {
        self.schema.is_none()
    }

    /// The schema with `additionalProperties = false` where the manifest leaves it open.
    pub fn effective_schema(&self) -> Value {
        let mut schema = self.schema.clone().unwrap_or_else(|| serde_json::json!({ "type": "object" }));
        if let Value::Object(object) = &mut schema {
            object.entry("additionalProperties").or_insert(Value::Bool(false));
        }
        schema
    }

    /// `given` with defaults filled in, or everything that is wrong with it. `null` stands for no settings.
    pub fn complete(&self, given: Value) -> Result<Value, Vec<SettingFault>> {
        let fault = |problem: String| vec![SettingFault { pointer: String::new(), problem }];
        let mut settings = if given.is_null() { Value::Object(Map::new()) } else { given };
        let schema = self.effective_schema();
        fill_defaults(&schema, &mut settings, DEPTH_MAX);
        let validator =
            jsonschema::validator_for(&schema).map_err(|e| fault(format!("unusable schema: {e}")))?;
        let faults: Vec<_> = validator
            .iter_errors(&settings)
            .map(|e| SettingFault { pointer: e.instance_path().to_string(), problem: e.to_string() })
            .collect();
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    /// A channel's settings, complete. Those that the core reads itself need not stand in the connector's schema; where they
    /// do, as one with a default for instance, the schema counts for them too.
    pub fn complete_channel(&self, given: Attributes) -> Result<Attributes, Vec<SettingFault>> {
        let properties = self.schema.as_ref().and_then(|schema| schema.get("properties"));
        let is_apart = |name: &str| {
            CORE_SETTINGS.contains(&name)
                && properties.is_none_or(|properties| properties.get(name).is_none())
        };
        let (apart, own): (Map<_, _>, Map<_, _>) = given.0.into_iter().partition(|(name, _)| is_apart(name));
        let Value::Object(complete) = self.complete(Value::Object(own))? else {
            return Ok(Attributes::new());
        };
        Ok(Attributes(complete.into_iter().chain(apart).collect()))
    }

    /// The channel as its connector sees it: what this version has a default for, and the channel was made without, is there.
    pub fn completed<'a>(&self, channel: &'a Channel) -> Cow<'a, Channel> {
        let Some(schema) = &self.schema else { return Cow::Borrowed(channel) };
        let mut settings = Value::Object(channel.settings.0.clone().into_iter().collect());
        fill_defaults(schema, &mut settings, DEPTH_MAX);
        let Value::Object(settings) = settings else { return Cow::Borrowed(channel) };
        let settings = Attributes(settings.into_iter().collect());
        if settings == channel.settings {
            return Cow::Borrowed(channel);
        }
        Cow::Owned(Channel { settings, ..channel.clone() })
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let Some(schema) = &self.schema else { return Ok(()) };
        if schema.get("type") != Some(&Value::String("object".into())) {
            return Err(Fault::new(
                "schema",
                "does not describe an object",
                "begin it with type = \"object\"",
            ));
        }
        jsonschema::validator_for(&self.effective_schema())
            .map_err(|e| Fault::new("schema", format!("is no valid JSON Schema: {e}"), "correct it"))?;
        self.check_defaults(schema)
    }

    /// A default that its own schema refuses would fail at every start, far from its cause.
    fn check_defaults(&self, schema: &Value) -> Result<(), Fault> {
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let Some(default) = property.get("default") else { continue };
            let fits = jsonschema::validator_for(property).is_ok_and(|v| v.is_valid(default));
            if !fits {
                return Err(Fault::new(
                    format!("schema.properties.{name}.default"),
                    format!("{default} does not fit the property's schema"),
                    "choose a default that the property allows",
                ));
            }
        }
        Ok(())
    }
}

/// Fills in the `default` of every absent property, in nested objects too when they are present or have a
/// default.
pub fn fill_defaults(schema: &Value, settings: &mut Value, depth: usize) {
    let (Some(properties), Value::Object(object)) =
        (schema.get("properties").and_then(Value::as_object), settings)
    else {
        return;
    };
    for (name, property) in properties {
        if !object.contains_key(name)
            && let Some(default) = property.get("default")
        {
            object.insert(name.clone(), default.clone());
        }
        if depth > 0
            && let Some(inner) = object.get_mut(name)
        {
            fill_defaults(property, inner, depth - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings() -> Settings {
        Settings {
            schema: Some(json!({
                "type": "object",
                "required": ["url"],
                "properties": {
                    "url": { "type": "string" },
                    "retries": { "type": "integer", "minimum": 0, "default": 3 },
                    "page": {
                        "type": "object",
                        "default": {},
                        "properties": { "size": { "type": "integer", "default": 50 } }
                    }
                }
            })),
        }
    }

    #[test]
    fn defaults_are_filled_in_at_every_level() {
        let complete = settings().complete(json!({ "url": "https://a.example" })).expect("valid settings");
        assert_eq!(complete, json!({ "url": "https://a.example", "retries": 3, "page": { "size": 50 } }));
    }

    #[test]
    fn faults_name_the_setting() {
        let faults = settings().complete(json!({ "url": "x", "retries": -1 })).expect_err("refused");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].pointer, "/retries");
        assert!(settings().complete(json!({ "url": "x", "unknown": 1 })).is_err());
        assert!(settings().complete(Value::Null).is_err(), "url is required");
    }

    #[test]
    fn without_a_schema_nothing_can_be_set() {
        assert_eq!(Settings::default().complete(Value::Null), Ok(json!({})));
        assert!(Settings::default().complete(json!({ "a": 1 })).is_err());
    }

    #[test]
    fn a_default_must_fit_its_own_schema() {
        let wrong = Settings {
            schema: Some(
                json!({ "type": "object", "properties": { "n": { "type": "integer", "default": "x" } } }),
            ),
        };
        assert!(wrong.check().is_err());
        assert!(settings().check().is_ok());
    }
}
