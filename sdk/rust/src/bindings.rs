//! What wit-bindgen makes of the contract in `sdk/wit`.
//!
//! One world per exported interface, so that a plugin which lacks a capability does not export it, and one
//! world with everything a plugin may import. wit-component drops the imports that a plugin does not call
//! and joins the worlds of those it exports.

#![allow(missing_docs, reason = "the contract's comments are the documentation")]
#![allow(unsafe_code, reason = "the canonical ABI passes pointers; wit-bindgen generates this code")]
#![allow(clippy::all, unused, reason = "generated code")]

pub mod host {
    wit_bindgen::generate!({
        inline: "
            package regard:sdk-host;
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
        path: "../wit/core",
        world: "regard:sdk-host/imports",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        inline: "
            package regard:sdk-lifecycle;
            world lifecycle-exports { export regard:core/lifecycle@0.1.0; }
        ",
        path: "../wit/core",
        world: "regard:sdk-lifecycle/lifecycle-exports",
        with: {
            "regard:core/types@0.1.0": crate::bindings::host::regard::core::types,
            "regard:core/lifecycle@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "regard_sdk::bindings::lifecycle",
    });
}

pub mod migration {
    wit_bindgen::generate!({
        inline: "
            package regard:sdk-migration;
            world migration-exports { export regard:core/migration@0.1.0; }
        ",
        path: "../wit/core",
        world: "regard:sdk-migration/migration-exports",
        with: {
            "regard:core/types@0.1.0": crate::bindings::host::regard::core::types,
            "regard:core/migration@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_migration",
        default_bindings_module: "regard_sdk::bindings::migration",
    });
}

pub mod kpi {
    wit_bindgen::generate!({
        inline: "
            package regard:sdk-kpi;
            world kpi-exports { export regard:kpi/evaluator@0.1.0; }
        ",
        path: ["../wit/core", "../wit/kpi"],
        world: "regard:sdk-kpi/kpi-exports",
        with: {
            "regard:core/types@0.1.0": crate::bindings::host::regard::core::types,
            "regard:kpi/evaluator@0.1.0": generate,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_evaluator",
        default_bindings_module: "regard_sdk::bindings::kpi",
    });
}

pub mod hook {
    wit_bindgen::generate!({
        inline: "
            package regard:sdk-hook;
            world hook-exports { export regard:hook/hook@0.1.0; }
        ",
        path: ["../wit/core", "../wit/hook"],
        world: "regard:sdk-hook/hook-exports",
        with: {
            "regard:core/types@0.1.0": crate::bindings::host::regard::core::types,
            "regard:hook/hook@0.1.0": generate,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_hook",
        default_bindings_module: "regard_sdk::bindings::hook",
    });
}

pub mod connector {
    wit_bindgen::generate!({
        inline: "
            package regard:sdk-connector;
            world connector-exports { export regard:connector/connector@0.1.0; }
        ",
        path: ["../wit/core", "../wit/connector"],
        world: "regard:sdk-connector/connector-exports",
        with: {
            "regard:core/types@0.1.0": crate::bindings::host::regard::core::types,
            "regard:connector/connector@0.1.0": generate,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_connector",
        default_bindings_module: "regard_sdk::bindings::connector",
    });
}
