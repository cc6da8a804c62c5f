//! The same payload through Extism, another host of WebAssembly plugins, as its authors ship it: the library from the wheel
//! `extism-sys` on PyPI.
#![allow(
    unsafe_code,
    reason = "Extism is reached through its C interface; the signatures are those of its extism.h, 1.x"
)]

use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use libloading::{Library, Symbol};

/// The wheel that is fetched, once.
const WHEEL: &str = "extism-sys==1.41.0";

/// Adds up the amounts of a batch: ten times, ten amounts, ten groups, as `columns` lays them out. Written against
/// Extism's kernel directly, which is the leanest that a guest of it can be.
const GUEST: &CStr = cr#"(module
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "input_load_u64" (func $load (param i64) (result i64)))
  (global $sum (mut i64) (i64.const 0))
  (memory (export "memory") 1)
  (func (export "update") (result i32)
    (local $at i64)
    (if (i64.ne (call $length) (i64.const 200)) (then (return (i32.const 1))))
    (local.set $at (i64.const 80))
    (loop $next
      (global.set $sum (i64.add (global.get $sum) (call $load (local.get $at))))
      (br_if $next (i64.lt_u (local.tee $at (i64.add (local.get $at) (i64.const 8))) (i64.const 160))))
    (i32.const 0)))"#;

type New =
    unsafe extern "C" fn(*const u8, u64, *const *const c_void, u64, bool, *mut *mut c_char) -> *mut c_void;
type Call = unsafe extern "C" fn(*mut c_void, *const c_char, *const u8, u64) -> i32;
type Free = unsafe extern "C" fn(*mut c_void);

/// A plugin in Extism.
pub struct Extism {
    library: Library,
    plugin: *mut c_void,
}

impl Extism {
    pub fn new() -> Result<Self> {
        let file = find()?;
        let mut why = std::ptr::null_mut();
        // SAFETY: the library is the one that the wheel brings; loading it runs no code but its own initialisers.
        let library = unsafe { Library::new(&file) }.with_context(|| file.display().to_string())?;
        let guest = GUEST.to_bytes();
        // SAFETY: the guest outlives the call, and there are no host functions.
        let plugin = unsafe {
            let new: Symbol<'_, New> = library.get(b"extism_plugin_new")?;
            new(guest.as_ptr(), guest.len() as u64, std::ptr::null(), 0, false, &raw mut why)
        };
        if plugin.is_null() {
            // SAFETY: without a plugin `why` is a string with an end.
            bail!("extism: {}", unsafe { CStr::from_ptr(why) }.to_string_lossy());
        }
        Ok(Self { library, plugin })
    }

    /// Calls the guest `calls` times with `input`.
    pub fn update(&self, input: &[u8], calls: u32) -> Result<()> {
        // SAFETY: the signature is that of the header.
        let call: Symbol<'_, Call> = unsafe { self.library.get(b"extism_plugin_call") }?;
        for _ in 0..calls {
            // SAFETY: the plugin lives as long as `self`, and the input as long as the call.
            let code = unsafe { call(self.plugin, c"update".as_ptr(), input.as_ptr(), input.len() as u64) };
            ensure!(code == 0, "extism's guest answered {code}");
        }
        Ok(())
    }
}

impl Drop for Extism {
    fn drop(&mut self) {
        // SAFETY: made by `extism_plugin_new` and freed once.
        if let Ok(free) = unsafe { self.library.get::<Free>(b"extism_plugin_free") } {
            unsafe { free(self.plugin) }
        }
    }
}

/// The library, fetched when it is not there yet.
fn find() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(WHEEL.replace("==", "-"));
    let file = folder.join("extism_sys/libextism_sys.so");
    if file.is_file() {
        return Ok(file);
    }
    eprintln!("fetching {WHEEL} from PyPI to compare with");
    std::fs::create_dir_all(&folder)?;
    let script =
        "python3 -m pip download --quiet --no-deps --dest . \"$0\" && python3 -m zipfile -e ./*.whl .";
    let fetched = Command::new("sh").args(["-c", script, WHEEL]).current_dir(&folder).output()?;
    ensure!(
        fetched.status.success() && file.is_file(),
        "cannot fetch {WHEEL} with pip:\n{}",
        String::from_utf8_lossy(&fetched.stderr)
    );
    Ok(file)
}
