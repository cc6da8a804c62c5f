//! Customer lifetime value by BG/NBD and Gamma-Gamma, fitted by maximum likelihood inside the evaluator.
//!
//! Layout, in reading order:
//!
//! - [`purchases`]: the accumulator of purchase days and their values, mergeable in any order
//! - [`bgnbd`]: how often customers buy and when they stop
//! - [`gamma_gamma`]: what their orders are worth
//! - [`value`]: the discounted value that follows for each customer
//! - [`bfgs`] and [`special`]: the optimiser and the gamma functions
//!
//! Conventions, those of Fader and Hardie, so that published estimates come out:
//!
//! - purchases of one customer on one UTC day count as one purchase and their amounts add up; an order
//!   without amount counts as one of 0
//! - time runs in weeks of 7 days and is counted in whole days; the window ends with the last day before
//!   `as-of`, so an as-of of 1997-10-01T00:00Z counts up to 1997-09-30; later purchases are left out
//! - frequency is the number of purchases after the first, recency the weeks from the first to the last
//!   purchase, age the weeks from the first purchase to the end of the window
//! - the mean order value leaves the first purchase out; Gamma-Gamma is fitted to the customers who came back
//!   and whose mean is above zero, because it knows no free orders
//!
//! Amounts come in minor units. The parameter `minor_per_unit` (100 for USD, 1 for JPY) turns them into units
//! for the fit, so that the scale parameter `v` of the model is in units; the columns are in minor units
//! again.

pub mod bfgs;
pub mod bgnbd;
pub mod fit;
pub mod gamma_gamma;
pub mod purchases;
pub mod special;
pub mod value;

use regard_sdk::kpi::{self, Metric, Subject};
use regard_sdk::{Accumulator, Batch, BatchBuilder, Error, Evaluator, info};
use serde::Deserialize;

use fit::Fitted;
use purchases::Purchases;

/// The metric's name.
pub const METRIC: &str = "clv";
/// The only interaction kind that counts.
pub const ORDER_KIND: &str = "order.placed";

/// JSON Schema of [`Parameters`].
const PARAMETERS_SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "horizon_weeks": {
      "type": "integer", "minimum": 1, "maximum": 520, "default": 39,
      "description": "how many weeks after the window the value is expected over"
    },
    "discount_rate_per_year": {
      "type": "number", "minimum": 0, "maximum": 10, "default": 0.10,
      "description": "what money a year later is worth less, 0.10 for ten per cent; applied in steps of four weeks"
    },
    "margin": {
      "type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1.0,
      "description": "the share of an order's amount that counts as value"
    },
    "minor_per_unit": {
      "type": "integer", "minimum": 1, "maximum": 100000000, "default": 100,
      "description": "how many minor units make one unit of the currency: 100 for USD, 1 for JPY"
    }
  }
}"#;

/// What the operator may choose.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// How many weeks after the window the value is expected over.
    pub horizon_weeks: u32,
    /// What money a year later is worth less; 0.10 for ten per cent.
    pub discount_rate_per_year: f64,
    /// The share of an order's amount that counts as value.
    pub margin: f64,
    /// How many minor units make one unit of the currency.
    pub minor_per_unit: u32,
}

/// The longest horizon, ten years; nobody knows more.
pub const HORIZON_WEEKS_MAX: u32 = 520;

impl Default for Parameters {
    fn default() -> Self {
        Self { horizon_weeks: 39, discount_rate_per_year: 0.10, margin: 1.0, minor_per_unit: 100 }
    }
}

impl Parameters {
    /// The schema's bounds again, for callers that have not checked them.
    fn check(self) -> Result<Self, Error> {
        let fits = (1..=HORIZON_WEEKS_MAX).contains(&self.horizon_weeks)
            && (0.0..=10.0).contains(&self.discount_rate_per_year)
            && self.margin > 0.0
            && self.margin <= 1.0
            && self.minor_per_unit > 0;
        if fits {
            Ok(self)
        } else {
            Err(Error::invalid(format!("parameters of {METRIC} are out of range: {self:?}")))
        }
    }
}

