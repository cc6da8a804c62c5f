//! One instance of a component, and one call of it with its bounds.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use regard_engine::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::bindings::connector::{ConnectorExports, ConnectorExportsIndices};
use super::bindings::hook::{HookExports, HookExportsIndices};
use super::bindings::host::regard::core::types;
use super::bindings::kpi::{KpiExports, KpiExportsIndices};
use super::bindings::lifecycle::LifecycleExportsIndices;
use super::bindings::migration::{MigrationExports, MigrationExportsIndices};
use super::check::MIGRATION;
use super::convert;
use super::engine::{
    HANDLES_MAX, MEMORIES_PER_INSTANCE_MAX, MODULES_PER_INSTANCE_MAX, TABLE_ELEMENTS_MAX,
    TABLES_PER_INSTANCE_MAX,
};
use super::failure::classify;
use crate::call::{CallContext, Role};
use crate::limits::LimitHit;
use crate::manifest::{Capability, Manifest};
use crate::meter::{Meter, Turn};
use crate::runtime::Failure;
use crate::ticker::Ticker;

/// Instances that idle ones leave to others.
const INSTANCES_FREE_MIN: usize = 16;
/// The interface whose `update` is called past the generated bindings.
const EVALUATOR: &str = "regard:kpi/evaluator@0.1.0";
/// Functions of the host that wait for nothing, by interface.
const WAITLESS: [(&str, &str); 2] = [("regard:core/log", "write"), ("regard:core/config", "json")];
/// That function.
const UPDATE: &str = "[method]accumulator.update";

/// A component that is linked and ready to be instantiated.
pub(super) struct Code {
    pre: InstancePre<State>,
    lifecycle: LifecycleExportsIndices,
    connector: Option<ConnectorExportsIndices>,
    hook: Option<HookExportsIndices>,
    kpi: Option<KpiExportsIndices>,
    migration: Option<MigrationExportsIndices>,
    update: Option<ComponentExportIndex>,
    waits: bool,
    ticker: Arc<Ticker>,
    instances: Arc<Semaphore>,
}

/// What lives beside a guest in its store.
pub(crate) struct State {
    /// The call that is under way.
    pub(super) call: CallContext,
    memory_bytes: u64,
    /// What the call under way had computed before its guest was last waited for.
    computed: Duration,
    /// What the call under way computes, when it keeps its thread to itself.
    blocks: Option<Meter>,
}

/// An instance.
pub(super) struct Guest {
    pub(super) store: Store<State>,
    pub(super) instance: Instance,
    pub(super) code: Arc<Code>,
    // Given back last, when the instance's slot in the pool is free again.
    _permit: OwnedSemaphorePermit,
}

impl Code {
    /// Looks the exports of the manifest's capabilities up.
    pub(super) fn new(
        pre: InstancePre<State>,
        manifest: &Manifest,
        ticker: Arc<Ticker>,
        instances: Arc<Semaphore>,
    ) -> wasmtime::Result<Self> {
        let can = |capability| manifest.can(capability).then_some(());
        let update = can(Capability::Kpi).and_then(|()| {
            let component = pre.component();
            let evaluator = component.get_export_index(None, EVALUATOR)?;
            component.get_export_index(Some(&evaluator), UPDATE)
        });
        let migrates = pre
            .component()
            .component_type()
            .exports(pre.engine())
            .any(|(name, _)| name.split_once('@').is_some_and(|(interface, _)| interface == MIGRATION));
        Ok(Self {
            waits: waits(&pre),
            migration: migrates.then(|| MigrationExportsIndices::new(&pre)).transpose()?,
            lifecycle: LifecycleExportsIndices::new(&pre)?,
            connector: can(Capability::Connector).map(|()| ConnectorExportsIndices::new(&pre)).transpose()?,
            hook: can(Capability::Hook).map(|()| HookExportsIndices::new(&pre)).transpose()?,
            kpi: can(Capability::Kpi).map(|()| KpiExportsIndices::new(&pre)).transpose()?,
            update,
            pre,
            ticker,
            instances,
        })
    }

    /// Whether so few instances may still be made that none should lie idle.
    pub(super) fn instances_are_scarce(&self) -> bool {
        self.instances.available_permits() < INSTANCES_FREE_MIN
    }

    /// Whether the component imports a function that may have to wait, so that its calls need a stack of their own.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Whether the component brings what it keeps from version to version.
    pub(super) fn migrates(&self) -> bool {
        self.migration.is_some()
    }

