//! JSON and Luau values.
//!
//! An object is a table with text keys, a list a table with the keys 1 to n. An empty table is an object; a Luau author
//! says `regard.list({})` for an empty list. JSON's null is `regard.null`, since a Luau table cannot hold nil.

use mlua::{Lua, LuaString, Table, Value as LuaValue};
use serde_json::{Map, Number, Value};

use crate::runtime::json;

/// Deepest nesting that is converted; also ends tables that contain themselves.
const DEPTH_MAX: usize = 16;
/// Most bytes of text in one conversion. A table holds the same text as often as it likes for one pointer each, and every
/// one of them becomes a copy.
const TEXT_BYTES_MAX: usize = 32 << 20;
/// Integers up to here are exact in a Luau number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// Marks lists, so that an empty one is known.
const LIST_MARK: &str = "regard.list";

/// `value` as Luau has it. Numbers are 64-bit floats there: integers beyond 2^53 lose digits.
pub(super) fn to_luau(lua: &Lua, value: &Value) -> mlua::Result<LuaValue> {
    Ok(match value {
        Value::Null => LuaValue::NULL,
        Value::Bool(value) => LuaValue::Boolean(*value),
        Value::Number(number) => LuaValue::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => LuaValue::String(lua.create_string(text)?),
        Value::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                table.raw_push(to_luau(lua, item)?)?;
            }
            mark_list(lua, &table)?;
            LuaValue::Table(table)
        }
        Value::Object(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (name, item) in fields {
                table.raw_set(name.as_str(), to_luau(lua, item)?)?;
            }
            LuaValue::Table(table)
        }
    })
}

/// A Luau value as JSON; the error says where a value has no JSON.
pub(super) fn to_json(value: &LuaValue) -> Result<Value, String> {
    let mut left = Left { values: json::VALUES_MAX, text_bytes: TEXT_BYTES_MAX };
    convert(value, 0, &mut left)
}

/// What a conversion may still take.
struct Left {
    values: usize,
    text_bytes: usize,
}

fn convert(value: &LuaValue, depth: usize, left: &mut Left) -> Result<Value, String> {
    left.values = left.values.checked_sub(1).ok_or_else(json::too_many)?;
    if depth > DEPTH_MAX {
        return Err(format!("nests deeper than {DEPTH_MAX} levels"));
    }
    Ok(match value {
        LuaValue::Nil => Value::Null,
        value if value.is_null() => Value::Null,
        LuaValue::Boolean(value) => (*value).into(),
        LuaValue::Integer(integer) => (*integer).into(),
        LuaValue::Number(number) => self::number(*number)?,
        LuaValue::String(text) => self::text(text, left)?.into(),
        LuaValue::Table(table) => return self::table(table, depth, left),
        other => return Err(format!("a {} has no JSON", other.type_name())),
    })
}

fn number(number: f64) -> Result<Value, String> {
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        // Exact by the test before.
        return Ok((number as i64).into());
    }
    Number::from_f64(number).map(Value::Number).ok_or_else(|| format!("{number} has no JSON"))
}

fn text(text: &LuaString, left: &mut Left) -> Result<String, String> {
    let rest = left.text_bytes.checked_sub(text.as_bytes().len());
    left.text_bytes = rest.ok_or_else(|| format!("has more than {TEXT_BYTES_MAX} bytes of text"))?;
    text.to_str().map(|text| text.to_owned()).map_err(|_| "text is not UTF-8".to_owned())
}

fn table(table: &Table, depth: usize, left: &mut Left) -> Result<Value, String> {
    let length = table.raw_len();
    // Raw access only: a metatable of the plugin's own must not run code here, outside of a watched call.
    let marked = |mark: Table| mark.raw_get(LIST_MARK).is_ok_and(|found: LuaValue| found != LuaValue::Nil);
    let is_list = length > 0 || table.metatable().is_some_and(marked);
    if is_list {
        let mut items = Vec::new();
        for at in 1..=length {
            let item: LuaValue = table.raw_get(at).map_err(|why| why.to_string())?;
            items.push(convert(&item, depth + 1, left).map_err(|why| format!("[{at}]: {why}"))?);
        }
        return Ok(Value::Array(items));
    }
    let mut fields = Map::new();
    for pair in table.pairs::<LuaValue, LuaValue>() {
        let (key, item) = pair.map_err(|why| why.to_string())?;
        let LuaValue::String(key) = key else {
            return Err(format!("a key is a {}, not text", key.type_name()));
        };
        let key = self::text(&key, left)?;
        let item = convert(&item, depth + 1, left).map_err(|why| format!("{key}: {why}"))?;
        fields.insert(key, item);
    }
    Ok(Value::Object(fields))
}

/// Whether a value that the program hands over has at most `bytes_max` bytes, texts and table entries counted.
pub(super) fn is_within(value: &LuaValue, bytes_max: u64) -> bool {
    let mut left = bytes_max;
    measure(value, 0, &mut left)
}

fn measure(value: &LuaValue, depth: usize, left: &mut u64) -> bool {
    let own = match value {
        LuaValue::String(text) => text.as_bytes().len(),
        // Buffers are taken over by the columns, which count for themselves.
        _ => size_of::<LuaValue>(),
    };
    let Some(rest) = left.checked_sub(own as u64) else { return false };
    *left = rest;
    // What nests deeper is refused by the conversion.
    let LuaValue::Table(table) = value else { return true };
    depth > DEPTH_MAX
        || table.pairs::<LuaValue, LuaValue>().all(|pair| {
            pair.is_ok_and(|(key, item)| measure(&key, depth + 1, left) && measure(&item, depth + 1, left))
        })
}

/// Marks `table` as a list, so that it stays one when it is empty.
pub(super) fn mark_list(lua: &Lua, table: &Table) -> mlua::Result<()> {
    table.set_metatable(Some(list_mark(lua)?))
}

/// The metatable of lists.
pub(super) fn list_mark(lua: &Lua) -> mlua::Result<Table> {
    if let LuaValue::Table(mark) = lua.named_registry_value(LIST_MARK)? {
        return Ok(mark);
    }
    let mark = lua.create_table()?;
    mark.raw_set(LIST_MARK, true)?;
    lua.set_named_registry_value(LIST_MARK, &mark)?;
    Ok(mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_survives_the_round_trip() {
        let lua = Lua::new();
        let value = json!({ "a": [1, 2.5, "x", null, true], "b": {}, "c": [], "d": { "e": [[]] } });
        let there = to_luau(&lua, &value).expect("to Luau");
        assert_eq!(to_json(&there), Ok(value));
    }

    #[test]
    fn what_has_no_json_is_named() {
        let lua = Lua::new();
        let check = |source: &str, why: &str| {
            let value: LuaValue = lua.load(source).eval().expect(source);
            assert_eq!(to_json(&value), Err(why.to_owned()), "{source}");
        };
        check("return { a = { print } }", "a: [1]: a function has no JSON");
        check("return 0/0", "NaN has no JSON");
        check("return { [1.5] = 1 }", "a key is a number, not text");
        check("return '\\xff'", "text is not UTF-8");
        let endless: LuaValue = lua.load("local t = {} t.t = t return t").eval().expect("a table");
        assert!(to_json(&endless).is_err());
        let shared =
            "local text, t = string.rep('x', 1000000), {} for at = 1, 1000 do t[at] = text end return t";
        check(shared, "[34]: has more than 33554432 bytes of text");
    }
}
