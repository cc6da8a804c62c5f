//! A plugin behind the C interface of `sdk/native`, so that the source of a component also makes a native library.
//!
//! - `host`: the host's table, and the call that is under way on this thread
//! - [`exports`]: the plugin's table: a capability's trait as functions
//! - `columns` and `forms`: the contract's types as pointers and as JSON
//! - [`imports`]: the host's functions with the signatures of the generated bindings
//!
//! All of it is compiled natively and tested; the feature `native` only makes [`plugin!`](crate::plugin!) export the
//! entry, since a program may link many plugins and have no entry at all.

#![allow(missing_docs, reason = "only the macro and the host's functions reach in here")]

mod columns;
pub mod exports;
mod forms;
mod host;
pub mod imports;

pub use host::enter;
pub use regard_abi::{Host, Plugin};

/// Exports the entry of a native library.
#[cfg(feature = "native")]
#[doc(hidden)]
#[macro_export]
macro_rules! __native {
    ($setup:ty $(, $capability:ident: $type:ty)+) => {
        #[allow(unsafe_code, reason = "the host finds the entry by its name and calls it as the C interface says")]
        const _: () = {
            static TABLE: $crate::native::Plugin = {
                let table = $crate::native::exports::lifecycle::<$setup>($crate::native::Plugin::NOTHING);
                $(let table = $crate::native::exports::$capability::<$type>(table);)+
                table
            };

            #[unsafe(no_mangle)]
            unsafe extern "C" fn regard_plugin_v1(
                host: *const $crate::native::Host,
            ) -> *const $crate::native::Plugin {
                // SAFETY: the host calls this with its table.
                unsafe { $crate::native::enter(host, &TABLE) }
            }
        };
    };
}
