//! An open accumulator: an instance that is kept until the run ends.

use std::sync::Arc;

use async_trait::async_trait;
use regard_engine::columns::{Batch, ColumnValues};
use regard_model::Timestamp;
use wasmtime::component::{ComponentType, Lower, ResourceAny, TypedFunc};

use super::bindings::host::regard::core::types;
use super::bindings::kpi::KpiExports;
use super::convert;
use super::guest::{Guest, within};
use crate::executor::Executor;
use crate::runtime::{Failure, Session};

/// A batch as it is handed over: it borrows the caller's columns, so that the only copy is the one into the guest.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
struct BatchRef<'a> {
    rows: u32,
    columns: &'a [ColumnRef<'a>],
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
struct ColumnRef<'a> {
    name: &'a str,
    validity: Option<&'a [u8]>,
    data: DataRef<'a>,
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
enum DataRef<'a> {
    #[component(name = "boolean")]
    Boolean(&'a [u8]),
    #[component(name = "int64")]
    Int64(&'a [i64]),
    #[component(name = "float64")]
    Float64(&'a [f64]),
    #[component(name = "timestamp-ms")]
    TimestampMs(&'a [i64]),
    #[component(name = "utf8")]
    Utf8(TextRef<'a>),
    #[component(name = "dictionary")]
    Dictionary(DictionaryRef<'a>),
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
struct TextRef<'a> {
    offsets: &'a [u32],
    data: &'a [u8],
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
struct DictionaryRef<'a> {
    codes: &'a [u32],
    offsets: &'a [u32],
    data: &'a [u8],
}

/// An open accumulator of a component. The guest is taken out for a call and put back when the call has left it whole:
/// a call that is cancelled, or breaks the guest, leaves nothing behind that could be called again.
pub(super) struct WasmAccumulator {
    guest: Option<Open>,
    executor: Arc<Executor>,
}

/// The instance with its one accumulator.
pub(super) struct Open {
    pub(super) guest: Guest,
    exports: KpiExports,
    accumulator: ResourceAny,
    update: Update,
}

/// The accumulator's `update`, looked up and checked once. The generated bindings would have the batch in owned lists;
/// this takes what the caller has, and only for the time of a call, however long the parameters here claim to live.
type Update = TypedFunc<(ResourceAny, &'static [u32], u32, BatchRef<'static>), (Result<(), types::Error>,)>;

impl WasmAccumulator {
    pub(super) fn new(open: Open, executor: Arc<Executor>) -> Self {
        Self { guest: Some(open), executor }
    }

    /// Puts the guest back unless the call broke it.
    fn put_back<T>(&mut self, open: Open, ended: Result<T, Failure>) -> Result<T, Failure> {
        if !ended.as_ref().is_err_and(|failure| failure.fault.breaks_instance()) {
            self.guest = Some(open);
        }
        ended
    }
}

/// Calls a function of the accumulator that reports errors, on a plugin thread.
macro_rules! call {
    ($self:ident, $name:literal, |$open:ident, $evaluator:ident| $work:expr) => {{
        let mut $open = $self.guest.take().ok_or_else(Failure::broken)?;
        let (open, ended) = $self
            .executor
            .run(async move {
                $open.guest.begin($name);
                let (bounds, running) = $open.guest.clock();
                let ended = {
                    let $evaluator = $open.exports.regard_kpi_evaluator().accumulator();
                    within(bounds, $work).await
                };
                drop(running);
                let ended = $open.guest.settle_reported(ended);
                ($open, ended)
            })
            .await?;
        $self.put_back(open, ended)
    }};
}

#[async_trait]
impl Session for WasmAccumulator {
    async fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Failure> {
        let mut open = self.guest.take().ok_or_else(Failure::broken)?;
        let (open, ended) = if Executor::is_here() {
            let ended = open.update(groups, group_count, rows).await;
            (open, ended)
        } else {
            let (groups, rows) = (groups.to_vec(), rows.clone());
            let work = async move {
                let ended = open.update(&groups, group_count, &rows).await;
                (open, ended)
            };
            self.executor.run(work).await?
        };
        self.put_back(open, ended)
    }

    async fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Failure> {
        let (state, remap) = (state.to_vec(), remap.to_vec());
        call!(self, "merge", |open, evaluator| evaluator.call_merge(
            &mut open.guest.store,
            open.accumulator,
            &state,
            &remap
        ))
    }

    async fn state(&mut self) -> Result<Vec<u8>, Failure> {
        call!(self, "state", |open, evaluator| evaluator.call_state(&mut open.guest.store, open.accumulator))
    }

    async fn finish(&mut self, as_of: Timestamp) -> Result<Batch, Failure> {
        let as_of_ms = as_of.as_millis();
        let finished = call!(self, "finish", |open, evaluator| evaluator.call_finish(
            &mut open.guest.store,
            open.accumulator,
            as_of_ms
        ));
        finished.map(convert::batch)
    }

    async fn model(&mut self) -> Result<Option<String>, Failure> {
        call!(self, "model", |open, evaluator| evaluator.call_model(&mut open.guest.store, open.accumulator))
    }
}

impl Open {
    pub(super) fn new(
        mut guest: Guest,
        exports: KpiExports,
        accumulator: ResourceAny,
    ) -> wasmtime::Result<Self> {
        let index = guest.code.update()?;
        let update = guest.instance.get_typed_func(&mut guest.store, index)?;
        Ok(Self { guest, exports, accumulator, update })
    }

    async fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Failure> {
        let columns: Vec<ColumnRef<'_>> = rows.columns.iter().map(column).collect();
        let batch = BatchRef { rows: rows.rows, columns: &columns };
        self.guest.begin("update");
        let (bounds, running) = self.guest.clock();
        let update = self.update;
        let parameters = (self.accumulator, groups, group_count, batch);
        // A thread that drives one evaluation only may be kept busy, which spares the call a stack of its own.
        if !self.guest.code.waits() && Executor::may_block() {
            let ended = self.guest.block(|store| Ok(update.call(store, parameters)?.0));
            drop(running);
            return self.guest.settle_reported(ended);
        }
        let ended = within(bounds, async {
            let (ended,) = update.call_async(&mut self.guest.store, parameters).await?;
            Ok(ended)
        });
        let ended = ended.await;
        drop(running);
        self.guest.settle_reported(ended)
    }
}

fn column(column: &regard_engine::columns::Column) -> ColumnRef<'_> {
    let data = match &column.values {
        ColumnValues::Boolean(values) => DataRef::Boolean(values),
        ColumnValues::Int64(values) => DataRef::Int64(values),
        ColumnValues::Float64(values) => DataRef::Float64(values),
        ColumnValues::TimestampMs(values) => DataRef::TimestampMs(values),
        ColumnValues::Utf8(texts) => DataRef::Utf8(TextRef { offsets: &texts.offsets, data: &texts.bytes }),
        ColumnValues::Dictionary { codes, entries } => {
            DataRef::Dictionary(DictionaryRef { codes, offsets: &entries.offsets, data: &entries.bytes })
        }
    };
    ColumnRef { name: &column.name, validity: column.validity.as_deref(), data }
}
