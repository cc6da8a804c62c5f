//! JSON text straight into the machine.
//!
//! What a program decodes is its own affair, however large, as long as it pays for it: every value is made in the
//! machine's memory, where its limit counts it, and none in the host's.

use std::cell::Cell;
use std::fmt;

use mlua::{Lua, Value as LuaValue};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::values;

/// The value that `text` says. The outer error is the machine's own, such as memory that it does not have.
pub(super) fn decode(lua: &Lua, text: &[u8]) -> mlua::Result<Result<LuaValue, String>> {
    let failed = Cell::new(None);
    let mut json = serde_json::Deserializer::from_slice(text);
    let decoded = Making { lua, failed: &failed }.deserialize(&mut json);
    let decoded = decoded.and_then(|value| json.end().map(|()| value));
    match failed.take() {
        Some(why) => Err(why),
        None => Ok(decoded.map_err(|why| why.to_string())),
    }
}

/// Makes one value, and those within it.
#[derive(Clone, Copy)]
struct Making<'a> {
    lua: &'a Lua,
    /// Why the machine could not make it.
    failed: &'a Cell<Option<mlua::Error>>,
}

impl Making<'_> {
    fn made<T, E: Error>(self, made: mlua::Result<T>) -> Result<T, E> {
        made.map_err(|why| {
            self.failed.set(Some(why));
            E::custom("the machine failed")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Making<'_> {
    type Value = LuaValue;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<LuaValue, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Making<'_> {
    type Value = LuaValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<LuaValue, E> {
        Ok(LuaValue::NULL)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<LuaValue, E> {
        Ok(LuaValue::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<LuaValue, E> {
        Ok(LuaValue::Number(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<LuaValue, E> {
        Ok(LuaValue::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<LuaValue, E> {
        Ok(LuaValue::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<LuaValue, E> {
        self.made(self.lua.create_string(text)).map(LuaValue::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<LuaValue, A::Error> {
        let table = self.made(self.lua.create_table())?;
        while let Some(item) = items.next_element_seed(self)? {
            self.made(table.raw_push(item))?;
        }
        self.made(values::mark_list(self.lua, &table))?;
        Ok(LuaValue::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<LuaValue, A::Error> {
        let table = self.made(self.lua.create_table())?;
        while let Some(name) = fields.next_key_seed(self)? {
            let item = fields.next_value_seed(self)?;
            self.made(table.raw_set(name, item))?;
        }
        Ok(LuaValue::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn text_becomes_tables() {
        let lua = Lua::new();
        let value =
            json!({ "a": [1, -2.5, "\u{1}x", null, true, 1e300], "b": {}, "c": [], "d": { "e": [[]] } });
        let made = decode(&lua, value.to_string().as_bytes()).expect("memory").expect("JSON");
        assert_eq!(values::to_json(&made), Ok(value));
        assert_eq!(
            values::to_json(&decode(&lua, b"\"x\"").expect("memory").expect("JSON")),
            Ok(Value::from("x"))
        );
        for (text, why) in [
            ("[1,]", "trailing comma"),
            ("[1] 2", "trailing characters"),
            ("", "EOF"),
            ("{1:2}", "key must be a string"),
        ] {
            let problem = decode(&lua, text.as_bytes()).expect("memory").expect_err(text);
            assert!(problem.contains(why), "{problem}");
        }
    }

    #[test]
    fn what_does_not_fit_into_the_machine_is_its_error() {
        let lua = Lua::new();
        lua.set_memory_limit(lua.used_memory() + (1 << 20)).expect("a limit");
        let text = format!("[{}0]", "{},".repeat(1_000_000));
        let failed = decode(&lua, text.as_bytes()).expect_err("no memory");
        assert!(matches!(failed, mlua::Error::MemoryError(_)), "{failed}");
    }
}
