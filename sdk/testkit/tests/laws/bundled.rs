use std::path::Path;

use regard_host::Package;
use regard_host::build::{BuildOptions, build_plugin};
use regard_testkit::{Trial, Verdict};

use crate::trial::{assert_failed, cache};

/// The plugins that come with the source keep every law, and their scenarios leave none untried.
#[tokio::test(flavor = "multi_thread")]
async fn bundled_plugins_keep_every_law() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for name in ["plugins/hook-welcome", "plugins/kpi-repeat-rate", "examples/hook-case"] {
        check(&root.join(name), Package::from_folder(&root.join(name)).expect(name)).await;
    }
    for name in ["plugins/kpi-rfm", "plugins/kpi-clv", "plugins/connector-webhook"] {
        let folder = root.join(name);
        let out = tempfile::tempdir().expect("a folder");
        let built = build_plugin(&folder, &BuildOptions::new(out.path()), &mut |line| eprintln!("{line}"));
        let built = built.expect(name);
        let text = std::fs::read_to_string(folder.join("plugin.toml")).expect("the manifest");
        let code = std::fs::read(&built.component).expect("what was built");
        let entry = built.manifest.entry().to_string_lossy().into_owned();
        let package = Package::from_parts(&folder.join("plugin.toml"), text, [(entry, code)].into());
        check(&folder, package.expect("a package")).await;
    }
}

async fn check(folder: &Path, package: Package) {
    let trial = Trial::new(package, folder, cache(), None).expect("scenarios");
    let report = regard_testkit::test(&trial).await.expect("the trial runs");
    assert_failed(&report, &[]);
    let untried = report.checks.iter().filter(|check| matches!(check.verdict, Verdict::NotTried(_)));
    assert_eq!(untried.count(), 0, "{}", report.text());
}
