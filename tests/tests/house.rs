//! The house is built as its plan says: which crate may know which, and what only one crate may know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Our crates and which of ours each may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("regard-model", &[]),
    ("regard-engine", &["regard-model"]),
    ("regard-store", &["regard-model", "regard-engine"]),
    ("regard-host", &["regard-model", "regard-engine", "regard-abi"]),
    ("regard-warehouse", &["regard-model", "regard-engine"]),
    (
        "regard-server",
        &[
            "regard-model",
            "regard-engine",
            "regard-store",
            "regard-host",
            "regard-warehouse",
            "regard-testkit",
        ],
    ),
    ("regard-abi", &[]),
    ("regard-sdk", &["regard-abi"]),
    // The one thing below sdk that knows the core; nothing that a plugin links knows it.
    ("regard-testkit", &["regard-model", "regard-engine", "regard-store", "regard-host", "regard-warehouse"]),
    ("connector-webhook", &["regard-sdk"]),
    ("kpi-clv", &["regard-sdk"]),
    ("kpi-rfm", &["regard-sdk"]),
    ("regard-tests", &[]),
];

/// What only one crate may know.
const ONLY: &[(&str, &[&str])] = &[
    ("regard-host", &["wasmtime", "mlua", "libloading", "wit-component", "wasm-encoder", "wasmparser"]),
    ("regard-store", &["sea-orm", "sea-orm-migration", "sqlx", "rusqlite"]),
    ("regard-warehouse", &["arrow", "parquet"]),
    ("regard-server", &["axum", "clap", "utoipa-axum"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Name and normal dependencies of every crate of the workspace.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let read = |path: PathBuf| -> toml::Table {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        toml::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    };
    let members =
        read(root().join("Cargo.toml"))["workspace"]["members"].as_array().expect("members").clone();
    members
        .iter()
        .map(|member| {
            let table = read(root().join(member.as_str().expect("a path")).join("Cargo.toml"));
            let name = table["package"]["name"].as_str().expect("a name").to_owned();
            let dependencies =
                table.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
            (name, dependencies.keys().cloned().collect())
        })
        .collect()
}

#[test]
fn arrows_point_inwards() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let crates = crates();
    for (name, dependencies) in &crates {
        let may = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} stands in no arrow: add it to ARROWS"));
        let ours = dependencies.iter().filter(|one| crates.contains_key(*one));
        let wrong: Vec<_> = ours.filter(|one| !may.contains(&one.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}");
    }
    assert_eq!(crates.len(), allowed.len(), "ARROWS names a crate that is gone");
}

#[test]
fn what_one_crate_knows_stays_there() {
    for (name, dependencies) in crates() {
        for (owner, known) in ONLY {
            let wrong: Vec<_> = dependencies.iter().filter(|one| known.contains(&one.as_str())).collect();
            assert!(name == *owner || wrong.is_empty(), "only {owner} may know {wrong:?}, not {name}");
        }
    }
}

#[test]
fn versions_stand_once() {
    let mut wrong = Vec::new();
    for member in [
        "core/model",
        "core/engine",
        "core/store",
        "core/host",
        "core/warehouse",
        "core/server",
        "sdk/native",
        "sdk/rust",
        "sdk/testkit",
        "plugins/connector-webhook",
        "plugins/kpi-clv",
        "plugins/kpi-rfm",
        "tests",
    ] {
        let text = std::fs::read_to_string(root().join(member).join("Cargo.toml")).expect("a Cargo.toml");
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    wrong.push(format!("{member}: {name}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "versions stand in [workspace.dependencies]: {wrong:?}");
}
