//! Both models fitted to the customers' histories, or a plain reason why not.

use std::fmt;

use regard_sdk::Error;
use serde::Serialize;

use crate::bgnbd::{self, Bgnbd};
use crate::gamma_gamma::{self, GammaGamma, Spending};
use crate::purchases::History;

/// Fewer customers who came back cannot carry seven parameters; even this many give rough estimates.
pub const REPEAT_CUSTOMERS_MIN: usize = 10;
/// Four parameters cannot be told apart with fewer distinct histories.
pub const DISTINCT_HISTORIES_MIN: usize = 5;
/// Means that differ by less than this share of themselves are equal but for rounding.
const MEANS_DIFFER_MIN: f64 = 1e-6;

/// The fitted models and the quality of their fit; serialised, it is what `model` returns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fitted {
    /// BG/NBD: shape of the purchase rates.
    pub r: f64,
    /// BG/NBD: rate of the purchase rates, in weeks.
    pub alpha: f64,
    /// BG/NBD: first parameter of the dropout probabilities.
    pub a: f64,
    /// BG/NBD: second parameter of the dropout probabilities.
    pub b: f64,
    /// The log-likelihood of BG/NBD, of all customers together.
    pub log_likelihood: f64,
    /// Gamma-Gamma: shape of the orders of one customer.
    pub p: f64,
    /// Gamma-Gamma: shape of the customers' means.
    pub q: f64,
    /// Gamma-Gamma: scale of the customers' means, in units of the currency.
    pub v: f64,
    /// The log-likelihood of Gamma-Gamma, of all customers it is fitted to together.
    pub gamma_gamma_log_likelihood: f64,
    /// Customers with a purchase in the window.
    pub customers: usize,
    /// Those with more than one.
    pub repeat_customers: usize,
    /// Those whose repeat purchases had a mean above zero: the customers that Gamma-Gamma is fitted to.
    pub paying_repeat_customers: usize,
    /// Parameters that lie on a bound of the fit, because the customers hardly differ in what they stand for.
    pub on_bound: Vec<&'static str>,
    /// Steps that the optimiser took for both models together.
    pub iterations: u32,
    /// Pearson's correlation of frequency and mean order value over the customers that Gamma-Gamma is fitted
    /// to. The model assumes none: beyond about 0.3 its values deserve doubt. 0 when all frequencies are
    /// equal.
    pub frequency_monetary_correlation: f64,
}

/// Why the data cannot be fitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FitError {
    /// Fewer than [`REPEAT_CUSTOMERS_MIN`] customers came back.
    TooFewRepeatCustomers(usize),
    /// Fewer than [`REPEAT_CUSTOMERS_MIN`] customers came back and paid.
    TooFewPayingRepeatCustomers(usize),
    /// Fewer than [`DISTINCT_HISTORIES_MIN`] histories differ.
    TooFewDistinctHistories(usize),
    /// All customers spend the same per order.
    EqualOrderValues,
    /// The optimiser did not converge.
    NotConverged(&'static str),
    /// The customers' means vary so much (q at most 1) that they have no mean.
    NoMeanOrderValue,
    /// The series for the expected orders did not converge.
    SeriesNotConverged,
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let min = REPEAT_CUSTOMERS_MIN;
        match self {
            Self::TooFewRepeatCustomers(n) => {
                write!(f, "{n} customers bought on a second day, at least {min} are needed")
            }
            Self::TooFewPayingRepeatCustomers(n) => {
                write!(f, "{n} customers came back for orders above zero, at least {min} are needed")
            }
            Self::TooFewDistinctHistories(n) => {
                write!(
                    f,
                    "customers have only {n} different histories, at least {DISTINCT_HISTORIES_MIN} are needed"
                )
            }
            Self::EqualOrderValues => {
                f.write_str("all customers spend the same per order, so there is nothing to fit")
            }
            Self::NotConverged(model) => write!(f, "{model} did not converge"),
            Self::NoMeanOrderValue => {
                f.write_str("order values vary too much between customers to have a mean")
            }
            Self::SeriesNotConverged => f.write_str("the expected orders did not converge"),
        }
    }
}

impl From<FitError> for Error {
    /// What is wrong with the data is `invalid`, what is wrong with the computation `failed`.
    fn from(error: FitError) -> Self {
        let message = format!("clv cannot be fitted: {error}");
        match error {
            FitError::NotConverged(_) | FitError::SeriesNotConverged => Self::failed(message),
            _ => Self::invalid(message),
        }
    }
}

