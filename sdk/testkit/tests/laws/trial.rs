//! Plugins in Luau, made of a few lines, and tried.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regard_host::Package;
use regard_testkit::{Report, Scenario, Trial, Verdict};

/// Compiled code, kept between runs.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("testkit")
}

/// A plugin from its manifest's end and its handler.
pub fn package(capability: &str, more: &str, handler: &str) -> Package {
    let manifest = format!(
        "id = \"{capability}-x\"\nname = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nruntime = \"luau\"\n\
         capabilities = [\"{capability}\"]\n{more}"
    );
    let files = BTreeMap::from([("handler.luau".to_owned(), handler.as_bytes().to_vec())]);
    Package::from_parts(Path::new("x/plugin.toml"), manifest, files).expect("a package")
}

/// Tries a plugin with one scenario.
pub async fn tried(package: Package, scenario: &str) -> Report {
    let scenarios = match scenario {
        "" => Vec::new(),
        text => vec![Scenario::parse(text, Path::new("fixtures/one.toml")).expect("a scenario")],
    };
    let trial = Trial { package, scenarios, cache_dir: cache(), seed: None };
    regard_testkit::test(&trial).await.expect("the trial runs")
}

/// The names of what failed.
pub fn failed(report: &Report) -> Vec<&str> {
    let failed = report.checks.iter().filter(|check| matches!(check.verdict, Verdict::Failed(_)));
    failed.map(|check| check.name.as_str()).collect()
}

/// Asserts that exactly these checks failed.
pub fn assert_failed(report: &Report, wanted: &[&str]) {
    assert_eq!(failed(report), wanted, "{}", report.text());
}
