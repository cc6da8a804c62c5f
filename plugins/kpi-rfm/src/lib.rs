//! Recency, frequency and monetary value of customers, scored by quintiles and named by segments.
//!
//! Layout, in reading order:
//!
//! - [`orders`]: the accumulator of order days and totals, mergeable in any order
//! - [`scores`]: quintile scores with their rule for ties
//! - [`segments`]: the map from scores to named segments
//!
//! Conventions, all in UTC days:
//!
//! - recency: days from the day of the last order to the last day inside the window, 0 for an order on it
//! - frequency: the number of days with at least one order
//! - monetary: the total of all amounts, or with `monetary = "mean"` that total divided by the order days, in
//!   minor units of the run's currency; an order without amount counts as a day and adds nothing
//!
//! Formulas: A. M. Hughes, *Strategic Database Marketing* (1994), with ranks instead of equal cuts so that
//! equal customers get equal scores.

pub mod orders;
pub mod scores;
pub mod segments;

use regard_sdk::kpi::{self, Metric, Subject};
use regard_sdk::{Accumulator, Batch, BatchBuilder, Error, Evaluator, days};
use serde::Deserialize;

use orders::Orders;
use scores::Quintiles;

/// The metric's name.
pub const METRIC: &str = "rfm";
/// The only interaction kind that counts.
pub const ORDER_KIND: &str = "order.placed";

/// JSON Schema of [`Parameters`].
const PARAMETERS_SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "monetary": {
      "enum": ["sum", "mean"],
      "default": "sum",
      "description": "sum: total amount of all orders; mean: that total divided by the number of order days"
    }
  }
}"#;

/// What the operator may choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// What the monetary value is.
    pub monetary: Monetary,
}

/// What the monetary value is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Monetary {
    /// The total amount of all orders.
    #[default]
    Sum,
    /// The total divided by the number of order days.
    Mean,
}

/// The evaluator of the metric `rfm`.
pub struct RfmEvaluator;

/// A running computation of `rfm`.
#[derive(Debug, Clone, Default)]
pub struct Rfm {
    parameters: Parameters,
    orders: Orders,
}

regard_sdk::plugin! { evaluator: RfmEvaluator }

impl Evaluator for RfmEvaluator {
    type Accumulator = Rfm;

    fn describe() -> Vec<Metric> {
        vec![Metric {
            name: METRIC.into(),
            version: 1,
            description:
                "Quintile scores of recency, frequency and monetary value as the three digits of one \
                          number, 111 (worst) to 555 (best), with the segment that follows from them"
                    .into(),
            unit: "score".into(),
            subject: Subject::Customer,
            kinds: vec![ORDER_KIND.into()],
            inputs: vec![kpi::required(kpi::OCCURRED_AT), kpi::required(kpi::AMOUNT)],
            parameters_schema: PARAMETERS_SCHEMA.into(),
        }]
    }

    fn open(metric: &str, parameters: &str) -> Result<Rfm, Error> {
        if metric != METRIC {
            return Err(Error::not_found(format!("there is no metric `{metric}` here, only `{METRIC}`")));
        }
        let parameters = serde_json::from_str(parameters)
            .map_err(|e| Error::invalid(format!("parameters of {METRIC}: {e}")))?;
        Ok(Rfm { parameters, orders: Orders::default() })
    }
}

impl Accumulator for Rfm {
    fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Error> {
        self.orders.add(groups, group_count, rows)
    }

    fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Error> {
        self.orders.merge(state, remap)
    }

    fn state(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.orders.state())
    }

    /// Columns, all null for a customer without orders: `value` (float64, 100 R + 10 F + M), `recency_days`,
    /// `frequency` (int64), `monetary` (float64, minor units), `recency_score`, `frequency_score`,
    /// `monetary_score` (int64, 1 to 5), `segment` (dictionary). `invalid` when an order lies past the
    /// window.
    fn finish(&mut self, as_of_ms: i64) -> Result<Batch, Error> {
        let last_day = days::last_day_inside(as_of_ms);
        let tallies = self.orders.settled();
        let monetary = |tally: &orders::Tally| match self.parameters.monetary {
            Monetary::Sum => tally.total as f64,
            Monetary::Mean => tally.total as f64 / f64::from(tally.order_days.max(1)),
        };
        if let Some(late) = tallies.iter().map(|tally| tally.last_day).filter(|day| *day > last_day).max() {
            return Err(Error::invalid(format!(
                "orders lie past the end of the window, the last one {} day(s)",
                i64::from(late) - i64::from(last_day)
            )));
        }

        let buyers = || tallies.iter().filter(|tally| tally.order_days > 0);
        let recency = Quintiles::of(buyers().map(|tally| f64::from(tally.last_day)).collect());
        let frequency = Quintiles::of(buyers().map(|tally| f64::from(tally.order_days)).collect());
        let worth = Quintiles::of(buyers().map(monetary).collect());

        let rows = tallies.len();
        let mut value = Vec::with_capacity(rows);
        let mut scores: [Vec<i64>; 3] = std::array::from_fn(|_| Vec::with_capacity(rows));
        let mut segment = Vec::with_capacity(rows);
        for tally in tallies {
            let r = recency.score(f64::from(tally.last_day));
            let f = frequency.score(f64::from(tally.order_days));
            let m = worth.score(monetary(tally));
            value.push(f64::from(100 * r + 10 * f + m));
            scores[0].push(r.into());
            scores[1].push(f.into());
            scores[2].push(m.into());
            segment.push(segments::code(r, f));
        }
        let [recency_score, frequency_score, monetary_score] = scores;
        let no_orders = |row: usize| tallies[row].order_days == 0;
        BatchBuilder::new(rows)
            .float64(kpi::VALUE, value)
            .nulls(no_orders)
            .int64(
                "recency_days",
                tallies.iter().map(|t| i64::from(last_day) - i64::from(t.last_day)).collect(),
            )
            .nulls(no_orders)
            .int64("frequency", tallies.iter().map(|tally| tally.order_days.into()).collect())
            .nulls(no_orders)
            .float64("monetary", tallies.iter().map(monetary).collect())
            .nulls(no_orders)
            .int64("recency_score", recency_score)
            .nulls(no_orders)
            .int64("frequency_score", frequency_score)
            .nulls(no_orders)
            .int64("monetary_score", monetary_score)
            .nulls(no_orders)
            .dictionary("segment", segment, &segments::NAMES)
            .nulls(no_orders)
            .finish()
    }
}

#[cfg(test)]
mod tests;
