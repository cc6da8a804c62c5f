//! Plugins as native libraries that the operator trusts.
//!
//! - `files`: the library on disk, in a folder that only the host writes
//! - `library` and `accumulator`: the library's functions, called safely
//! - `table` and `columns`: the host's functions as the library calls them, and columns there and back
//! - `current`: the call that is under way on a thread, and its bounds
//! - `functions` and `forms`: the host's functions by name, in JSON
//! - `threads`: a library's own threads, and which of its calls are stuck
//! - `program`: what the registry calls
//!
//! Invariants: a library is loaded only when its package's digest is allowed, and never unloaded: its threads, statics
//! and destructors may outlive every call. Nothing bounds its memory and its computing; a call that does not return in
//! time costs the library a thread of its own and nobody else anything.

mod accumulator;
mod columns;
mod current;
mod files;
mod forms;
mod functions;
mod library;
mod program;
mod table;
mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::call::{CallContext, Role, Scope};
use crate::executor::Executor;
use crate::manifest::Capability;
use crate::package::Package;
use crate::registry::LoadError;
use crate::runtime::{Failure, Program};

use library::{Function, Library};
use program::NativeProgram;
use threads::Threads;

/// Folder below the cache folder.
const FOLDER: &str = "native";

/// Loads native libraries.
pub(crate) struct Native {
    folder: PathBuf,
    allowed: BTreeSet<String>,
    executor: Arc<Executor>,
    // By the package's digest. Libraries stay for as long as the host: loading one again gives the same code and the same
    // statics, so it must also give the same threads, stuck ones included.
    loaded: Mutex<BTreeMap<String, Arc<Library>>>,
}

impl Native {
    /// A loader that keeps libraries below `cache_dir` and takes packages with these digests only.
    pub(crate) fn new(cache_dir: &Path, allowed: BTreeSet<String>, executor: Arc<Executor>) -> Self {
        Self { folder: cache_dir.join(FOLDER), allowed, executor, loaded: Mutex::default() }
    }

    /// Loads the package's library, checks what it exports against the manifest, and sets it up.
    pub(crate) async fn load(
        &self,
        package: &Package,
        scope: &Arc<Scope>,
    ) -> Result<Box<dyn Program>, LoadError> {
        let refuse = |problem: String| LoadError::Code { plugin: scope.id.clone(), problem };
        let digest = package.digest();
        if !self.allowed.contains(digest) {
            return Err(refuse(format!(
                "is a native library, which runs unprotected and is refused unless its digest is allowed; if you \
                 trust it, write `[native]` and `allow = [\"{digest}\"]` into regard.toml"
            )));
        }
        let set_up = || CallContext::new(scope.clone(), Role::Lifecycle, "configure");
        let library = self.library(package, set_up()).await.map_err(|failure| refuse(failure.message))?;
        check_exports(package, &library)?;
        let program = NativeProgram::new(library);
        program
            .configure(set_up())
            .await
            .map_err(|failure| refuse(format!("set-up: {}", failure.message)))?;
        Ok(Box::new(program))
    }

    /// The library of this package, loaded before or now. Its constructors are its own code, so they run on its threads.
    async fn library(&self, package: &Package, call: CallContext) -> Result<Arc<Library>, Failure> {
        let known = self.loaded.lock().get(package.digest()).cloned();
        if let Some(library) = known {
            return Ok(library);
        }
        let threads = Threads::start(&package.manifest().id, self.executor.clone())?;
        let (folder, digest) = (self.folder.clone(), package.digest().to_owned());
        let bytes = package.entry().to_vec();
        let opening = move || files::place(&folder, &digest, &bytes).and_then(|file| library::open(&file));
        let opened = threads.run(call.role, "load", (call.deadline, call.limits.call), opening).await?;
        let table = opened.map_err(|why| Failure::new(regard_engine::Fault::Invalid, why))?;
        let mut loaded = self.loaded.lock();
        let library = loaded
            .entry(package.digest().to_owned())
            .or_insert_with(|| Arc::new(Library::new(table, threads)));
        Ok(library.clone())
    }
}

/// Refuses a library that exports more or less than the manifest names.
fn check_exports(package: &Package, library: &Library) -> Result<(), LoadError> {
    let manifest = package.manifest();
    let entry = manifest.entry();
    let entry = entry.display();
    let tells = [
        (Capability::Connector, Function::ConnectorDescribe),
        (Capability::Hook, Function::HookHandle),
        (Capability::Kpi, Function::KpiDescribe),
    ];
    let fault = |problem: String, mend: String| {
        LoadError::Manifest(package.manifest_fault("capabilities", problem, mend))
    };
    for (capability, tell) in tells {
        let exported = library.has(tell);
        let name = tell.as_str();
        if manifest.can(capability) && !exported {
            return Err(fault(
                format!("names `{capability}`, but {entry} has no function {name}"),
                format!("implement the capability, or remove \"{capability}\""),
            ));
        }
        if exported && !manifest.can(capability) {
            return Err(fault(
                format!("does not name `{capability}`, but {entry} has a function {name}"),
                format!("add \"{capability}\", or remove it from the code"),
            ));
        }
    }
    if let Some(missing) = library.missing_of_kpi().filter(|_| manifest.can(Capability::Kpi)) {
        return Err(fault(
            format!("names `kpi`, but {entry} has no function {missing}"),
            "write the function".to_owned(),
        ));
    }
    Ok(())
}