    /// The index of the accumulator's `update`.
    pub(super) fn update(&self) -> wasmtime::Result<&ComponentExportIndex> {
        self.update.as_ref().ok_or_else(|| wasmtime::Error::msg(format!("{EVALUATOR} has no {UPDATE}")))
    }
}

impl Guest {
    /// A new instance, set up, for `call`.
    pub(super) async fn new(code: Arc<Code>, call: CallContext) -> Result<Self, Failure> {
        let waiting = tokio::time::timeout(call.remaining(), code.instances.clone().acquire_owned());
        let Ok(Ok(permit)) = waiting.await else {
            return Err(Failure::new(
                Fault::Throttled,
                "all instances of plugins were busy for the whole time of the call",
            ));
        };
        let (role, name) = (call.role, call.name);
        let limits = call.limits;
        let state = State { call, memory_bytes: 0, computed: Duration::ZERO, blocks: None };
        let mut store = Store::new(code.pre.engine(), state);
        store.limiter(|state| state);
        store.epoch_deadline_callback(|mut context| context.data_mut().tick());
        store.set_max_component_handles(HANDLES_MAX);
        store.set_hostcall_fuel(usize::try_from(limits.output_bytes).unwrap_or(usize::MAX));
        // Set-up counts as part of the first call: it must not make a call take twice its time.
        store.data_mut().call.role = Role::Lifecycle;
        store.set_epoch_deadline(1);
        let running = code.ticker.run();
        let built = within(store.data().bounds(), code.pre.instantiate_async(&mut store)).await;
        store.data_mut().computed = built.computed;
        store.data().call.scope.counters.computed(name, built.computed);
        let instance = match built.result {
            Ok(instance) => instance,
            Err(why) => return Err(classify(&why, store.data())),
        };
        let mut guest = Self { store, instance, code, _permit: permit };
        let lifecycle = guest.code.lifecycle.load(&mut guest.store, &guest.instance);
        let lifecycle = lifecycle.map_err(|why| classify(&why, guest.store.data()))?;
        let bounds = guest.store.data().bounds();
        let configured = {
            let work = lifecycle.regard_core_lifecycle().call_configure(&mut guest.store);
            within(bounds, work).await
        };
        guest.store.data_mut().computed += configured.computed;
        drop(running);
        guest.settle(configured)?.map_err(|error| {
            let mut failure = convert::failure(error);
            failure.message = format!("set-up: {}", failure.message);
            failure
        })?;
        let state = guest.store.data_mut();
        (state.call.role, state.call.name) = (role, name);
        Ok(guest)
    }

    /// The connector's functions.
    pub(super) fn connector(&mut self) -> Result<ConnectorExports, Failure> {
        let indices = self.code.connector.as_ref().ok_or_else(not_exported)?;
        indices.load(&mut self.store, &self.instance).map_err(|why| classify(&why, self.store.data()))
    }

    /// The hook's functions.
    pub(super) fn hook(&mut self) -> Result<HookExports, Failure> {
        let indices = self.code.hook.as_ref().ok_or_else(not_exported)?;
        indices.load(&mut self.store, &self.instance).map_err(|why| classify(&why, self.store.data()))
    }

    /// The functions between two versions.
    pub(super) fn migration(&mut self) -> Result<MigrationExports, Failure> {
        let indices = self.code.migration.as_ref().ok_or_else(not_exported)?;
        indices.load(&mut self.store, &self.instance).map_err(|why| classify(&why, self.store.data()))
    }

    /// The evaluator's functions.
    pub(super) fn kpi(&mut self) -> Result<KpiExports, Failure> {
        let indices = self.code.kpi.as_ref().ok_or_else(not_exported)?;
        indices.load(&mut self.store, &self.instance).map_err(|why| classify(&why, self.store.data()))
    }

    /// Takes the instance over for a call of its own.
    pub(super) fn adopt(&mut self, call: CallContext) {
        let state = self.store.data_mut();
        state.call = call;
        state.computed = Duration::ZERO;
        self.store.set_epoch_deadline(1);
    }

    /// Begins another call on this instance.
    pub(super) fn begin(&mut self, name: &'static str) {
        let state = self.store.data_mut();
        state.call.begin(name);
        state.computed = Duration::ZERO;
        self.store.set_epoch_deadline(1);
    }

    /// What [`within`] needs for a call of this guest, with the clock going.
    pub(super) fn clock(&self) -> (Bounds, crate::ticker::Running) {
        (self.store.data().bounds(), self.code.ticker.run())
    }

