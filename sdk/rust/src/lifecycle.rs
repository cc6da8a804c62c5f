//! What happens once per instance, and the macro that makes a crate a plugin.

use crate::Error;

/// Set-up of an instance. Most plugins need none.
pub trait Plugin: 'static {
    /// Called once on each new instance, before anything else; an error keeps the instance from being used.
    /// The place to check the configuration beyond its schema. Does nothing by default.
    fn configure() -> Result<(), Error> {
        Ok(())
    }
}

/// The set-up of plugins that name none.
pub struct NoSetup;

impl Plugin for NoSetup {}

/// What the exported `configure` does: it routes panics to the host's log, where a trap alone would only say
/// that something unreachable was reached, and then lets the plugin set itself up.
#[doc(hidden)]
pub fn set_up<P: Plugin>() -> Result<(), Error> {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| crate::error!("{panic}")));
    P::configure()
}

/// Makes the crate a plugin: names the type behind each capability.
///
/// ```
/// # use regard_sdk::{Batch, Error, Evaluator, Accumulator, Plugin, kpi::Metric};
/// # struct MySetup; impl Plugin for MySetup {}
/// # struct Count;
/// # impl Accumulator for Count {
/// #     fn update(&mut self, _: &[u32], _: u32, _: &Batch) -> Result<(), Error> { Ok(()) }
/// #     fn merge(&mut self, _: &[u8], _: &[u32]) -> Result<(), Error> { Ok(()) }
/// #     fn state(&mut self) -> Result<Vec<u8>, Error> { Ok(vec![]) }
/// #     fn finish(&mut self, _: i64) -> Result<Batch, Error> { Ok(Batch { rows: 0, columns: vec![] }) }
/// # }
/// # impl Evaluator for Count {
/// #     type Accumulator = Count;
/// #     fn describe() -> Vec<Metric> { vec![] }
/// #     fn open(_: &str, _: &str) -> Result<Count, Error> { Ok(Count) }
/// # }
/// regard_sdk::plugin! {
///     lifecycle: MySetup,   // optional
///     evaluator: Count,     // any of evaluator, hook, connector and migration, each once
/// }
/// ```
///
/// For WebAssembly it exports a component's interfaces, with the feature `native` the entry of a native library.
/// Natively without that feature nothing is exported and the types are only checked, so that `cargo test`
/// works. The crate is built as `crate-type = ["cdylib", "rlib"]`.
#[macro_export]
macro_rules! plugin {
    (lifecycle: $setup:ty $(, $capability:ident: $type:ty)+ $(,)?) => {
        const _: () = {
            $crate::__plugin!(@lifecycle $setup);
            $($crate::__plugin!(@$capability $type);)+
            $crate::__native!($setup $(, $capability: $type)+);
        };
    };
    ($($capability:ident: $type:ty),+ $(,)?) => {
        $crate::plugin! { lifecycle: $crate::lifecycle::NoSetup $(, $capability: $type)+ }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin {
    (@lifecycle $setup:ty) => {
        const _: () = {
            const fn is_plugin<T: $crate::Plugin>() {}
            is_plugin::<$setup>();

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                struct Exported;
                impl $crate::bindings::lifecycle::exports::regard::core::lifecycle::Guest for Exported {
                    fn configure() -> ::core::result::Result<(), $crate::Error> {
                        $crate::lifecycle::set_up::<$setup>()
                    }
                }
                $crate::bindings::lifecycle::export_lifecycle!(
                    Exported with_types_in $crate::bindings::lifecycle
                );
            };
        };
    };
    (@evaluator $type:ty) => {
        const _: () = {
            const fn is_evaluator<T: $crate::Evaluator>() {}
            is_evaluator::<$type>();

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                type Exported = $crate::kpi::Exported<$type>;
                $crate::bindings::kpi::export_evaluator!(
                    Exported with_types_in $crate::bindings::kpi
                );
            };
        };
    };
    (@migration $type:ty) => {
        const _: () = {
            const fn is_migration<T: $crate::Migration>() {}
            is_migration::<$type>();

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                type Exported = $crate::migration::Exported<$type>;
                $crate::bindings::migration::export_migration!(
                    Exported with_types_in $crate::bindings::migration
                );
            };
        };
    };
    (@hook $type:ty) => {
        const _: () = {
            const fn is_hook<T: $crate::Hook>() {}
            is_hook::<$type>();

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                type Exported = $crate::hook::Exported<$type>;
                $crate::bindings::hook::export_hook!(
                    Exported with_types_in $crate::bindings::hook
                );
            };
        };
    };
    (@connector $type:ty) => {
        const _: () = {
            const fn is_connector<T: $crate::Connector>() {}
            is_connector::<$type>();

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                type Exported = $crate::connector::Exported<$type>;
                $crate::bindings::connector::export_connector!(
                    Exported with_types_in $crate::bindings::connector
                );
            };
        };
    };
}

/// A component has no entry, nor has a plugin under test; see `native` for who has.
#[cfg(not(all(feature = "native", not(target_arch = "wasm32"))))]
#[doc(hidden)]
#[macro_export]
macro_rules! __native {
    ($($plugin:tt)+) => {};
}
