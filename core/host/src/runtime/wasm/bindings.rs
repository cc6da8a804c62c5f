//! What wasmtime makes of the contract in `sdk/wit`: one world with everything a guest may import, and one for each
//! interface that it may export, so that a component needs to export only what its manifest names.

#![allow(missing_docs, reason = "the contract's comments are the documentation")]
#![allow(clippy::all, unused, reason = "generated code")]

pub(crate) mod host {
    wasmtime::component::bindgen!({
        inline: "
            package regard:host-imports;
            world imports {
                import regard:core/types@0.1.0;
                import regard:core/log@0.1.0;
                import regard:core/clock@0.1.0;
                import regard:core/config@0.1.0;
                import regard:core/kv@0.1.0;
                import regard:core/http@0.1.0;
                import regard:core/customers@0.1.0;
                import regard:core/interactions@0.1.0;
                import regard:core/metrics@0.1.0;
                import regard:core/messages@0.1.0;
                import regard:core/records@0.1.0;
            }
        ",
        path: ["../../sdk/wit/core"],
        world: "regard:host-imports/imports",
        imports: {
            // What waits for nothing: a component that imports no more than this can be called without a stack of its own.
            "regard:core/log@0.1.0.write": trappable,
            "regard:core/config@0.1.0.json": trappable,
            default: async | trappable,
        },
    });
}

pub(crate) mod lifecycle {
    wasmtime::component::bindgen!({
        inline: "
            package regard:host-lifecycle;
            world lifecycle-exports { export regard:core/lifecycle@0.1.0; }
        ",
        path: ["../../sdk/wit/core"],
        world: "regard:host-lifecycle/lifecycle-exports",
        with: { "regard:core/types@0.1.0": crate::runtime::wasm::bindings::host::regard::core::types },
        exports: { default: async },
    });
}

pub(crate) mod migration {
    wasmtime::component::bindgen!({
        inline: "
            package regard:host-migration;
            world migration-exports { export regard:core/migration@0.1.0; }
        ",
        path: ["../../sdk/wit/core"],
        world: "regard:host-migration/migration-exports",
        with: { "regard:core/types@0.1.0": crate::runtime::wasm::bindings::host::regard::core::types },
        exports: { default: async },
    });
}

pub(crate) mod kpi {
    wasmtime::component::bindgen!({
        inline: "
            package regard:host-kpi;
            world kpi-exports { export regard:kpi/evaluator@0.1.0; }
        ",
        path: ["../../sdk/wit/core", "../../sdk/wit/kpi"],
        world: "regard:host-kpi/kpi-exports",
        with: { "regard:core/types@0.1.0": crate::runtime::wasm::bindings::host::regard::core::types },
        exports: { default: async },
    });
}

pub(crate) mod hook {
    wasmtime::component::bindgen!({
        inline: "
            package regard:host-hook;
            world hook-exports { export regard:hook/hook@0.1.0; }
        ",
        path: ["../../sdk/wit/core", "../../sdk/wit/hook"],
        world: "regard:host-hook/hook-exports",
        with: { "regard:core/types@0.1.0": crate::runtime::wasm::bindings::host::regard::core::types },
        exports: { default: async },
    });
}

pub(crate) mod connector {
    wasmtime::component::bindgen!({
        inline: "
            package regard:host-connector;
            world connector-exports { export regard:connector/connector@0.1.0; }
        ",
        path: ["../../sdk/wit/core", "../../sdk/wit/connector"],
        world: "regard:host-connector/connector-exports",
        with: { "regard:core/types@0.1.0": crate::runtime::wasm::bindings::host::regard::core::types },
        exports: { default: async },
    });
}
