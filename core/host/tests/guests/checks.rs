//! Strict type checks of SDKs, templates, examples and fixtures, with pinned checkers.

use std::path::Path;
use std::process::Command;

use regard_host::build::BuildOptions;
use regard_host::build::toolchain::{Packages, Toolchain, find, venv_python};

use crate::world::{fixture, root};

/// The type checkers. They are tools of the tests: a plugin is built without them.
const TYPESCRIPT: Toolchain<'_> = Toolchain {
    name: "typescript-7.0.2",
    packages: Packages::Npm("{\"private\": true, \"dependencies\": {\"typescript\": \"7.0.2\"}}"),
};
const MYPY: Toolchain<'_> = Toolchain { name: "mypy-2.4.1", packages: Packages::PyPi(&["mypy==2.4.1"]) };

fn pass(command: &mut Command) {
    let output = command.output().expect("the checker starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}\n{errors}");
}

#[test]
fn typescript_is_strict() {
    let tools = find(&TYPESCRIPT, &BuildOptions::new("."), &mut |line| eprintln!("{line}")).expect("tsc");
    let tsc = |arguments: &[&str], folder: &Path| {
        let mut command = Command::new("node");
        command.arg(tools.join("node_modules/typescript/bin/tsc")).args(arguments).current_dir(folder);
        pass(&mut command);
    };
    tsc(&["-p", "."], &root().join("sdk/typescript"));
    tsc(&["-p", "."], &root().join("examples/hook-first-order-typescript"));
    tsc(&["-p", "."], &fixture("guest-typescript"));
    // The templates as their authors check them, with the SDK that a build puts beside them.
    for kind in ["hook", "kpi"] {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["plugin.ts", "tsconfig.json"] {
            let from = root().join("sdk/templates/typescript").join(kind).join(name);
            std::fs::copy(from, folder.path().join(name)).expect("copied");
        }
        copy(&root().join("sdk/typescript/src"), &folder.path().join(".regard/typescript"));
        tsc(&["--noEmit", "--strict", "-p", "."], folder.path());
    }
}

#[test]
fn python_is_strict() {
    let tools = find(&MYPY, &BuildOptions::new("."), &mut |line| eprintln!("{line}")).expect("mypy");
    let cache = tempfile::tempdir().expect("a folder");
    let mypy = |file: &Path| {
        let mut command = Command::new(venv_python(&tools));
        command.args(["-m", "mypy", "--strict", "--python-version", "3.10", "--cache-dir"]);
        command.arg(cache.path()).arg(file).env("MYPYPATH", root().join("sdk/python"));
        pass(command.current_dir(cache.path()));
    };
    mypy(&root().join("sdk/python/regard"));
    mypy(&root().join("sdk/templates/python/hook/plugin.py"));
    mypy(&root().join("examples/kpi-order-count-python/plugin.py"));
    mypy(&fixture("guest-python").join("plugin.py"));
    mypy(&fixture("guest-python").join("migration.py"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, to).expect("copied");
        }
    }
}
