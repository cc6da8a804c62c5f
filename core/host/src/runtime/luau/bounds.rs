//! Bounds on library functions that nothing can interrupt.
//!
//! Luau asks its interrupt between instructions and between the steps of a pattern match. A few functions of its library
//! work for as long as their arguments say without ever asking: looking for a long text in a long text, a set of many
//! characters in a pattern, sorting long texts that begin alike, moving a range of two thousand million entries. Each of
//! them is given a front that looks at the sizes first. What a plugin does in earnest is far below the bound.
//!
//! The front is a C function that calls the original within its own frame, so that the errors which the original raises
//! still name the plugin's file and line.

#![allow(
    unsafe_code,
    reason = "the fronts stand before functions of Luau's C library and take their place there"
)]

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use mlua::{Lua, ffi};

use super::interrupt;
use crate::limits::LimitHit;

/// Most steps of one call: bytes of a text times bytes of a pattern, bytes of texts times the rounds of sorting them, or
/// entries moved. A step takes about a nanosecond, so this is how many seconds a call may be late to stop.
const STEPS_MAX: u64 = 1 << 32;
/// Most entries that one call moves: more than fit into the largest machine, and a second of work.
const MOVED_MAX: u64 = 1 << 26;

/// A function with its front, and how its work is measured.
struct Guarded {
    library: &'static CStr,
    name: &'static CStr,
    label: &'static str,
    measure: unsafe fn(*mut ffi::lua_State) -> u64,
    most: u64,
    front: ffi::lua_CFunction,
}

const GUARDED: [Guarded; 7] = [
    text::<0>(c"find", "string.find"),
    text::<1>(c"match", "string.match"),
    text::<2>(c"gmatch", "string.gmatch"),
    text::<3>(c"gsub", "string.gsub"),
    text::<4>(c"split", "string.split"),
    Guarded {
        library: c"table",
        name: c"sort",
        label: "table.sort",
        measure: sorting,
        most: STEPS_MAX,
        front: front::<5>,
    },
    Guarded {
        library: c"table",
        name: c"move",
        label: "table.move",
        measure: moving,
        most: MOVED_MAX,
        front: front::<6>,
    },
];

/// The functions behind the fronts, the same in every machine of the process.
static ORIGINALS: [OnceLock<ffi::lua_CFunction>; GUARDED.len()] = [const { OnceLock::new() }; GUARDED.len()];

const fn text<const AT: usize>(name: &'static CStr, label: &'static str) -> Guarded {
    Guarded { library: c"string", name, label, measure: searching, most: STEPS_MAX, front: front::<AT> }
}

/// Puts the fronts into the machine's libraries. To be called before the sandbox closes, and before a program runs.
pub(super) fn install(lua: &Lua) -> mlua::Result<()> {
    // SAFETY: `exec_raw` gives the machine's own state, locked and protected for the time of the closure. The stack ends
    // as it began: every get is matched by a pop or a set. A library that lacks the function leaves it alone.
    unsafe {
        lua.exec_raw::<()>((), |state| {
            for (guarded, original) in GUARDED.iter().zip(&ORIGINALS) {
                ffi::lua_getglobal(state, guarded.library.as_ptr());
                ffi::lua_getfield(state, -1, guarded.name.as_ptr());
                let found = ffi::lua_tocfunction(state, -1);
                ffi::lua_pop(state, 1);
                if let Some(found) = found {
                    original.get_or_init(|| found);
                    ffi::lua_pushcclosured(state, guarded.front, guarded.name.as_ptr(), 0);
                    ffi::lua_setfield(state, -2, guarded.name.as_ptr());
                }
                ffi::lua_pop(state, 1);
            }
        })
    }
}

