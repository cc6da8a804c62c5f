//! The discounted value that follows from the fitted models.
//!
//! The horizon is cut into steps of four weeks, the last one shorter where it does not divide. The orders
//! expected in a step are valued at the customer's expected order value times the margin and discounted from
//! the end of the step: value = margin * order value * sum over steps of (orders until t_k - orders until
//! t_(k-1)) / (1 + rate)^(t_k / 52.1786), a year having 365.25 / 7 weeks.

use crate::Parameters;
use crate::bgnbd::Bgnbd;
use crate::fit::{FitError, Fitted};
use crate::purchases::History;

/// The length of a step in weeks.
const STEP_WEEKS: u32 = 4;
/// Weeks of the average Gregorian year but for a second or two.
const YEAR_WEEKS: f64 = 365.25 / 7.0;

/// What is expected of a customer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Value {
    /// Discounted value over the horizon, in minor units.
    pub value: f64,
    /// Orders over the horizon.
    pub expected_orders: f64,
    /// The probability that the customer is still active at the end of the window.
    pub probability_active: f64,
    /// The mean value of an order in minor units, without margin.
    pub expected_order_value: f64,
}

/// The horizon's steps: ends in weeks after the window, and discount factors.
#[derive(Debug, Clone)]
struct Steps(Vec<(f64, f64)>);

impl Steps {
    fn new(parameters: &Parameters) -> Self {
        let horizon = parameters.horizon_weeks;
        let ends = (1..=horizon.div_ceil(STEP_WEEKS)).map(|step| f64::from((step * STEP_WEEKS).min(horizon)));
        let factor = |weeks: f64| (1.0 + parameters.discount_rate_per_year).powf(-weeks / YEAR_WEEKS);
        Self(ends.map(|weeks| (weeks, factor(weeks))).collect())
    }

    /// Numerators of the discounted and of the plain number of orders.
    fn orders(&self, model: &Bgnbd, repeats: u32, age_weeks: f64) -> Result<[f64; 2], FitError> {
        let (mut before, mut discounted) = (0.0, 0.0);
        for &(weeks, factor) in &self.0 {
            let until = model
                .orders_numerator(repeats, age_weeks, weeks)
                .ok_or(FitError::SeriesNotConverged)?
                .max(before);
            discounted += (until - before) * factor;
            before = until;
        }
        Ok([discounted, before])
    }
}

/// One value per history, the default for those who have none.
pub fn values(
    histories: &[Option<History>],
    fitted: &Fitted,
    parameters: &Parameters,
) -> Result<Vec<Value>, FitError> {
    let steps = Steps::new(parameters);
    let (buying, spending) = (fitted.buying(), fitted.spending());
    let unit = f64::from(parameters.minor_per_unit);

    // The costly series depend on repeats and age only, of which there are few, so customers are taken by
    // these two.
    let mut order: Vec<u32> =
        (0..histories.len() as u32).filter(|row| histories[*row as usize].is_some()).collect();
    let key =
        |row: &u32| histories[*row as usize].as_ref().map(|history| (history.repeats, history.age_days));
    order.sort_unstable_by_key(key);

    let mut values = vec![Value::default(); histories.len()];
    for alike in order.chunk_by(|one, next| key(one) == key(next)) {
        let mut shared = None;
        for &row in alike {
            let Some(history) = &histories[row as usize] else { continue };
            let [discounted, orders] = match shared {
                Some(orders) => orders,
                None => *shared.insert(steps.orders(&buying, history.repeats, history.age_weeks())?),
            };
            let probability_active = buying.probability_active(history);
            let mean = history.repeat_total.max(0) as f64 / f64::from(history.repeats.max(1));
            let order_value = spending.expected_order_value(history.repeats, mean / unit) * unit;
            values[row as usize] = Value {
                value: parameters.margin * order_value * discounted * probability_active,
                expected_orders: orders * probability_active,
                probability_active,
                expected_order_value: order_value,
            };
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_with_the_horizon() {
        let steps = Steps::new(&Parameters {
            horizon_weeks: 10,
            discount_rate_per_year: 0.0,
            ..Parameters::default()
        });
        assert_eq!(steps.0, [(4.0, 1.0), (8.0, 1.0), (10.0, 1.0)]);
    }

    #[test]
    fn a_year_costs_the_rate() {
        let steps = Steps::new(&Parameters {
            horizon_weeks: 520,
            discount_rate_per_year: 0.25,
            ..Parameters::default()
        });
        let (weeks, factor) = steps.0[12];
        assert_eq!(weeks, 52.0);
        assert!((factor - 1.0 / 1.25).abs() < 1e-3);
    }

    #[test]
    fn without_discount_both_counts_agree() {
        let model = Bgnbd { r: 0.243, alpha: 4.414, a: 0.793, b: 2.426 };
        let steps = Steps::new(&Parameters { discount_rate_per_year: 0.0, ..Parameters::default() });
        let [discounted, orders] = steps.orders(&model, 2, 38.86).expect("converges");
        assert!((discounted - orders).abs() < 1e-12);
    }
}
