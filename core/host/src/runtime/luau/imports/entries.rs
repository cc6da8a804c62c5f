//! `regard.records`: the data of a record are a table here, and JSON in the contract.

use mlua::{Lua, Table, Value as LuaValue};
use regard_engine::Fault;

use super::{answer, bad, host, parse, values};
use crate::hostcalls::CallError;
use crate::runtime::forms::RecordQuery;
use crate::runtime::records;

pub(super) fn functions(lua: &Lua, native: &Table) -> mlua::Result<()> {
    native.raw_set(
        "records_get",
        lua.create_function(|lua, (kind, id): (String, String)| {
            let found = host(lua, async |call| call.record(&kind, &id).await)?;
            answer(lua, found, |lua, found| match found {
                Some(record) => values::to_luau(lua, &records::entry(&record)),
                None => Ok(LuaValue::Nil),
            })
        })?,
    )?;
    native.raw_set(
        "records_query",
        lua.create_function(|lua, (kind, request): (String, Option<Table>)| {
            let request = request
                .map_or_else(|| Ok(RecordQuery::default()), |request| parse(&LuaValue::Table(request)));
            let request = match request {
                Ok(request) => request,
                Err(error) => return bad(lua, error),
            };
            let page = host(lua, async |call| call.records(&kind, request.into()).await)?;
            answer(lua, page, |lua, page| values::to_luau(lua, &records::entries(&page)))
        })?,
    )?;
    native.raw_set(
        "records_create",
        lua.create_function(|lua, (kind, customer, data): (String, Option<String>, LuaValue)| {
            let data = match text(&data) {
                Ok(data) => data,
                Err(error) => return bad(lua, error),
            };
            let made = host(lua, async |call| call.create_record(&kind, customer.as_deref(), &data).await)?;
            answer(lua, made, |lua, record| values::to_luau(lua, &records::entry(&record)))
        })?,
    )?;
    native.raw_set(
        "records_update",
        lua.create_function(|lua, (kind, id, version, data): (String, String, f64, LuaValue)| {
            let data = match text(&data) {
                Ok(data) => data,
                Err(error) => return bad(lua, error),
            };
            // Versions count changes and stay far below 2^53.
            let changed =
                host(lua, async |call| call.update_record(&kind, &id, version as u64, &data).await)?;
            answer(lua, changed, |lua, record| values::to_luau(lua, &records::entry(&record)))
        })?,
    )?;
    native.raw_set(
        "records_delete",
        lua.create_function(|lua, (kind, id, version): (String, String, f64)| {
            let gone = host(lua, async |call| call.delete_record(&kind, &id, version as u64).await)?;
            answer(lua, gone, |_, ()| Ok(LuaValue::Nil))
        })?,
    )
}

fn text(data: &LuaValue) -> Result<String, CallError> {
    let invalid = |why: String| CallError::new(Fault::Invalid, format!("data: {why}"));
    values::to_json(data).map(|data| data.to_string()).map_err(invalid)
}
