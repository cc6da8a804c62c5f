//! Plugins as WebAssembly components.
//!
//! - `engine`: how guests are compiled and stopped
//! - `cache`: compiled code on disk
//! - `check`: exports equal the manifest, imports are within the grants
//! - `bindings` and `convert`: the contract's types and ours
//! - `imports`: the host's functions
//! - `guest`: one instance, and one call of it with its bounds
//! - `idle`: instances that serve several calls
//! - `program` and `accumulator`: what the registry calls
//! - `failure`: what a failed call means
//!
//! Invariant: nothing but `regard:core` is linked. A guest has no files, no sockets and no clock but ours.

mod accumulator;
mod bindings;
mod cache;
mod check;
mod convert;
mod engine;
mod failure;
mod guest;
mod idle;
mod imports;
mod program;

use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::executor::Executor;
use crate::manifest::ContractLine;
use crate::package::Package;
use crate::registry::{HostOptions, LoadError};
use crate::ticker::Ticker;

use cache::Cache;
use guest::{Code, State};
use program::WasmProgram;

/// Loads components.
pub(crate) struct Wasm {
    engine: Engine,
    /// The host's functions as the line 0.1 of the contract has them.
    v0_1: Linker<State>,
    cache: Arc<Cache>,
    executor: Arc<Executor>,
    ticker: Arc<Ticker>,
    instances: Arc<Semaphore>,
}

impl Wasm {
    /// The engine of all components; its epoch is moved on by the ticker.
    pub(crate) fn engine(options: &HostOptions) -> anyhow::Result<Engine> {
        engine::build(options)
    }

    /// A loader with `engine`.
    pub(crate) fn new(
        engine: Engine,
        options: &HostOptions,
        executor: Arc<Executor>,
        ticker: Arc<Ticker>,
    ) -> anyhow::Result<Self> {
        let v0_1 = imports::link(&engine)?;
        let cache = Arc::new(Cache::open(&options.cache_dir, &engine)?);
        let instances = Arc::new(Semaphore::new(options.instances_max as usize));
        Ok(Self { engine, v0_1, cache, executor, ticker, instances })
    }

    /// Compiles the package's component, or takes it from the cache, and checks it against the manifest.
    pub(crate) async fn load(&self, package: &Package) -> Result<WasmProgram, LoadError> {
        let refuse = |problem: String| LoadError::Code { plugin: package.manifest().id.clone(), problem };
        let (engine, cache, bytes) = (self.engine.clone(), self.cache.clone(), package.entry().to_vec());
        let compiled = self.executor.block(move || cache.load(&engine, &bytes)).await;
        let component: Component = compiled.map_err(|failure| refuse(failure.message))?.map_err(refuse)?;
        check::exports_and_imports(package, &self.engine, &component)?;
        let contract = &package.manifest().contract;
        // Each line has its own linker, exports and conversions. What is called is behind `Program`, so another line is
        // another type there, made here.
        let linker = match ContractLine::of(contract) {
            Some(ContractLine::V0_1) => &self.v0_1,
            None => return Err(refuse(format!("contract {contract} is not supported by this host"))),
        };
        let pre = linker.instantiate_pre(&component).map_err(|why| refuse(format!("{why:#}")))?;
        let code = Code::new(pre, package.manifest(), self.ticker.clone(), self.instances.clone());
        let code = code.map_err(|why| refuse(format!("does not fit contract {contract}: {why:#}")))?;
        Ok(WasmProgram::new(Arc::new(code), self.executor.clone()))
    }
}
