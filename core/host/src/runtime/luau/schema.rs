//! `schema.luau`: the configuration of a Luau plugin.
//!
//! The file returns a JSON Schema of an object as a table. Every setting has a description: the operator who fills it
//! in sees nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use regard_engine::Fault;
use serde_json::{Value, json};

use super::interrupt::Watched;
use super::machine::{Bare, Slot};
use super::{Code, values};
use crate::limits::CallLimits;
use crate::manifest::Settings;
use crate::runtime::Failure;
use crate::ticker::Ticker;

/// The file's name.
pub(super) const FILE: &str = "schema.luau";
/// Deepest nesting of settings that is looked at.
const DEPTH_MAX: usize = 8;

/// Runs the file in a machine of its own, without host functions, and checks what it returns.
pub(super) fn read(source: &[u8], limits: CallLimits, ticker: &Ticker) -> Result<Settings, Failure> {
    let invalid = |why: String| Failure::new(Fault::Invalid, format!("{FILE}: {why}"));
    let files = BTreeMap::from([(FILE.to_owned(), source.to_vec())]);
    let code =
        Arc::new(Code::compile(&files, Path::new(FILE)).map_err(|why| Failure::new(Fault::Invalid, why))?);
    let machine = Bare::new(limits, code)?;
    let _running = ticker.run();
    let watched = Watched::begin(limits, Instant::now() + limits.call);
    let (returned, _) = machine.start(Slot::default(), limits, &watched, FILE);
    let mut schema = values::to_json(&returned?).map_err(invalid)?;
    let Value::Object(object) = &mut schema else { return Err(invalid("returns no table".to_owned())) };
    object.entry("type").or_insert_with(|| json!("object"));
    if object["type"] != "object" {
        return Err(invalid("describes no object; begin it with type = \"object\"".to_owned()));
    }
    check_descriptions(&schema, "", 0).map_err(invalid)?;
    jsonschema::validator_for(&schema).map_err(|why| invalid(format!("is no JSON Schema: {why}")))?;
    Ok(Settings { schema: Some(schema) })
}

fn check_descriptions(schema: &Value, path: &str, depth: usize) -> Result<(), String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let path = format!("{path}/{name}");
        let described =
            property.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
        if !described {
            return Err(format!("the setting {path} has no description"));
        }
        if depth < DEPTH_MAX {
            check_descriptions(property, &path, depth + 1)?;
        }
    }
    Ok(())
}
