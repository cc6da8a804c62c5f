//! The C interface between the host and trusted native libraries, as Rust sees it.
//!
//! `include/regard.h` says the same in C, and there stands what each function does, who may call it and who owns
//! what; a test holds both to the same layout. Rust plugins do not use this crate but `regard-sdk`, whose `plugin!`
//! fills the tables.
//!
//! In the order a reader should meet them:
//!
//! - [`Host`]: what a library may call
//! - [`Plugin`]: what the host calls; [`Entry`] gives it
//! - [`Call`] and [`Accumulator`]: handles that only their owner looks into
//! - [`Status`], [`Level`], [`ColumnType`]: numbers with names
//! - [`Text`], [`Column`] and [`Batch`]: memory that is lent for the length of one call
//!
//! Invariant: the tables only ever grow at their end, and whoever reads one first looks at `abi_major` and
//! `struct_size`. All other shapes stay as they are for this major version.

mod lent;

use std::marker::{PhantomData, PhantomPinned};

pub use lent::{Batch, Column, Text, slice};

/// The version of this interface. Another major version has another entry symbol.
pub const ABI_MAJOR: u32 = 1;
/// The symbol that every library exports, with a zero byte at its end as `dlsym` wants it.
pub const ENTRY_SYMBOL: &[u8] = b"regard_plugin_v1\0";

/// The function behind [`ENTRY_SYMBOL`]. Gives null when the library cannot work with this host.
pub type Entry = unsafe extern "C" fn(host: *const Host) -> *const Plugin;

/// A call under way, as the library knows it: a number that the host looks up, never a place to look into.
#[repr(C)]
pub struct Call {
    _opaque: [u8; 0],
    _not_send: PhantomData<(*mut u8, PhantomPinned)>,
}

/// An open accumulator of the library; only the library looks into it.
#[repr(C)]
pub struct Accumulator {
    _opaque: [u8; 0],
    _not_send: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What the host offers. It lives as long as the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Host {
    /// [`ABI_MAJOR`].
    pub abi_major: u32,
    /// Bytes of this table; a later host has a longer one.
    pub struct_size: u32,
    /// Calls a host function by the contract's name. The answer, JSON, is lent until the next host function.
    pub call: unsafe extern "C" fn(*mut Call, function: Text, arguments: Text, answer: *mut Text) -> Status,
    /// Writes a line to the host's log. `fields` is a JSON object, or empty.
    pub log: unsafe extern "C" fn(*mut Call, level: Level, message: Text, fields: Text) -> Status,
    /// Adds a piece to what the running function returns: JSON text, or the bytes of a state.
    pub write: unsafe extern "C" fn(*mut Call, data: *const u8, length: usize) -> Status,
    /// Hands over the batch that `kpi_finish` returns; the host copies it.
    pub write_batch: unsafe extern "C" fn(*mut Call, batch: *const Batch) -> Status,
    /// Says why the running function fails. A negative `retry_after_ms` means that nothing is known.
    pub fail: unsafe extern "C" fn(*mut Call, code: Text, message: Text, retry_after_ms: i64) -> Status,
}

/// A function of a library that takes JSON text and returns JSON text through [`Host::write`].
pub type Function = unsafe extern "C" fn(call: *mut Call, arguments: Text) -> Status;

/// What the library offers. An absent function means that the library does not do this; [`Plugin::NOTHING`] has none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Plugin {
    /// [`ABI_MAJOR`].
    pub abi_major: u32,
    /// Bytes of this table, as the library knows it.
    pub struct_size: u32,
    /// Sets the library up.
    pub configure: Option<Function>,
    /// Says what the connector can do.
    pub connector_describe: Option<Function>,
    /// Takes a webhook call.
    pub connector_receive: Option<Function>,
    /// Gives the next page.
    pub connector_poll: Option<Function>,
    /// Sends a message.
    pub connector_send: Option<Function>,
    /// Takes events.
    pub hook_handle: Option<Function>,
    /// Describes the metrics.
    pub kpi_describe: Option<Function>,
    /// Opens an accumulator.
    pub kpi_open: Option<KpiOpen>,
    /// Adds rows.
    pub kpi_update: Option<KpiUpdate>,
    /// Adds another accumulator's state.
    pub kpi_merge: Option<KpiMerge>,
    /// Writes the state.
    pub kpi_state: Option<KpiRead>,
    /// Writes the result.
    pub kpi_finish: Option<KpiFinish>,
    /// Writes fitted parameters as JSON.
    pub kpi_model: Option<KpiRead>,
    /// Frees an accumulator.
    pub kpi_close: Option<KpiClose>,
    /// Takes over what an earlier version kept.
    pub migration_upgrade: Option<Function>,
    /// Leaves what it keeps as an earlier version expects it.
    pub migration_downgrade: Option<Function>,
}

