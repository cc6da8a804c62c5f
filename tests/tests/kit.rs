//! `regard plugin test` and `regard plugin bench` as an author calls them.

use std::path::Path;

use regard_tests::server::{regard_json, run, source};
use serde_json::Value;

fn names(report: &Value, verdict: &str) -> Vec<String> {
    let checks = report["checks"].as_array().expect("checks");
    let wanted = checks.iter().filter(|check| check["verdict"] == verdict);
    wanted.map(|check| check["name"].as_str().expect("a name").to_owned()).collect()
}

/// Copies a plugin that is written in Luau, so that it can be changed.
fn copied(from: &str, to: &Path) {
    std::fs::create_dir_all(to.join("fixtures")).expect("a folder");
    for folder in ["", "fixtures"] {
        for entry in std::fs::read_dir(source(from).join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                std::fs::copy(&path, to.join(folder).join(path.file_name().expect("a name")))
                    .expect("copied");
            }
        }
    }
}

#[test]
fn good_plugins_pass_in_every_language() {
    let data = tempfile::tempdir().expect("a folder");
    for folder in
        ["plugins/hook-welcome", "examples/hook-case", "examples/kpi-order-count-c", "plugins/kpi-rfm"]
    {
        let report = regard_json(data.path(), &["plugin", "test", folder]).expect(folder);
        assert_eq!(report["good"], true, "{report}");
        assert!(names(&report, "not-tried").is_empty(), "{report}");
        assert!(report["calls"].as_array().is_some_and(|calls| !calls.is_empty()), "{report}");
    }
}

#[test]
fn a_plugin_that_does_something_else_fails_with_its_difference() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().join("changed");
    copied("plugins/hook-welcome", &folder);
    let handler = folder.join("handler.luau");
    let text = std::fs::read_to_string(&handler).expect("the handler");
    std::fs::write(&handler, text.replace("add_tags = { config.tag }", "add_tags = { \"other\" }"))
        .expect("written");
    let output = run(data.path(), &["plugin", "test", &folder.to_string_lossy()]).expect("runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("FAILED     scenario threshold"), "{told}");
    assert!(
        told.contains("ann: tags: wanted [newsletter, valued-customer], found [newsletter, other]"),
        "{told}"
    );
}

#[test]
fn one_scenario_and_a_seed_can_be_chosen() {
    let data = tempfile::tempdir().expect("a folder");
    let arguments = ["plugin", "test", "plugins/hook-welcome", "--scenario", "nameless", "--seed", "7"];
    let report = regard_json(data.path(), &arguments).expect("passes");
    let scenarios: Vec<String> =
        names(&report, "ok").into_iter().filter(|name| name.starts_with("scenario")).collect();
    assert_eq!(scenarios, ["scenario nameless"]);
    let unknown =
        run(data.path(), &["plugin", "test", "plugins/hook-welcome", "--scenario", "x"]).expect("runs");
    let told = String::from_utf8_lossy(&unknown.stderr);
    assert!(!unknown.status.success() && told.contains("there is nameless, threshold"), "{told}");
}

#[test]
fn a_bench_has_figures() {
    let data = tempfile::tempdir().expect("a folder");
    let bench = regard_json(data.path(), &["plugin", "bench", "plugins/hook-welcome"]).expect("runs");
    let figures = bench["figures"].as_array().expect("figures");
    assert_eq!(figures.len(), 2, "{bench}");
    assert!(
        figures.iter().all(|one| one["calls_per_second"].as_f64().is_some_and(|rate| rate > 0.0)),
        "{bench}"
    );
}
