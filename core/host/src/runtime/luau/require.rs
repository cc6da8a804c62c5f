//! `require`: files of the package and `@regard/*`, nothing else.

use std::sync::Arc;

use mlua::chunk::ChunkMode;
use mlua::{Error, Function, Lua, Table};
use regard_engine::Fault;

use super::Code;
use super::imports::{bad, good};
use crate::hostcalls::CallError;

/// Longest part of a module's name that is quoted in an error, in characters.
const QUOTED_CHARS_MAX: usize = 100;

/// Adds what the bootstrap's `require` needs: `resolve` finds a module's key, `load` gives its function.
pub(super) fn modules(lua: &Lua, native: &Table, code: Arc<Code>) -> mlua::Result<()> {
    let known = code.clone();
    let resolve = move |lua: &Lua, (name, caller): (String, Option<String>)| match resolve(
        &known,
        &name,
        caller.as_deref().unwrap_or_default(),
    ) {
        Ok(key) => good(lua, key),
        Err(why) => bad(lua, CallError::new(Fault::NotFound, why)),
    };
    let load = move |lua: &Lua, key: String| -> mlua::Result<Function> {
        let compiled = code.modules.get(&key).ok_or_else(|| Error::runtime(format!("there is no {key}")))?;
        // Compiled by us from the package's text; a package's own bytecode never gets here.
        lua.load(compiled.as_slice()).set_name(format!("={key}")).set_mode(ChunkMode::Binary).into_function()
    };
    native.raw_set("resolve", lua.create_function(resolve)?)?;
    native.raw_set("load", lua.create_function(load)?)
}

/// Finds a module: `@regard/…`, or a file of the package relative to the file that requires it.
fn resolve(code: &Code, name: &str, caller: &str) -> Result<String, String> {
    let shown: String = name.chars().take(QUOTED_CHARS_MAX).collect();
    if name.starts_with('@') {
        let found = code.modules.contains_key(name).then(|| name.to_owned());
        return found.ok_or_else(|| format!("there is no module `{shown}`"));
    }
    if !name.starts_with("./") && !name.starts_with("../") {
        return Err(format!(
            "`{shown}` is no module: write `./name` for a file of the package, or `@regard/columns`"
        ));
    }
    let mut parts: Vec<&str> = caller.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop().ok_or_else(|| format!("`{shown}` leaves the package"))?;
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let candidates = [format!("{path}.luau"), format!("{path}/init.luau"), path];
    let found = candidates.into_iter().find(|candidate| code.modules.contains_key(candidate));
    found.ok_or_else(|| format!("there is no file for `{shown}` in the package"))
}
