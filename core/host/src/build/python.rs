//! Turns a Python plugin into a component: an interpreter that has already imported `plugin.py`, the SDK and whatever they
//! import, with the memory that it has then.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::command::{Finished, run};
use super::sources::{Kept, Work, digest};
use super::toolchain::{Packages, Toolchain, find, venv_python};
use super::{BuildError, BuildOptions, component, contract, editor};
use crate::manifest::{CONTRACT, Capability, Manifest};

/// What makes components of Python programs, with its version.
const NAME: &str = "componentize-py-0.25.1";
/// The same as pip names it.
const REQUIREMENT: &str = "componentize-py==0.25.1";
/// The version of Python that it brings, for packages that a plugin depends on.
const PYTHON: &str = "3.14";
/// The file that a plugin begins with.
const MODULE: &str = "plugin.py";
/// The file with what happens between two versions; without it nothing does.
const MIGRATION: &str = "migration.py";
/// The module that says what the component exports.
const APP: &str = "regard_app";
/// The module in which the contract's resource is looked for; a plugin may have an `evaluator.py` of its own.
const EVALUATOR: &str = "regard_evaluator";
/// Making a component takes ten seconds, fetching what a plugin depends on perhaps a minute; more means that something
/// hangs.
const STEP_TIME_MAX: Duration = Duration::from_secs(600);

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../../sdk/python/regard/", $name)))),+]
    };
}

/// The SDK's files.
pub(super) const SDK: [(&str, &str); 23] = files![
    "__init__.py",
    "clock.py",
    "columns.py",
    "config.py",
    "connectors.py",
    "customers.py",
    "errors.py",
    "hooks.py",
    "http.py",
    "interactions.py",
    "kpi.py",
    "kv.py",
    "log.py",
    "messages.py",
    "metrics.py",
    "py.typed",
    "records.py",
    "runtime.py",
    "sandbox.py",
    "setup.py",
    "types.py",
    "values.py",
    "wit.py",
];

/// As far as pyproject.toml matters here.
#[derive(Default, Deserialize)]
struct Pyproject {
    #[serde(default)]
    project: Project,
}