/// Opens an accumulator of `metric`; `parameters` is JSON.
pub type KpiOpen = unsafe extern "C" fn(
    call: *mut Call,
    metric: Text,
    parameters: Text,
    opened: *mut *mut Accumulator,
) -> Status;
/// Adds rows; there are as many groups as rows.
pub type KpiUpdate = unsafe extern "C" fn(
    call: *mut Call,
    accumulator: *mut Accumulator,
    groups: *const u32,
    group_count: u32,
    rows: *const Batch,
) -> Status;
/// Adds a state, whose group i is `remap[i]` here.
pub type KpiMerge = unsafe extern "C" fn(
    call: *mut Call,
    accumulator: *mut Accumulator,
    state: *const u8,
    state_length: usize,
    remap: *const u32,
    remap_length: usize,
) -> Status;
/// Writes something about an accumulator.
pub type KpiRead = unsafe extern "C" fn(call: *mut Call, accumulator: *mut Accumulator) -> Status;
/// Writes the result as of an instant.
pub type KpiFinish =
    unsafe extern "C" fn(call: *mut Call, accumulator: *mut Accumulator, as_of_ms: i64) -> Status;
/// Frees an accumulator; the host calls it once.
pub type KpiClose = unsafe extern "C" fn(accumulator: *mut Accumulator);

impl Plugin {
    /// A table without a function, to begin with.
    pub const NOTHING: Self = Self {
        abi_major: ABI_MAJOR,
        struct_size: size_of::<Self>() as u32,
        configure: None,
        connector_describe: None,
        connector_receive: None,
        connector_poll: None,
        connector_send: None,
        hook_handle: None,
        kpi_describe: None,
        kpi_open: None,
        kpi_update: None,
        kpi_merge: None,
        kpi_state: None,
        kpi_finish: None,
        kpi_model: None,
        kpi_close: None,
        migration_upgrade: None,
        migration_downgrade: None,
    };
}

/// How a function ended. A number rather than an enum: what the other side returns may be anything.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub i32);

impl Status {
    /// It did what it was asked.
    pub const OK: Self = Self(0);
    /// It failed and says why: with [`Host::fail`], or in the answer of [`Host::call`].
    pub const ERROR: Self = Self(1);
    /// The library broke: a panic was caught.
    pub const CRASHED: Self = Self(2);
    /// The call has run into a bound; whoever gets this returns at once.
    pub const STOPPED: Self = Self(3);
    /// The host was called outside of a call, on another thread, or with something that it cannot read.
    pub const MISUSED: Self = Self(4);
}

/// How grave a log line is.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(pub u32);

impl Level {
    /// For tracing.
    pub const TRACE: Self = Self(0);
    /// For debugging.
    pub const DEBUG: Self = Self(1);
    /// For people who look.
    pub const INFO: Self = Self(2);
    /// Something is odd.
    pub const WARN: Self = Self(3);
    /// Something is wrong.
    pub const ERROR: Self = Self(4);
}

/// What a column holds.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnType(pub u32);

impl ColumnType {
    /// One byte per row, 0 or 1.
    pub const BOOLEAN: Self = Self(0);
    /// `i64` per row.
    pub const INT64: Self = Self(1);
    /// `f64` per row.
    pub const FLOAT64: Self = Self(2);
    /// `i64` per row, milliseconds since 1970.
    pub const TIMESTAMP_MS: Self = Self(3);
    /// Text: offsets and data.
    pub const UTF8: Self = Self(4);
    /// `u32` codes into entries: offsets and data.
    pub const DICTIONARY: Self = Self(5);
}
