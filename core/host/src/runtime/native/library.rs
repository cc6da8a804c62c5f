//! A loaded library and the functions that it exports, called safely.

#![allow(unsafe_code, reason = "a native library is loaded, and its functions are called through pointers")]

use std::mem::ManuallyDrop;
use std::path::Path;

use regard_abi::{ABI_MAJOR, Call, ENTRY_SYMBOL, Entry, Plugin, Status, Text};

use super::table::HOST;
use super::threads::Threads;

/// Bytes of the two numbers that every table begins with.
const HEAD_BYTES: usize = 2 * size_of::<u32>();

/// The functions of a loaded library, and the threads that they run on.
pub(super) struct Library {
    table: Plugin,
    pub(super) threads: Threads,
}

/// A function that takes and gives JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Configure,
    ConnectorDescribe,
    ConnectorReceive,
    ConnectorPoll,
    ConnectorSend,
    HookHandle,
    KpiDescribe,
    MigrationUpgrade,
    MigrationDowngrade,
}

impl Function {
    /// Its name in the table.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::ConnectorDescribe => "connector_describe",
            Self::ConnectorReceive => "connector_receive",
            Self::ConnectorPoll => "connector_poll",
            Self::ConnectorSend => "connector_send",
            Self::HookHandle => "hook_handle",
            Self::KpiDescribe => "kpi_describe",
            Self::MigrationUpgrade => "migration_upgrade",
            Self::MigrationDowngrade => "migration_downgrade",
        }
    }

    fn of(self, table: &Plugin) -> Option<regard_abi::Function> {
        match self {
            Self::Configure => table.configure,
            Self::ConnectorDescribe => table.connector_describe,
            Self::ConnectorReceive => table.connector_receive,
            Self::ConnectorPoll => table.connector_poll,
            Self::ConnectorSend => table.connector_send,
            Self::HookHandle => table.hook_handle,
            Self::KpiDescribe => table.kpi_describe,
            Self::MigrationUpgrade => table.migration_upgrade,
            Self::MigrationDowngrade => table.migration_downgrade,
        }
    }
}

/// What a library's entry gave; made by [`open`] only.
pub(super) struct Opened(Plugin);

/// Loads the library in `file` and asks it for its functions; blocks for as long as its constructors take.
pub(super) fn open(file: &Path) -> Result<Opened, String> {
    // SAFETY: loading runs the library's constructors, which may do anything. The operator has allowed the digest of the
    // package that these bytes came from, and `files::place` has just compared them.
    let library = unsafe { load(file) }.map_err(|why| format!("cannot be loaded: {why}"))?;
    // Never unloaded, not even when it is refused below: its constructors have run, and threads, thread-local variables
    // and callbacks of its own may need the code for ever.
    let library = ManuallyDrop::new(library);
    // SAFETY: `regard.h` fixes the type of the symbol; the operator trusts the library to keep to it.
    let entry = unsafe { library.get::<Entry>(ENTRY_SYMBOL) };
    let entry = entry.map_err(|_| "exports no function regard_plugin_v1".to_owned())?;
    // SAFETY: the host's table is what `regard.h` says, and lives as long as the process.
    let table = unsafe { entry(&raw const HOST) };
    if table.is_null() {
        return Err(format!("does not work with version {ABI_MAJOR} of the native interface"));
    }
    if !table.is_aligned() {
        return Err("regard_plugin_v1 returns a table that is not aligned".to_owned());
    }
    // SAFETY: not null and aligned as seen; every table begins with two numbers.
    let (abi_major, size) = unsafe { ((*table).abi_major, (*table).struct_size) };
    if abi_major != ABI_MAJOR {
        return Err(format!("is made for version {abi_major} of the native interface, not for {ABI_MAJOR}"));
    }
    let size = size as usize;
    if size < HEAD_BYTES || !size.is_multiple_of(size_of::<usize>()) {
        return Err(format!("states {size} bytes as the size of its table, which cannot be"));
    }
    let mut known = Plugin::NOTHING;
    // SAFETY: the library has `size` bytes there, and `known` as many as it has. A shorter table leaves functions that it
    // does not know of absent, a longer one has functions that we do not know of. A function pointer that is null is
    // `None`, every other one is a function, which the operator trusts the library to give.
    unsafe {
        let bytes = size.min(size_of::<Plugin>());
        std::ptr::copy_nonoverlapping(table.cast::<u8>(), (&raw mut known).cast::<u8>(), bytes);
    }
    Ok(Opened(known))
}

/// Symbols that are missing are found now, not when they are called, and stay invisible to other libraries.
///
/// # Safety
///
/// As for [`libloading::Library::new`].
unsafe fn load(file: &Path) -> Result<libloading::Library, libloading::Error> {
    #[cfg(unix)]
    {
        use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
        // SAFETY: the caller vouches for the library.
        unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
    }
    #[cfg(not(unix))]
    {
        // SAFETY: the caller vouches for the library.
        unsafe { libloading::Library::new(file) }
    }
}

impl Library {
    pub(super) fn new(opened: Opened, threads: Threads) -> Self {
        Self { table: opened.0, threads }
    }

    /// Whether the library has the function.
    pub(super) fn has(&self, function: Function) -> bool {
        function.of(&self.table).is_some()
    }

    /// The first function that an evaluator needs and this library lacks.
    pub(super) fn missing_of_kpi(&self) -> Option<&'static str> {
        let needed = [
            ("kpi_open", self.table.kpi_open.is_none()),
            ("kpi_update", self.table.kpi_update.is_none()),
            ("kpi_merge", self.table.kpi_merge.is_none()),
            ("kpi_state", self.table.kpi_state.is_none()),
            ("kpi_finish", self.table.kpi_finish.is_none()),
            ("kpi_close", self.table.kpi_close.is_none()),
        ];
        needed.into_iter().find_map(|(name, is_missing)| is_missing.then_some(name))
    }

    /// Calls the function, if the library has it.
    pub(super) fn ask(&self, function: Function, call: *mut Call, arguments: &str) -> Option<Status> {
        let function = function.of(&self.table)?;
        // SAFETY: the library was never unloaded, so the pointer leads to its function. `call` is a number to it, and
        // the text outlives the call.
        Some(unsafe { function(call, Text::new(arguments)) })
    }

    /// The library's functions, for the accumulators.
    pub(super) fn table(&self) -> &Plugin {
        &self.table
    }
}