/// Stands before function `AT`: ends the call when it is asked for too much, and calls it otherwise.
///
/// # Safety
///
/// `state` must be the running state of a Luau machine; Luau itself is the only caller.
unsafe extern "C-unwind" fn front<const AT: usize>(state: *mut ffi::lua_State) -> c_int {
    let guarded = &GUARDED[AT];
    // SAFETY: the measures only read arguments and leave the stack as it was. Errors unwind through this frame, which
    // "C-unwind" allows and which owns nothing that needs dropping. The original runs in this frame, as it expects: its
    // arguments are the frame's, and it has no upvalues.
    unsafe {
        if (guarded.measure)(state) > guarded.most {
            interrupt::stop(LimitHit::Work(guarded.label));
            ffi::luaL_error(state, c"the call has used up its limit".as_ptr());
        }
        match ORIGINALS[AT].get() {
            Some(original) => original(state),
            None => ffi::luaL_error(state, c"this function is missing".as_ptr()),
        }
    }
}

/// The length of argument `at` when it is a text; what is no text is short, or an error of the function's own.
unsafe fn length(state: *mut ffi::lua_State, at: c_int) -> u64 {
    // SAFETY: both look at a place on the stack and change nothing.
    unsafe {
        if ffi::lua_type(state, at) == ffi::LUA_TSTRING { ffi::lua_objlen(state, at) as u64 } else { 0 }
    }
}

/// Text times pattern.
unsafe fn searching(state: *mut ffi::lua_State) -> u64 {
    // SAFETY: as for `length`.
    unsafe { length(state, 1).saturating_mul(length(state, 2)) }
}

/// The texts' bytes, once for each round. A comparison of the plugin's own is a function that the interrupt stops.
unsafe fn sorting(state: *mut ffi::lua_State) -> u64 {
    // SAFETY: the table is argument 1 by its type, each entry is taken off the stack again, and there is room for one:
    // a C function has at least twenty places.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE || ffi::lua_isnoneornil(state, 2) == 0 {
            return 0;
        }
        let count = ffi::lua_objlen(state, 1);
        let rounds = u64::from(count.max(1).ilog2()) + 1;
        let mut bytes = 0_u64;
        for at in 1..=c_int::try_from(count).unwrap_or(c_int::MAX) {
            ffi::lua_rawgeti_(state, 1, at);
            let own = length(state, -1);
            ffi::lua_pop(state, 1);
            bytes = bytes.saturating_add(own);
            // A table of numbers has none, and one of texts begins with one: nothing else can be compared.
            if at == 1 && own == 0 {
                return 0;
            }
        }
        bytes.saturating_mul(rounds)
    }
}

/// The range's entries.
unsafe fn moving(state: *mut ffi::lua_State) -> u64 {
    // SAFETY: reads two places of the stack; what is no number gives 0.
    let (first, last) = unsafe { (ffi::lua_tonumber(state, 2), ffi::lua_tonumber(state, 3)) };
    // Negative and undefined counts become 0.
    (last - first) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_its_front_and_works_on() {
        let lua = Lua::new();
        install(&lua).expect("installed");
        for (guarded, original) in GUARDED.iter().zip(&ORIGINALS) {
            assert!(original.get().is_some(), "{} is not there", guarded.label);
        }
        let check = "
            assert(string.find('abc', 'b') == 2 and ('abc'):match('b.') == 'bc')
            assert(select(2, string.gsub('aaa', 'a', 'b')) == 3)
            assert(#string.split('a,b', ',') == 2 and string.gmatch('a', '.')() == 'a')
            local t = { 'c', 'a', '', 'b' }
            table.sort(t)
            assert(table.concat(t) == 'abc')
            table.sort(t, function(a, b) return a > b end)
            assert(table.concat(t) == 'cba' and table.move({ 1, 2 }, 1, 2, 2)[3] == 2)
        ";
        lua.load(check).exec().expect("works");
        let problem =
            lua.load("\n\nstring.find()").set_name("=file").exec().expect_err("no text").to_string();
        assert!(problem.contains("file:3: ") && problem.contains("'find'"), "{problem}");
    }
}
