//! Metrics over columns: what an evaluator plugin implements.
//!
//! An accumulator is mergeable: fed the same rows in any order, in any batches, or apart and then merged, it
//! must finish with the same values. One evaluator then serves a backfill, an incremental update, a parallel
//! run and a distributed one.

use std::cell::RefCell;

use crate::bindings::kpi::exports::regard::kpi::evaluator as wit;
use crate::{Batch, Error};

pub use crate::bindings::kpi::exports::regard::kpi::evaluator::{Input, Metric, Subject};

/// The column with an interaction's time, milliseconds since the epoch; always there when asked for.
pub const OCCURRED_AT: &str = "occurred-at";
/// The column with an interaction's amount in minor units of the run's currency; null without amount.
pub const AMOUNT: &str = "amount";
/// The dictionary column with an interaction's kind.
pub const KIND: &str = "kind";
/// The dictionary column with an interaction's channel.
pub const CHANNEL: &str = "channel";
/// The column of `finish` that holds the metric's value.
pub const VALUE: &str = "value";

/// A plugin that computes metrics.
pub trait Evaluator: 'static {
    /// What holds the running computation; `Box<dyn Accumulator>` where metrics differ in it.
    type Accumulator: Accumulator;

    /// The metrics this plugin computes.
    fn describe() -> Vec<Metric>;

    /// A new computation of `metric` with `parameters`, JSON that fits the metric's schema with its defaults
    /// filled in.
    fn open(metric: &str, parameters: &str) -> Result<Self::Accumulator, Error>;
}

/// A running computation of one metric. It is [`Send`] because a native host calls it from one thread at a time, but not
/// always the same one; a component has one thread only.
pub trait Accumulator: Send + 'static {
    /// Adds rows. `groups[i]` is the subject of row i, below `group_count`, which never shrinks; rows come in
    /// any order. [`crate::columns::check_groups`] checks what the host promises.
    fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Error>;

    /// Adds another accumulator's [`state`](Self::state); its group i is `remap[i]` here. Two groups may
    /// become one, as when customers are merged.
    fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Error>;

    /// Everything added so far, as bytes that a later version of the plugin still reads. Equal content
    /// should give equal bytes, whatever the way it came in.
    fn state(&mut self) -> Result<Vec<u8>, Error>;

    /// One row per group: float64 column `value`, null where the metric is undefined for the group, then
    /// further columns as the metric documents. `as_of_ms` is the first instant outside the window.
    fn finish(&mut self, as_of_ms: i64) -> Result<Batch, Error>;

    /// After [`finish`](Self::finish): fitted parameters and fit quality as JSON, for metrics that fit a
    /// model. None by default.
    fn model(&self) -> Result<Option<String>, Error> {
        Ok(None)
    }
}

impl Accumulator for Box<dyn Accumulator> {
    fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Error> {
        (**self).update(groups, group_count, rows)
    }

    fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Error> {
        (**self).merge(state, remap)
    }

    fn state(&mut self) -> Result<Vec<u8>, Error> {
        (**self).state()
    }

    fn finish(&mut self, as_of_ms: i64) -> Result<Batch, Error> {
        (**self).finish(as_of_ms)
    }

    fn model(&self) -> Result<Option<String>, Error> {
        (**self).model()
    }
}

/// An input column that a metric cannot do without.
pub fn required(column: &str) -> Input {
    Input { column: column.to_owned(), required: true }
}

/// An input column that a metric uses when it is there.
pub fn optional(column: &str) -> Input {
    Input { column: column.to_owned(), required: false }
}

/// An evaluator behind the contract's interface; [`plugin!`](crate::plugin!) exports it.
#[doc(hidden)]
pub struct Exported<E>(std::marker::PhantomData<E>);

/// An accumulator behind the contract's resource. A guest has one thread and the contract's methods do not
/// call back, so the cell is never borrowed twice.
#[doc(hidden)]
pub struct Opened<E: Evaluator>(RefCell<E::Accumulator>);

impl<E: Evaluator> wit::Guest for Exported<E> {
    type Accumulator = Opened<E>;

    fn describe() -> Vec<Metric> {
        E::describe()
    }
}

impl<E: Evaluator> wit::GuestAccumulator for Opened<E> {
    fn open(metric: String, parameters: String) -> Result<wit::Accumulator, Error> {
        E::open(&metric, &parameters).map(|opened| wit::Accumulator::new(Self(RefCell::new(opened))))
    }

    fn update(&self, groups: Vec<u32>, group_count: u32, rows: Batch) -> Result<(), Error> {
        self.0.borrow_mut().update(&groups, group_count, &rows)
    }

    fn merge(&self, state: Vec<u8>, remap: Vec<u32>) -> Result<(), Error> {
        self.0.borrow_mut().merge(&state, &remap)
    }

    fn state(&self) -> Result<Vec<u8>, Error> {
        self.0.borrow_mut().state()
    }

    fn finish(&self, as_of_ms: i64) -> Result<Batch, Error> {
        self.0.borrow_mut().finish(as_of_ms)
    }

    fn model(&self) -> Result<Option<String>, Error> {
        self.0.borrow().model()
    }
}
