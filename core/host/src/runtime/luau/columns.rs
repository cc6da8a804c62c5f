//! Columns and Luau buffers.
//!
//! A batch is `{ rows, columns }`, each column `{ type, values, validity? }`. Values stand in a buffer: float64 for
//! `float64`, `int64` and `timestamp-ms` (whole numbers are exact up to 2^53, more than any amount of money or any
//! instant), one byte for `boolean`, u32 codes into `entries` for `dictionary`. Text is `offsets` and `data`, as in the
//! contract, or in a result simply a list of texts.

use mlua::{Buffer, Lua, Table, Value as LuaValue};
use regard_engine::columns::{Batch, Column, ColumnValues, TextValues};

/// Most columns in a result.
const COLUMNS_MAX: usize = 64;

/// The caller's batch as Luau has it.
pub(super) fn to_luau(lua: &Lua, batch: &Batch) -> mlua::Result<Table> {
    let columns = lua.create_table_with_capacity(0, batch.columns.len())?;
    for column in &batch.columns {
        columns.raw_set(column.name.as_str(), to_luau_column(lua, column)?)?;
    }
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("rows", batch.rows)?;
    table.raw_set("columns", columns)?;
    Ok(table)
}

fn to_luau_column(lua: &Lua, column: &Column) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    let floats = |numbers: &[i64]| doubles(lua, numbers.iter().map(|&number| number as f64), numbers.len());
    let kind = match &column.values {
        ColumnValues::Boolean(values) => {
            table.raw_set("values", lua.create_buffer(values)?)?;
            "boolean"
        }
        ColumnValues::Int64(values) => {
            table.raw_set("values", floats(values)?)?;
            "int64"
        }
        ColumnValues::Float64(values) => {
            table.raw_set("values", doubles(lua, values.iter().copied(), values.len())?)?;
            "float64"
        }
        ColumnValues::TimestampMs(values) => {
            table.raw_set("values", floats(values)?)?;
            "timestamp-ms"
        }
        ColumnValues::Utf8(texts) => {
            table.raw_set("offsets", words(lua, &texts.offsets)?)?;
            table.raw_set("data", lua.create_buffer(&texts.bytes)?)?;
            "utf8"
        }
        ColumnValues::Dictionary { codes, entries } => {
            table.raw_set("values", words(lua, codes)?)?;
            let list = lua.create_table_with_capacity(entries.len(), 0)?;
            for at in 0..entries.len() {
                list.raw_push(entries.get(at).unwrap_or_default())?;
            }
            table.raw_set("entries", list)?;
            "dictionary"
        }
    };
    table.raw_set("type", kind)?;
    if let Some(validity) = &column.validity {
        table.raw_set("validity", lua.create_buffer(validity)?)?;
    }
    Ok(table)
}

/// A buffer of u32.
pub(super) fn words(lua: &Lua, values: &[u32]) -> mlua::Result<Buffer> {
    let mut bytes = Vec::with_capacity(size_of_val(values));
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    lua.create_buffer(bytes)
}

fn doubles(lua: &Lua, values: impl Iterator<Item = f64>, count: usize) -> mlua::Result<Buffer> {
    let mut bytes = Vec::with_capacity(count * size_of::<f64>());
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    lua.create_buffer(bytes)
}

/// A result of the program, which the registry checks further; `bytes_max` bounds what is taken over.
pub(super) fn from_luau(value: &LuaValue, bytes_max: u64) -> Result<Batch, Trouble> {
    let wrong = |why: &str| Trouble::Wrong(why.to_owned());
    let LuaValue::Table(table) = value else {
        return Err(wrong("finish returns a table with rows and columns"));
    };
    let rows: u32 = get(table, "rows", "a number")?;
    let list: Table = get(table, "columns", "a list of columns")?;
    if list.raw_len() > COLUMNS_MAX {
        return Err(Trouble::Wrong(format!("{} columns, at most {COLUMNS_MAX} are taken", list.raw_len())));
    }
    let mut left = bytes_max;
    let mut columns = Vec::with_capacity(list.raw_len());
    for at in 1..=list.raw_len() {
        let column: Table = list.raw_get(at).map_err(|_| wrong("columns is a list of tables"))?;
        columns.push(from_luau_column(&column, rows as usize, &mut left)?);
    }
    Ok(Batch { rows, columns })
}