#[derive(Default, Deserialize)]
struct Project {
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The component of the plugin in `folder`.
pub fn build(
    manifest: &Manifest,
    folder: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<component::Encoded, BuildError> {
    let refused = |reason: String| BuildError::Refused { plugin: manifest.id.clone(), reason };
    if !folder.join(MODULE).is_file() {
        return Err(refused(format!("there is no {MODULE}; a Python plugin begins there")));
    }
    let dependencies = dependencies(folder).map_err(refused)?;
    editor::show(folder, "python/regard", &SDK, progress);
    let migrates = folder.join(MIGRATION).is_file();
    let sdk: String = SDK.iter().map(|(_, text)| *text).collect();
    let sources = digest(folder, &[NAME, &sdk, &contract::text(), &app(manifest, migrates)])?;
    let kept = Kept::new(&manifest.id, folder, sources, options);
    if let Some(bytes) = kept.read() {
        return component::check(manifest, bytes);
    }

    let tools = find(&Toolchain { name: NAME, packages: Packages::PyPi(&[REQUIREMENT]) }, options, progress)?;
    let work = Work::new(&manifest.id, options)?;
    for (name, text) in SDK {
        work.write(&format!("sdk/regard/{name}"), text)?;
    }
    work.write(&format!("app/{APP}.py"), &app(manifest, migrates))?;
    work.write(&format!("app/{EVALUATOR}.py"), "from regard.runtime import Accumulator as Accumulator\n")?;
    contract::write(&work.path("wit"), &contract::world(manifest, &contract::imports(manifest), migrates))
        .map_err(|source| BuildError::File { path: work.path("wit"), source })?;
    let python = venv_python(&tools);
    if !dependencies.is_empty() {
        fetch(manifest, &python, &dependencies, &work, options, progress)?;
    }

    progress(&format!("{}: making a component with Python {PYTHON}", manifest.id));
    let component = work.path("component.wasm");
    let mut command = Command::new(python);
    // A backtrace of the tool says nothing about the plugin, and another environment's packages are none of its own.
    command.env("RUST_BACKTRACE", "0").env_remove("VIRTUAL_ENV").env_remove("PYTHONPATH");
    command.args([
        "-c",
        "import sys; from componentize_py import script; sys.argv[0] = 'componentize-py'; script()",
    ]);
    command.arg("--quiet").arg("-d").arg(work.path("wit")).args(["-w", contract::WORLD]);
    command.arg("--export-interface-name").arg(format!("regard:kpi/evaluator@{CONTRACT}={EVALUATOR}"));
    command.args(["componentize", "--stub-wasi", "-p"]).arg(folder);
    for path in ["sdk", "app", "dependencies"].map(|name| work.path(name)).iter().filter(|path| path.is_dir())
    {
        command.arg("-p").arg(path);
    }
    command.arg(APP).arg("-o").arg(&component);
    let finished = start(&mut command)?;
    if !finished.success() {
        let output = told(&finished);
        return Err(BuildError::Step { plugin: manifest.id.clone(), step: "componentize-py", output });
    }
    let bytes =
        std::fs::read(&component).map_err(|source| BuildError::File { path: component.clone(), source })?;
    let component = component::take(manifest, &bytes, migrates)?;
    kept.write(&component.bytes)?;
    Ok(component)
}

/// The module that imports the plugin and names the classes behind the world's exports.
fn app(manifest: &Manifest, migrates: bool) -> String {
    // Imported before the check, which looks at it.
    let (migration, first) =
        if migrates { ("import migration\n", "Lifecycle, Migration") } else { ("", "Lifecycle") };
    let classes: Vec<_> = manifest
        .capabilities
        .iter()
        .map(|capability| match capability {
            Capability::Connector => "Connector",
            Capability::Hook => "Hook",
            // Named after the module of the resource.
            Capability::Kpi => "Evaluator as RegardEvaluator",
        })
        .collect();
    let names: Vec<_> = manifest.capabilities.iter().map(|capability| format!("\"{capability}\"")).collect();
    format!(
        "import plugin\n{migration}from regard import runtime\nfrom regard.runtime import {first}, {}\n\n\
         runtime.check([{}])\n",
        classes.join(", "),
        names.join(", ")
    )
}

/// What pyproject.toml names under `[project]`.
fn dependencies(folder: &Path) -> Result<Vec<String>, String> {
    let path = folder.join("pyproject.toml");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).map_err(|e| format!("pyproject.toml: {e}"))?;
    let parsed: Pyproject = toml::from_str(&text).map_err(|e| format!("pyproject.toml: {e}"))?;
    // The SDK comes with the build.
    Ok(parsed.project.dependencies.into_iter().filter(|one| one != "regard").collect())
}

/// Fetches packages that are pure Python: a component cannot run machine code of another kind.
fn fetch(
    manifest: &Manifest,
    python: &Path,
    dependencies: &[String],
    work: &Work,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<(), BuildError> {
    if options.offline {
        return Err(BuildError::Toolchain(format!(
            "{}: nothing may be fetched, but pyproject.toml has dependencies; build without --offline",
            manifest.id
        )));
    }
    progress(&format!("{}: fetching {}", manifest.id, dependencies.join(", ")));
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]);
    pip.args(["--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none"]);
    pip.args(["--python-version", PYTHON, "--target"]).arg(work.path("dependencies")).args(dependencies);
    let finished = start(&mut pip)?;
    if finished.success() {
        return Ok(());
    }
    let output = format!("{}\n(only packages in pure Python run inside a plugin)", finished.stderr);
    Err(BuildError::Step { plugin: manifest.id.clone(), step: "pip", output })
}

fn start(command: &mut Command) -> Result<Finished, BuildError> {
    run(command, STEP_TIME_MAX, &mut |_| {})
        .map_err(|e| BuildError::Toolchain(format!("the Python toolchain does not start ({e})")))
}

/// What went wrong in the plugin's own code, without what the tool says of itself.
fn told(finished: &Finished) -> String {
    let said = &finished.stderr;
    let start = said.find("AssertionError: ").map_or(0, |at| at + "AssertionError: ".len());
    let end = said[start..].find("\n\nCaused by:").map_or(said.len(), |at| start + at);
    // The folders of the build are numbered inside, the plugin's own is the first.
    let told = said[start..end].trim().replace("\"/0/", "\"");
    if told.is_empty() { finished.failure() } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_is_packed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python/regard");
        editor::tests::check_packed(&root, &["py", "typed"], &SDK);
    }

    #[test]
    fn the_plugins_own_fault_is_told() {
        let said = "Traceback (most recent call last):\n  File \"<string>\"\nAssertionError: Traceback:\n  File \
                    \"/0/plugin.py\", line 5\nSyntaxError: '(' was never closed\n\n\nCaused by:\n    SyntaxError";
        let finished = Finished { status: None, stdout: String::new(), stderr: said.to_owned() };
        assert_eq!(
            told(&finished),
            "Traceback:\n  File \"plugin.py\", line 5\nSyntaxError: '(' was never closed"
        );
    }

    #[test]
    fn dependencies_are_those_of_the_project() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(dependencies(folder.path()), Ok(Vec::new()));
        let path = folder.path().join("pyproject.toml");
        std::fs::write(&path, "[project]\nname = \"x\"\ndependencies = [\"regard\", \"attrs>=25\"]\n")
            .expect("written");
        assert_eq!(dependencies(folder.path()), Ok(vec!["attrs>=25".to_owned()]));
        std::fs::write(&path, "[tool.mypy]\nstrict = true\n").expect("written");
        assert_eq!(dependencies(folder.path()), Ok(Vec::new()));
    }
}
