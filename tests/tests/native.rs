//! A native library on the way that an operator takes: refused, allowed by its digest, installed, evaluated.

use std::path::Path;

use regard_tests::server::{command, regard_json, source};
use serde_json::Value;

/// Runs a command in `folder`, where regard.toml may be; its answer, or what it said about its failure.
fn run_in(folder: &Path, arguments: &[&str]) -> Result<Value, String> {
    let mut all = vec!["--json"];
    all.extend(arguments);
    let mut command = command(&folder.join("store"), &all).expect("the program");
    let output = command.current_dir(folder).output().expect("it runs");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    match output.status.success() {
        true => serde_json::from_slice(&output.stdout).map_err(|why| format!("{why}: {said}")),
        false => Err(said),
    }
}

#[test]
fn the_example_in_c_is_allowed_installed_and_evaluated() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let plugin = source("examples/kpi-order-count-c");
    let plugin = plugin.to_str().expect("UTF-8");

    let checked = run_in(folder, &["plugin", "check", plugin]).expect("a good plugin");
    let digest = checked["digest"].as_str().expect("a digest").to_owned();
    let out = folder.join("out");
    let out = out.to_str().expect("UTF-8");
    let built = run_in(folder, &["plugin", "build", plugin, "--out", out]).expect("built");
    assert_eq!(built["package_digest"], digest.as_str(), "the same sources make the same package");

    let refused = run_in(folder, &["plugin", "install", plugin]).expect_err("not allowed");
    assert!(refused.contains("[native]") && refused.contains(&digest), "{refused}");

    std::fs::write(folder.join("regard.toml"), "[native]\nallow = [\"nonsense\"]\n").expect("written");
    let misspelt = run_in(folder, &["plugin", "install", plugin]).expect_err("misspelt");
    assert!(misspelt.contains("`nonsense` is no digest"), "{misspelt}");

    std::fs::write(folder.join("regard.toml"), format!("[native]\nallow = [\"{digest}\"]\n"))
        .expect("written");
    let installed = run_in(folder, &["plugin", "install", plugin]).expect("allowed");
    assert_eq!((&installed["id"], &installed["runtime"]), (&"kpi-order-count-c".into(), &"native".into()));

    let orders = source("examples/quickstart/cdnow_sample.txt");
    let map = source("examples/quickstart/orders-sample.toml");
    let (orders, map) = (orders.to_str().expect("UTF-8"), map.to_str().expect("UTF-8"));
    let imported = ["import", "interactions", orders, "--map", map, "--source", "cdnow"];
    run_in(folder, &imported).expect("imported");
    let evaluated = run_in(folder, &["metric", "evaluate", "order-count"]).expect("evaluated");
    assert_eq!(evaluated["evaluator_digest"], digest.as_str(), "{evaluated}");
    let count = |field: &str| evaluated["summary"]["value"][field].as_f64().unwrap_or_default();
    assert!(count("count") > 2_000.0 && count("mean") > 1.0, "{evaluated}");

    // Without the digest the plugin stays installed and out of service, and says why.
    std::fs::remove_file(folder.join("regard.toml")).expect("removed");
    let shown = regard_json(&folder.join("store"), &["plugin", "show", "kpi-order-count-c"]).expect("shown");
    assert!(shown["fault"].as_str().is_some_and(|fault| fault.contains(&digest)), "{shown}");
}
