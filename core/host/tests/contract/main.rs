//! The contract in `sdk/wit` against every version of it that was released and is kept in `tests/compat`: whoever wrote a
//! plugin against one of them must not notice the next one.

mod compare;
mod luau;

use std::path::{Path, PathBuf};

use regard_host::manifest::{CONTRACT, contract_supported};
use semver::Version;

use compare::{breaks, read};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The released versions, oldest first, with their folders.
fn released() -> Vec<(Version, PathBuf)> {
    let folders = std::fs::read_dir(root().join("tests/compat")).expect("the released versions");
    let version = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        Some((Version::parse(path.file_name()?.to_str()?).ok()?, path))
    };
    let mut released: Vec<_> = folders.filter_map(version).collect();
    released.sort();
    assert!(!released.is_empty(), "tests/compat holds no version");
    released
}

#[test]
fn nothing_that_was_released_is_broken() {
    let now = read(&root().join("sdk/wit")).expect("today's contract");
    for (version, folder) in released() {
        if contract_supported(&version) {
            let then = read(&folder.join("wit")).expect("a released contract");
            assert_eq!(breaks(&then, &now), [""; 0], "sdk/wit breaks plugins of contract {version}");
        }
    }
}

/// A version that the host no longer speaks has an adapter, or its plugins are gone: see the decision on compatibility.
#[test]
fn every_released_version_is_supported() {
    for (version, _) in released() {
        assert!(contract_supported(&version), "this host speaks {CONTRACT} and refuses {version}");
    }
}

/// The newest released contract with `from` in the file of `package` replaced.
fn changed(package: &str, from: &str, to: &str) -> Vec<String> {
    let (_, newest) = released().pop().expect("a version");
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(newest.join("wit")).expect("the contract") {
        let from = entry.expect("a package").path();
        let name = from.file_name().expect("a name").to_str().expect("a name").to_owned();
        std::fs::create_dir(folder.path().join(&name)).expect("a folder");
        let file = format!("{name}/{name}.wit");
        std::fs::copy(newest.join("wit").join(&file), folder.path().join(&file)).expect("copied");
    }
    let file = folder.path().join(format!("{package}/{package}.wit"));
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.contains(from), "{package} lacks `{from}`");
    std::fs::write(&file, text.replacen(from, to, 1)).expect("written");
    let then = read(&newest.join("wit")).expect("a released contract");
    breaks(&then, &read(folder.path()).expect("a changed contract"))
}

#[track_caller]
fn refused(package: &str, from: &str, to: &str, words: &str) {
    let found = changed(package, from, to);
    assert!(found.iter().any(|found| found.contains(words)), "{found:#?}");
}

#[track_caller]
fn allowed(package: &str, from: &str, to: &str) {
    assert_eq!(changed(package, from, to), [""; 0]);
}

#[test]
fn what_breaks_a_plugin_is_refused() {
    refused(
        "core",
        "  delete: func(key: string) -> result<_, error>;\n",
        "",
        "regard:core/kv has lost the function delete",
    );
    refused(
        "core",
        "record money { minor: s64,",
        "record money { minor: s32,",
        "regard:core/types has changed the type money",
    );
    refused(
        "core",
        "retry-after-ms: option<u64> }",
        "retry-after-ms: option<u64>, help: string }",
        "the type error",
    );
    refused("core", "variant value { null,", "variant value { nothing, null,", "the type value");
    refused(
        "core",
        "interface clock { now-ms: func() -> s64; }",
        "interface clock { now-ms: func() -> u64; }",
        "regard:core/clock has changed the function now-ms",
    );
    refused(
        "core",
        "latest: func(metric: string,",
        "latest: func(metric: string, unit: string,",
        "the function latest",
    );
    refused("core", "interface migration {", "interface moving {", "regard:core/migration is gone");
    refused(
        "hook",
        "  import regard:core/clock@0.1.0;\n",
        "",
        "the world hook-plugin no longer imports regard:core/clock",
    );
    // What the host newly asks for, no old plugin has.
    let handle = "handle: func(events: list<event>) -> result<_, error>;";
    refused(
        "hook",
        handle,
        &format!("{handle}\n  forget: func();"),
        "regard:hook/hook asks for the function forget",
    );
    refused(
        "kpi",
        "    state: func() -> result<list<u8>, error>;\n",
        "",
        "regard:kpi/evaluator has lost the function [method]accumulator.state",
    );
    refused(
        "connector",
        "  export connector;",
        "  export connector;\n  export regard:core/migration@0.1.0;",
        "the world connector-plugin asks for the export regard:core/migration",
    );
    refused(
        "hook",
        "  export regard:core/lifecycle@0.1.0;\n",
        "",
        "the world hook-plugin no longer asks for the export regard:core/lifecycle",
    );
    refused(
        "core",
        "downgrade: func(to-version: string) -> result<_, error>;",
        "downgrade: func(to-version: string) -> result<_, error>;\n  same: func();",
        "regard:core/migration asks for the function same",
    );
}

#[test]
fn what_no_plugin_notices_is_allowed() {
    allowed("core", "interface clock {", "interface weather { now: func() -> string; }\n\ninterface clock {");
    allowed(
        "core",
        "interface clock { now-ms: func() -> s64; }",
        "interface clock { now-ms: func() -> s64; now-us: func() -> s64; }",
    );
    allowed("core", "interface clock {", "/// Ticks.\ninterface clock {");
    allowed(
        "kpi",
        "  import regard:core/log@0.1.0;\n",
        "  import regard:core/log@0.1.0;\n  import regard:core/clock@0.1.0;\n",
    );
    allowed("core", "record money {", "record tax { share: f64 }\n  record money {");
}