/// The evaluator of the metric `clv`.
pub struct ClvEvaluator;

/// A running computation of `clv`.
#[derive(Debug, Clone, Default)]
pub struct Clv {
    parameters: Parameters,
    purchases: Purchases,
    fitted: Option<Fitted>,
}

regard_sdk::plugin! { evaluator: ClvEvaluator }

impl Evaluator for ClvEvaluator {
    type Accumulator = Clv;

    fn describe() -> Vec<Metric> {
        vec![Metric {
            name: METRIC.into(),
            version: 1,
            description:
                "Discounted value of the orders expected from a customer over the horizon, by BG/NBD and \
                          Gamma-Gamma models fitted to all customers"
                    .into(),
            unit: "minor currency units".into(),
            subject: Subject::Customer,
            kinds: vec![ORDER_KIND.into()],
            inputs: vec![kpi::required(kpi::OCCURRED_AT), kpi::required(kpi::AMOUNT)],
            parameters_schema: PARAMETERS_SCHEMA.into(),
        }]
    }

    fn open(metric: &str, parameters: &str) -> Result<Clv, Error> {
        if metric != METRIC {
            return Err(Error::not_found(format!("there is no metric `{metric}` here, only `{METRIC}`")));
        }
        let parameters: Parameters = serde_json::from_str(parameters)
            .map_err(|e| Error::invalid(format!("parameters of {METRIC}: {e}")))?;
        Ok(Clv { parameters: parameters.check()?, ..Clv::default() })
    }
}

impl Accumulator for Clv {
    fn update(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Error> {
        self.purchases.add(groups, group_count, rows)
    }

    fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Error> {
        self.purchases.merge(state, remap)
    }

    fn state(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.purchases.state())
    }

    /// Columns, all null for a customer without purchases in the window: `value` (float64, minor units),
    /// `expected_orders` (float64, over the horizon), `probability_active` (float64, at the end of the
    /// window), `expected_order_value` (float64, minor units, without margin), `frequency` (int64, repeat
    /// purchases), `recency_weeks` and `age_weeks` (float64). `invalid` when the data cannot be fitted,
    /// `failed` when the fit does not converge; never a NaN. No customer at all is an empty result, not an
    /// error.
    fn finish(&mut self, as_of_ms: i64) -> Result<Batch, Error> {
        self.fitted = None;
        let histories = self.purchases.histories(as_of_ms);
        let rows = histories.len();
        let values = if histories.iter().any(Option::is_some) {
            let fitted = fit::fit(&histories, self.parameters.minor_per_unit)?;
            info!("clv is fitted"; customers = fitted.customers, iterations = fitted.iterations);
            let values = value::values(&histories, &fitted, &self.parameters)?;
            self.fitted = Some(fitted);
            values
        } else {
            vec![value::Value::default(); rows]
        };

        let absent = |row: usize| histories[row].is_none();
        let history = |of: fn(&purchases::History) -> f64| {
            histories.iter().map(|h| h.as_ref().map_or(0.0, of)).collect()
        };
        let repeats = histories.iter().map(|h| h.as_ref().map_or(0, |h| h.repeats.into())).collect();
        BatchBuilder::new(rows)
            .float64(kpi::VALUE, values.iter().map(|one| one.value).collect())
            .nulls(absent)
            .float64("expected_orders", values.iter().map(|one| one.expected_orders).collect())
            .nulls(absent)
            .float64("probability_active", values.iter().map(|one| one.probability_active).collect())
            .nulls(absent)
            .float64("expected_order_value", values.iter().map(|one| one.expected_order_value).collect())
            .nulls(absent)
            .int64("frequency", repeats)
            .nulls(absent)
            .float64("recency_weeks", history(|h| h.recency_weeks()))
            .nulls(absent)
            .float64("age_weeks", history(|h| h.age_weeks()))
            .nulls(absent)
            .finish()
    }

    fn model(&self) -> Result<Option<String>, Error> {
        self.fitted.as_ref().map(|fitted| serde_json::to_string(fitted).map_err(Error::from)).transpose()
    }
}

#[cfg(test)]
mod tests;