/// Fits both models. `minor_per_unit` turns the histories' totals into units of the currency.
pub fn fit(histories: &[Option<History>], minor_per_unit: u32) -> Result<Fitted, FitError> {
    let known = || histories.iter().flatten();
    let customers = known().count();
    let repeat_customers = known().filter(|history| history.repeats > 0).count();
    if repeat_customers < REPEAT_CUSTOMERS_MIN {
        return Err(FitError::TooFewRepeatCustomers(repeat_customers));
    }
    let counted = bgnbd::count(known().copied());
    if counted.len() < DISTINCT_HISTORIES_MIN {
        return Err(FitError::TooFewDistinctHistories(counted.len()));
    }
    let spendings = spendings(known(), minor_per_unit);
    if spendings.len() < REPEAT_CUSTOMERS_MIN {
        return Err(FitError::TooFewPayingRepeatCustomers(spendings.len()));
    }
    let (least, most) =
        spendings.iter().fold((f64::INFINITY, 0.0_f64), |(l, m), s| (l.min(s.mean), m.max(s.mean)));
    if most - least <= MEANS_DIFFER_MIN * most {
        return Err(FitError::EqualOrderValues);
    }

    let buying = bgnbd::fit(&counted).map_err(|_| FitError::NotConverged("BG/NBD"))?;
    let spending = gamma_gamma::fit(&spendings).map_err(|_| FitError::NotConverged("Gamma-Gamma"))?;
    let ([r, alpha, a, b], [p, q, v]) = (buying.parameters, spending.parameters);
    if q <= 1.0 {
        return Err(FitError::NoMeanOrderValue);
    }
    let names = ["r", "alpha", "a", "b", "p", "q", "v"];
    let on_bound = names.into_iter().zip(buying.on_bound.into_iter().chain(spending.on_bound));
    Ok(Fitted {
        r,
        alpha,
        a,
        b,
        log_likelihood: -buying.value * customers as f64,
        p,
        q,
        v,
        gamma_gamma_log_likelihood: -spending.value * spendings.len() as f64,
        customers,
        repeat_customers,
        paying_repeat_customers: spendings.len(),
        on_bound: on_bound.filter(|(_, on)| *on).map(|(name, _)| name).collect(),
        iterations: buying.iterations + spending.iterations,
        frequency_monetary_correlation: correlation(&spendings),
    })
}

impl Fitted {
    /// The fitted BG/NBD model.
    pub fn buying(&self) -> Bgnbd {
        Bgnbd { r: self.r, alpha: self.alpha, a: self.a, b: self.b }
    }

    /// The fitted Gamma-Gamma model.
    pub fn spending(&self) -> GammaGamma {
        GammaGamma { p: self.p, q: self.q, v: self.v }
    }
}

/// The repeat purchases of the customers who paid for them. Sorted, so that the sums over them do not depend
/// on the customers' order.
fn spendings<'a>(histories: impl Iterator<Item = &'a History>, minor_per_unit: u32) -> Vec<Spending> {
    let mut paying: Vec<(u32, i64)> = histories
        .filter(|history| history.repeats > 0 && history.repeat_total > 0)
        .map(|history| (history.repeats, history.repeat_total))
        .collect();
    paying.sort_unstable();
    let unit = f64::from(minor_per_unit);
    paying
        .into_iter()
        .map(|(repeats, total)| Spending { repeats, mean: total as f64 / (unit * f64::from(repeats)) })
        .collect()
}

fn correlation(spendings: &[Spending]) -> f64 {
    let count = spendings.len() as f64;
    let mean = |of: fn(&Spending) -> f64| spendings.iter().map(of).sum::<f64>() / count;
    let (frequency, worth) = (mean(|one| one.repeats.into()), mean(|one| one.mean));
    let (mut both, mut frequencies, mut worths) = (0.0, 0.0, 0.0);
    for one in spendings {
        let (f, w) = (f64::from(one.repeats) - frequency, one.mean - worth);
        both += f * w;
        frequencies += f * f;
        worths += w * w;
    }
    let scale = (frequencies * worths).sqrt();
    if scale > 0.0 { both / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(repeats: u32, recency_days: u32, age_days: u32, repeat_total: i64) -> Option<History> {
        Some(History { repeats, age_days, recency_days, repeat_total })
    }

    #[test]
    fn data_that_cannot_be_fitted_is_named() {
        let few = vec![history(1, 3, 70, 100); 9];
        assert_eq!(fit(&few, 100), Err(FitError::TooFewRepeatCustomers(9)));
        let equal = vec![history(1, 3, 70, 100); 50];
        assert_eq!(fit(&equal, 100), Err(FitError::TooFewDistinctHistories(1)));
        let free: Vec<_> = (0..50).map(|n| history(1 + n % 4, 3 + n, 70 + n, 0)).collect();
        assert_eq!(fit(&free, 100), Err(FitError::TooFewPayingRepeatCustomers(0)));
        let same_price: Vec<_> =
            (0..50).map(|n| history(1 + n % 4, 3 + n, 70 + n, 990 * i64::from(1 + n % 4))).collect();
        assert_eq!(fit(&same_price, 100), Err(FitError::EqualOrderValues));
        let error = Error::from(FitError::TooFewRepeatCustomers(9));
        assert_eq!(
            error.message,
            "clv cannot be fitted: 9 customers bought on a second day, at least 10 are needed"
        );
    }
}