/// Why a result is not taken.
pub(super) enum Trouble {
    /// It breaks the contract.
    Wrong(String),
    /// It is larger than allowed.
    TooLarge,
}

fn from_luau_column(table: &Table, rows: usize, left: &mut u64) -> Result<Column, Trouble> {
    let name: String = get(table, "name", "a text")?;
    let kind: String = get(table, "type", "a text")?;
    let within = |trouble: Trouble| match trouble {
        Trouble::Wrong(why) => Trouble::Wrong(format!("column `{name}`: {why}")),
        too_large => too_large,
    };
    let whole = |numbers: Vec<f64>| numbers.into_iter().map(|number| number as i64).collect();
    let values = match kind.as_str() {
        "boolean" => ColumnValues::Boolean(bytes(table, "values", rows, left).map_err(within)?),
        "int64" => ColumnValues::Int64(whole(floats(table, rows, left).map_err(within)?)),
        "timestamp-ms" => ColumnValues::TimestampMs(whole(floats(table, rows, left).map_err(within)?)),
        "float64" => ColumnValues::Float64(floats(table, rows, left).map_err(within)?),
        "utf8" => ColumnValues::Utf8(texts(table, "values", left).map_err(within)?),
        "dictionary" => ColumnValues::Dictionary {
            codes: from_words(&bytes(table, "values", rows * size_of::<u32>(), left).map_err(within)?),
            entries: texts(table, "entries", left).map_err(within)?,
        },
        _ => return Err(within(Trouble::Wrong(format!("`{kind}` is no type of a column")))),
    };
    let validity = match table.raw_get("validity") {
        Ok(LuaValue::Nil) | Err(_) => None,
        Ok(_) => Some(bytes(table, "validity", rows.div_ceil(8), left).map_err(within)?),
    };
    Ok(Column { name, validity, values })
}

fn get<T: mlua::FromLua>(table: &Table, key: &str, what: &str) -> Result<T, Trouble> {
    table.raw_get(key).map_err(|_| Trouble::Wrong(format!("`{key}` is not {what}")))
}

/// The first `length` bytes of a buffer: an author may keep a larger one and grow it in steps.
fn bytes(table: &Table, key: &str, length: usize, left: &mut u64) -> Result<Vec<u8>, Trouble> {
    let buffer: Buffer = get(table, key, "a buffer")?;
    *left = left.checked_sub(buffer.len() as u64).ok_or(Trouble::TooLarge)?;
    let mut bytes = buffer.to_vec();
    if bytes.len() < length {
        return Err(Trouble::Wrong(format!("`{key}` has {} bytes, {length} are needed", bytes.len())));
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn floats(table: &Table, rows: usize, left: &mut u64) -> Result<Vec<f64>, Trouble> {
    let bytes = bytes(table, "values", rows * size_of::<f64>(), left)?;
    let (chunks, _) = bytes.as_chunks::<8>();
    Ok(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect())
}

fn from_words(bytes: &[u8]) -> Vec<u32> {
    let (chunks, _) = bytes.as_chunks::<4>();
    chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()
}

fn texts(table: &Table, key: &str, left: &mut u64) -> Result<TextValues, Trouble> {
    let list: Table = get(table, key, "a list of texts")?;
    let mut texts = TextValues::default();
    for at in 1..=list.raw_len() {
        let text: mlua::LuaString =
            list.raw_get(at).map_err(|_| Trouble::Wrong(format!("`{key}` is not a list of texts")))?;
        *left = left.checked_sub(text.as_bytes().len() as u64 + 4).ok_or(Trouble::TooLarge)?;
        let text =
            text.to_str().map_err(|_| Trouble::Wrong(format!("`{key}` has text that is not UTF-8")))?;
        texts.push(&text);
    }
    Ok(texts)
}
