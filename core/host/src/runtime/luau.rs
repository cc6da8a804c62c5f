//! Plugins as Luau programs.
//!
//! - `bootstrap.luau`: what every machine runs first: the global `regard`, `require`, guards
//! - `machine`: one sandboxed virtual machine, and one call in it with its bounds
//! - `interrupt`: how a program is stopped
//! - `bounds`: library functions that cannot be stopped, and how little they are given to do
//! - `imports` and `require`: the host's functions and modules
//! - `values`, `columns`, `records` and `forms`: the contract's types as tables and buffers, there and back
//! - `json`: JSON text straight into the machine
//! - `schema`: `schema.luau`, the plugin's configuration
//! - `pool`: machines kept for further use
//! - `program` and `accumulator`: what the registry calls
//!
//! Invariant: a program gets source text compiled here, never bytecode from a package; it has no files, no sockets, no
//! clock but ours, and no way to load code but `require` of its own files and of `@regard/*`.

mod accumulator;
mod bounds;
mod columns;
mod forms;
mod imports;
mod interrupt;
mod json;
mod machine;
mod pool;
mod program;
mod records;
mod require;
mod schema;
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mlua::chunk::Compiler;

use crate::call::{CallContext, Role, Scope};
use crate::executor::Executor;
use crate::limits::CallLimits;
use crate::manifest::{Capability, Manifest, Settings};
use crate::package::Package;
use crate::registry::LoadError;
use crate::runtime::{Program, shorten};
use crate::ticker::Ticker;

use machine::Machine;
use pool::Pool;
use program::LuauProgram;

/// Modules that every program may require.
const PRELUDE: [(&str, &str); 1] =
    [("@regard/columns", include_str!("../../../../sdk/luau/regard/columns.luau"))];
/// What Luau optimises: everything, inlining included.
const OPTIMISATION: u8 = 2;
/// Line numbers in errors, no names of local variables.
const DEBUG_LEVEL: u8 = 1;

/// Loads Luau programs.
pub(crate) struct Luau {
    executor: Arc<Executor>,
    ticker: Arc<Ticker>,
}

/// A program's modules, compiled by us from its source text.
pub(super) struct Code {
    modules: BTreeMap<String, Vec<u8>>,
    entry: String,
}

impl Code {
    /// Compiles `files` and the prelude; the error names the file and the line.
    fn compile(files: &BTreeMap<String, Vec<u8>>, entry: &Path) -> Result<Self, String> {
        let compiler = Compiler::new().set_optimization_level(OPTIMISATION).set_debug_level(DEBUG_LEVEL);
        let own = files.iter().map(|(name, source)| (name.as_str(), source.as_slice()));
        let prelude = PRELUDE.iter().map(|(name, source)| (*name, source.as_bytes()));
        let mut modules = BTreeMap::new();
        for (name, source) in own.chain(prelude) {
            let compiled = compiler.compile(source).map_err(|why| match why {
                // Luau's message begins with the line.
                mlua::Error::SyntaxError { message, .. } => {
                    format!("{name}:{}", message.trim_start_matches(':'))
                }
                why => format!("{name}: {why}"),
            })?;
            modules.insert(name.to_owned(), compiled);
        }
        Ok(Self { modules, entry: entry.to_string_lossy().into_owned() })
    }
}

impl Luau {
    /// A loader whose programs run on `executor`.
    pub(crate) fn new(executor: Arc<Executor>, ticker: Arc<Ticker>) -> Self {
        Self { executor, ticker }
    }

    /// The schema of the package's configuration, from its `schema.luau`.
    pub(crate) async fn schema(&self, package: &Package, limits: CallLimits) -> Result<Settings, LoadError> {
        let refuse = |problem: String| LoadError::Code {
            plugin: package.manifest().id.clone(),
            problem: shorten(problem),
        };
        if !package.manifest().config.is_empty() {
            return Err(LoadError::Manifest(package.manifest_fault(
                "config",
                "is given, but a Luau plugin describes its configuration in schema.luau".to_owned(),
                "move the schema there".to_owned(),
            )));
        }
        let Some(source) = package.files().get(schema::FILE).cloned() else { return Ok(Settings::default()) };
        let ticker = self.ticker.clone();
        let read = self.executor.block(move || schema::read(&source, limits, &ticker)).await;
        read.and_then(|read| read).map_err(|failure| refuse(failure.message))
    }

    /// Compiles the package and checks what its handler returns against the manifest.
    pub(crate) async fn load(
        &self,
        package: &Package,
        scope: &Arc<Scope>,
    ) -> Result<Box<dyn Program>, LoadError> {
        let refuse =
            |problem: String| LoadError::Code { plugin: scope.id.clone(), problem: shorten(problem) };
        // A large source takes long to compile, and the server's threads have other things to do.
        let (files, entry) = (package.files().clone(), package.manifest().entry());
        let compiled = self.executor.block(move || Code::compile(&files, &entry)).await;
        let compiled = compiled.map_err(|failure| refuse(failure.message))?;
        let code = Arc::new(compiled.map_err(refuse)?);
        let call = CallContext::new(scope.clone(), Role::Lifecycle, "configure");
        let (ours, ticker) = (code.clone(), self.ticker.clone());
        let made = self.executor.block(move || Machine::new(&ours, call, &ticker).0).await;
        let machine = made.and_then(|made| made).map_err(|failure| refuse(failure.message))?;
        check_exports(package, &machine)?;
        let migrates = machine.exports("migration");
        let pool = Pool::new(code, machine, self.ticker.clone());
        Ok(Box::new(LuauProgram::new(pool, self.executor.clone(), migrates)))
    }
}

/// Refuses a handler that returns more or less than the manifest names.
fn check_exports(package: &Package, machine: &Machine) -> Result<(), LoadError> {
    let manifest: &Manifest = package.manifest();
    let entry = manifest.entry();
    let entry = entry.display();
    for capability in [Capability::Connector, Capability::Hook, Capability::Kpi] {
        let exported = machine.exports(&capability.to_string());
        if manifest.can(capability) && !exported {
            return Err(LoadError::Manifest(package.manifest_fault(
                "capabilities",
                format!("names `{capability}`, but {entry} returns no `{capability}` table"),
                format!("implement the capability, or remove \"{capability}\""),
            )));
        }
        if exported && !manifest.can(capability) {
            return Err(LoadError::Manifest(package.manifest_fault(
                "capabilities",
                format!("does not name `{capability}`, but {entry} returns a `{capability}` table"),
                format!("add \"{capability}\", or remove it from the code"),
            )));
        }
    }
    let required = [
        (Capability::Hook, "hook", "handle"),
        (Capability::Connector, "connector", "describe"),
        (Capability::Kpi, "kpi", "describe"),
        (Capability::Kpi, "kpi", "open"),
    ];
    if machine.exports("migration") {
        for function in ["upgrade", "downgrade"] {
            if machine.function("migration", function).is_none() {
                return Err(LoadError::Code {
                    plugin: manifest.id.clone(),
                    problem: format!(
                        "{entry} returns a `migration` table without {function}; write the function, \
                         raise an error where it cannot be done"
                    ),
                });
            }
        }
    }
    for (capability, table, function) in required {
        if manifest.can(capability) && machine.function(table, function).is_none() {
            return Err(LoadError::Manifest(package.manifest_fault(
                "capabilities",
                format!("names `{capability}`, but {entry} has no function {table}.{function}"),
                "write the function".to_owned(),
            )));
        }
    }
    Ok(())
}
