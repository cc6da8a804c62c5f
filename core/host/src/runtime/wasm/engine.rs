//! How guests are compiled, stopped and given memory.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::registry::HostOptions;

/// Core modules in one component: the guest's own, its adapters, and the small ones that wit-component adds. A guest in
/// Rust has four, one with an interpreter is linked of shared libraries: 40 for Python.
pub(super) const MODULES_PER_INSTANCE_MAX: u32 = 64;
/// Memories in one component: one for the guest and a few for adapters.
pub(super) const MEMORIES_PER_INSTANCE_MAX: u32 = 4;
/// Tables in one component.
pub(super) const TABLES_PER_INSTANCE_MAX: u32 = 8;
/// Entries in one table: functions that are called through pointers; large programs have some ten thousand.
pub(super) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Handles of resources that a guest may hold: an accumulator is one, and the host lends none. Their table is the host's
/// memory, which no bound of the guest's counts.
pub(super) const HANDLES_MAX: usize = 10_000;
/// Memory that a freed slot keeps for the next instance, in bytes: what a small guest touches, so that its next
/// instance needs no page faults. Where the kernel can tell which pages were touched, only those are cleared.
const SLOT_RESIDENT_BYTES: usize = 256 << 10;
/// Stack of a guest, in bytes; deeper recursion is a defect.
const STACK_BYTES: usize = 1 << 20;
/// Stack of the thread of control that carries the guest and the host's functions it calls, in bytes.
const ASYNC_STACK_BYTES: usize = 2 << 20;
/// Frames in a trap's backtrace; the innermost ones tell what happened.
const BACKTRACE_FRAMES_MAX: usize = 8;

/// One engine for all plugins. Evaluators must give the same bits on every machine, so NaNs are canonical and relaxed
/// SIMD is deterministic for all of them; the cost does not show in plugins that do other things.
pub(super) fn build(options: &HostOptions) -> anyhow::Result<Engine> {
    let pooled = Engine::new(config().allocation_strategy(pool(options)));
    pooled
        .or_else(|why| {
            // A small machine, or a limit on address space, cannot hold the pool. Guests then get memory one by one.
            tracing::warn!("no pool for plugin instances, they are allocated on demand: {why:#}");
            Engine::new(config().allocation_strategy(InstanceAllocationStrategy::OnDemand))
        })
        .map_err(|why| anyhow::anyhow!("cannot set up WebAssembly: {why:#}"))
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .shared_memory(false)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    config
}

fn pool(options: &HostOptions) -> PoolingAllocationConfig {
    let instances = options.instances_max;
    let memory = options.limits.evaluation.memory_bytes.max(options.limits.interactive.memory_bytes);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(MODULES_PER_INSTANCE_MAX))
        .total_stacks(instances)
        // Nearly every component has one memory and two tables; the rest is room for the few that have more.
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .max_core_instances_per_component(MODULES_PER_INSTANCE_MAX)
        .max_memories_per_component(MEMORIES_PER_INSTANCE_MAX)
        .max_tables_per_component(TABLES_PER_INSTANCE_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(usize::try_from(memory).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(SLOT_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(instances / 4);
    pool
}
