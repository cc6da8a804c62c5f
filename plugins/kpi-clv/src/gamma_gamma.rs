//! Gamma-Gamma: what a customer's orders are worth.
//!
//! P. S. Fader, B. G. S. Hardie, "The Gamma-Gamma Model of Monetary Value", 2013. A customer's orders vary
//! around a mean of the customer's own (shape `p`), and the means vary between customers (shape `q`, scale
//! `v`, the paper's gamma).

use std::ops::RangeInclusive;

use crate::bfgs::{self, Minimum, NotConverged};
use crate::special::{digamma, ln_gamma, ln_gamma_rise};

/// Bounds of p, q and v. Shapes of 1,000 mean that the orders of a customer, or the means of the customers,
/// hardly differ (by 3 %).
const BOUNDS: [RangeInclusive<f64>; 3] = [1e-3..=1e3, 1e-3..=1e3, 1e-9..=1e15];

/// Fitted parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GammaGamma {
    /// Shape of the orders of one customer.
    pub p: f64,
    /// Shape of the customers' means; above 1, or the means would have no mean.
    pub q: f64,
    /// Scale of the customers' means, in units of the currency.
    pub v: f64,
}

/// The repeat purchases of one customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spending {
    /// How many.
    pub repeats: u32,
    /// Their mean value in units of the currency, above zero.
    pub mean: f64,
}

/// Fits the parameters by maximum likelihood; the minimum's value is minus the log-likelihood per customer.
pub fn fit(spendings: &[Spending]) -> Result<Minimum<3>, NotConverged> {
    let customers = spendings.len() as f64;
    let mean = spendings.iter().map(|one| one.mean).sum::<f64>() / customers;
    // Shapes in the middle of what is usual, and the scale that gives the right mean with them.
    let (p, q) = (3.0, 4.0);
    let likelihood = Likelihood::new(spendings);
    bfgs::minimise([p, q, mean * (q - 1.0) / p], &BOUNDS, |&[p, q, v]| {
        likelihood.negative_mean(&GammaGamma { p, q, v })
    })
}

/// The log-likelihood (equation 1a of the note) and its derivatives.
///
/// With u = v / (x m) a customer's part is
/// ln gamma(px + q) - ln gamma(px) - ln gamma(q) + q ln u - ln m - (px + q) ln(1 + u),
/// which is the note's, written without the large terms that cancel. What depends on the number of purchases
/// alone is summed up by that number; a logarithm per customer remains.
struct Likelihood {
    /// Numbers of purchases that occur, with how many customers made so many.
    by_repeats: Vec<(f64, f64)>,
    /// For each customer: the number of purchases and their total.
    totals: Vec<(f64, f64)>,
    /// The sums of ln m and of ln(x m).
    ln_means: f64,
    ln_totals: f64,
}

impl Likelihood {
    fn new(spendings: &[Spending]) -> Self {
        let mut repeats: Vec<u32> = spendings.iter().map(|one| one.repeats).collect();
        repeats.sort_unstable();
        let by_repeats = repeats.chunk_by(|one, next| one == next);
        let total = |one: &Spending| (f64::from(one.repeats), f64::from(one.repeats) * one.mean);
        let totals: Vec<_> = spendings.iter().map(total).collect();
        Self {
            by_repeats: by_repeats.map(|equal| (f64::from(equal[0]), equal.len() as f64)).collect(),
            ln_means: spendings.iter().map(|one| one.mean.ln()).sum(),
            ln_totals: totals.iter().map(|(_, total)| total.ln()).sum(),
            totals,
        }
    }

    fn negative_mean(&self, model: &GammaGamma) -> (f64, [f64; 3]) {
        let GammaGamma { p, q, v } = *model;
        let customers = self.totals.len() as f64;
        let ln_u = customers * v.ln() - self.ln_totals;
        let mut sum = q * ln_u - self.ln_means;
        let mut slopes = [0.0, ln_u - customers * digamma(q), 0.0];
        for &(x, equal) in &self.by_repeats {
            sum += equal * (ln_gamma_rise(q, p * x) - ln_gamma(p * x));
            let psi = digamma(p * x + q);
            slopes[0] += equal * x * (psi - digamma(p * x));
            slopes[1] += equal * psi;
        }
        for &(x, total) in &self.totals {
            let ln_rest = (v / total).ln_1p();
            sum -= (p * x + q) * ln_rest;
            slopes[0] -= x * ln_rest;
            slopes[1] -= ln_rest;
            slopes[2] += (q * total - p * x * v) / (v * (v + total));
        }
        (-sum / customers, slopes.map(|slope| -slope / customers))
    }
}

impl GammaGamma {
    /// The mean value of an order expected from a customer with `repeats` repeat purchases of this mean
    /// (equation 5 of the note): between the customer's own mean and that of all, the nearer to the former
    /// the more purchases there are. Without repeats it is the mean of all. Needs `q` > 1.
    pub fn expected_order_value(&self, repeats: u32, mean: f64) -> f64 {
        let x = f64::from(repeats);
        self.p * (self.v + mean * x) / (self.p * x + self.q - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: GammaGamma = GammaGamma { p: 6.25, q: 3.74, v: 15.44 };

    #[test]
    fn derivatives_are_those_of_the_likelihood() {
        let spendings =
            [(1, 20.0), (1, 35.5), (4, 12.0), (9, 80.0)].map(|(repeats, mean)| Spending { repeats, mean });
        let likelihood = Likelihood::new(&spendings);
        let of = |p: [f64; 3]| likelihood.negative_mean(&GammaGamma { p: p[0], q: p[1], v: p[2] });
        let at = [2.0, 3.0, 15.0];
        for i in 0..3 {
            let (mut up, mut down) = (at, at);
            up[i] += 1e-6;
            down[i] -= 1e-6;
            let slope = (of(up).0 - of(down).0) / 2e-6;
            assert!((slope - of(at).1[i]).abs() < 1e-7, "parameter {i}: {slope} is not {}", of(at).1[i]);
        }
    }

    #[test]
    fn published_expectations() {
        // The mean of all customers is p v / (q - 1), 35.2 dollars.
        assert!((NOTE.expected_order_value(0, 0.0) - 35.22).abs() < 0.01);
        let (few, many) = (NOTE.expected_order_value(1, 100.0), NOTE.expected_order_value(50, 100.0));
        assert!(35.22 < few && few < many && many < 100.0);
    }
}