    /// Makes a call that keeps the thread to itself until it ends. The store tells it when its time is over.
    pub(super) fn block<T>(
        &mut self,
        work: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T>,
    ) -> Ended<T> {
        self.store.data_mut().blocks = Some(Meter::start());
        let result = work(&mut self.store);
        let meter = self.store.data_mut().blocks.take();
        Ended { result, computed: meter.map(|meter| meter.computed()).unwrap_or_default() }
    }

    /// What a call's end means. The memory that the instance has by now is counted.
    pub(super) fn settle<T>(&self, ended: Ended<T>) -> Result<T, Failure> {
        let state = self.store.data();
        let counters = &state.call.scope.counters;
        counters.memory(state.memory_bytes);
        counters.computed(state.call.name, ended.computed);
        ended.result.map_err(|why| classify(&why, state))
    }

    /// The same for a function of the contract that reports errors.
    pub(super) fn settle_reported<T>(&self, ended: Ended<Result<T, types::Error>>) -> Result<T, Failure> {
        self.settle(ended)?.map_err(convert::failure)
    }
}

/// What bounds the time of a guest that is waited for.
pub(super) struct Bounds {
    /// When it must have ended.
    deadline: Instant,
    /// What it has computed already.
    computed: Duration,
}

/// How a call of a guest ended, and how long the guest computed.
pub(super) struct Ended<T> {
    result: wasmtime::Result<T>,
    computed: Duration,
}

/// Waits for `work` within `bounds`. A guest that computes gives way at every tick, so that this notices. Most calls
/// end before they give way once, and need no timer.
pub(super) async fn within<T>(bounds: Bounds, work: impl Future<Output = wasmtime::Result<T>>) -> Ended<T> {
    let mut work = pin!(work);
    let started = Instant::now();
    let at_once = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    // At most a tick until here, so the clock is good enough, and cheaper than to ask what this thread has computed.
    let mut computed = started.elapsed();
    if let Poll::Ready(result) = at_once {
        return Ended { result, computed };
    }
    let metered = poll_fn(|context| {
        let turn = Turn::begin(bounds.computed + computed);
        let polled = work.as_mut().poll(context);
        computed += turn.end();
        polled
    });
    let result = tokio::time::timeout_at(bounds.deadline.into(), metered).await;
    let result = result.unwrap_or_else(|_| Err(wasmtime::Error::new(LimitHit::Wall(Duration::ZERO))));
    Ended { result, computed }
}

/// Whether a component imports anything but what is [`WAITLESS`].
fn waits(pre: &InstancePre<State>) -> bool {
    let engine = pre.engine();
    pre.component().component_type().imports(engine).any(|(name, import)| {
        let interface = name.split('@').next().unwrap_or(name);
        let ComponentItem::ComponentInstance(instance) = import.ty else { return true };
        instance.exports(engine).any(|(function, item)| {
            matches!(item.ty, ComponentItem::ComponentFunc(_)) && !WAITLESS.contains(&(interface, function))
        })
    })
}

fn not_exported() -> Failure {
    Failure::new(Fault::Unsupported, "the manifest does not name this capability")
}

impl State {
    /// What is left to the call under way.
    fn bounds(&self) -> Bounds {
        Bounds { deadline: self.call.deadline, computed: self.computed }
    }

    /// The guest was found computing at a tick. It gives way to others on its thread, unless it has computed enough.
    fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let most = self.call.limits.cpu;
        let has_computed_enough = match &mut self.blocks {
            Some(meter) => meter.look() >= most,
            None => Turn::computed().is_some_and(|computed| computed >= most),
        };
        if has_computed_enough {
            return Err(wasmtime::Error::new(LimitHit::Cpu(most)));
        }
        if self.blocks.is_none() {
            return Ok(UpdateDeadline::Yield(1));
        }
        if Instant::now() >= self.call.deadline {
            return Err(wasmtime::Error::new(LimitHit::Wall(Duration::ZERO)));
        }
        Ok(UpdateDeadline::Continue(1))
    }
}

/// A refused growth ends the call: the message then tells where the memory went, which an allocator's own failure
/// does not.
impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = self.memory_bytes.saturating_sub(current as u64).saturating_add(desired as u64);
        let most = self.call.limits.memory_bytes;
        if grown > most {
            return Err(wasmtime::Error::new(LimitHit::Memory(most)));
        }
        self.memory_bytes = grown;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            return Err(wasmtime::Error::new(LimitHit::Memory(self.call.limits.memory_bytes)));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MODULES_PER_INSTANCE_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_INSTANCE_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_INSTANCE_MAX as usize
    }
}
