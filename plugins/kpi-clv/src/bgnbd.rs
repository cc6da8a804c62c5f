//! BG/NBD: how often customers buy and when they stop.
//!
//! P. S. Fader, B. G. S. Hardie, K. L. Lee, "“Counting Your Customers” the Easy Way: An Alternative to the
//! Pareto/NBD Model", *Marketing Science* 24(2), 2005. While active a customer buys at a rate that is gamma
//! distributed over customers (`r`, `alpha`); after each purchase the customer becomes inactive with a
//! probability that is beta distributed (`a`, `b`).

use std::ops::RangeInclusive;

use crate::bfgs::{self, Minimum, NotConverged};
use crate::purchases::History;

/// Terms of the series in [`Bgnbd::orders_numerator`] before it counts as not converging. The terms shrink at
/// least like the powers of t / (alpha + T + t): ten years after a first week with alpha = 0.1 are some
/// 15,000 terms.
const SERIES_TERMS_MAX: u32 = 200_000;
/// The bound on the relative error of that series.
const SERIES_ERROR_MAX: f64 = 1e-13;

/// Bounds of r, alpha, a and b. Shapes of 1,000 mean that customers hardly differ (their rates by 3 %), so a
/// population without differences ends there instead of running to infinity; an `a` of a millionth that
/// nobody ever stops.
const BOUNDS: [RangeInclusive<f64>; 4] = [1e-4..=1e3, 1e-6..=1e8, 1e-6..=1e3, 1e-4..=1e3];

/// Fitted parameters; time in weeks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bgnbd {
    /// Shape of the purchase rates' gamma distribution.
    pub r: f64,
    /// Rate of the purchase rates' gamma distribution, in weeks.
    pub alpha: f64,
    /// First parameter of the dropout probabilities' beta distribution.
    pub a: f64,
    /// Second parameter of the dropout probabilities' beta distribution.
    pub b: f64,
}

/// Customers with equal histories, counted: the likelihood needs each distinct history once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The history; its total is of no interest here and 0.
    pub history: History,
    /// How many customers have it.
    pub customers: u32,
}

/// Counts equal histories; the result depends on the set of customers only, not on their order.
pub fn count(histories: impl Iterator<Item = History>) -> Vec<Counted> {
    let mut sorted: Vec<History> = histories.map(|history| History { repeat_total: 0, ..history }).collect();
    sorted.sort_unstable();
    let mut counted: Vec<Counted> = Vec::new();
    for history in sorted {
        match counted.last_mut() {
            Some(last) if last.history == history => last.customers += 1,
            _ => counted.push(Counted { history, customers: 1 }),
        }
    }
    counted
}

/// Fits the parameters by maximum likelihood; the minimum's value is minus the log-likelihood per customer.
pub fn fit(counted: &[Counted]) -> Result<Minimum<4>, NotConverged> {
    let customers: f64 = counted.iter().map(|one| f64::from(one.customers)).sum();
    let repeats: f64 =
        counted.iter().map(|one| f64::from(one.customers) * f64::from(one.history.repeats)).sum();
    let weeks: f64 = counted.iter().map(|one| f64::from(one.customers) * one.history.age_weeks()).sum();
    // Purchases per week of the average customer, with shape 1, and even odds to stay or to drop out.
    let start = [1.0, (weeks / repeats).clamp(1e-3, 1e6), 1.0, 1.0];
    let mut likelihood = Likelihood::new(counted, customers);
    bfgs::minimise(start, &BOUNDS, |&[r, alpha, a, b]| likelihood.negative_mean(&Bgnbd { r, alpha, a, b }))
}

/// The log-likelihood (equation 6 of the paper, with the terms of its appendix in Excel: ln A1 to ln A4) and
/// its derivatives.
///
/// Differences of ln gamma over a whole number x are sums of x logarithms, and those of digamma sums of x
/// inverses, so no special functions are needed; they are summed up once per evaluation, as are the
/// logarithms of alpha plus each number of days that occurs.
struct Likelihood<'a> {
    counted: &'a [Counted],
    customers: f64,
    /// For x: ln gamma(r + x) - ln gamma(r) and its derivative, the same for b and for a + b.
    of_r: Vec<[f64; 2]>,
    of_b: Vec<[f64; 2]>,
    of_ab: Vec<[f64; 2]>,
    /// ln(1 + days / 7 / alpha) for each number of days.
    of_days: Vec<f64>,
}

impl<'a> Likelihood<'a> {
    fn new(counted: &'a [Counted], customers: f64) -> Self {
        let most =
            |of: fn(&History) -> u32| counted.iter().map(|one| of(&one.history)).max().unwrap_or(0) as usize;
        let sums = vec![[0.0; 2]; most(|history| history.repeats) + 1];
        Self {
            counted,
            customers,
            of_r: sums.clone(),
            of_b: sums.clone(),
            of_ab: sums,
            of_days: vec![0.0; most(|history| history.age_days) + 1],
        }
    }

    fn negative_mean(&mut self, model: &Bgnbd) -> (f64, [f64; 4]) {
        let Bgnbd { r, alpha, a, b } = *model;
        rising_sums(&mut self.of_r, r);
        rising_sums(&mut self.of_b, b);
        rising_sums(&mut self.of_ab, a + b);
        for (days, ln) in self.of_days.iter_mut().enumerate() {
            *ln = (days as f64 / (7.0 * alpha)).ln_1p();
        }
        let ln_alpha = alpha.ln();
        let ln_a = a.ln();
        let (mut sum, mut slopes) = (0.0, [0.0; 4]);
        for one in self.counted {
            let History { repeats, age_days, recency_days, .. } = one.history;
            let x = f64::from(repeats);
            let [ln_r, psi_r] = self.of_r[repeats as usize];
            let [ln_b, psi_b] = self.of_b[repeats as usize];
            let [ln_ab, psi_ab] = self.of_ab[repeats as usize];
            let ln_to_end = self.of_days[age_days as usize];
            let inverse_to_end = 1.0 / (alpha + one.history.age_weeks());
            // r ln(alpha) is taken out of A3 and A4, where it would cancel most of a large r.
            let ln_a1 = ln_r - x * ln_alpha;
            let ln_a2 = ln_b - ln_ab;
            let ln_a3 = -(r + x) * ln_to_end;
            let mut ln_last = ln_a3;
            let mut slope = [psi_r, r / alpha, -psi_ab, psi_b - psi_ab];
            // The weight of "still active" against "dropped out after the last purchase".
            let mut active = 1.0;
            if repeats > 0 {
                let ln_to_last = self.of_days[recency_days as usize];
                let ln_a4 = ln_a - (b + x - 1.0).ln() - (r + x) * ln_to_last;
                let difference = ln_a4 - ln_a3;
                let small = (-difference.abs()).exp();
                ln_last = ln_a3.max(ln_a4) + small.ln_1p();
                let (greater, lesser) = (1.0 / (1.0 + small), small / (1.0 + small));
                let dropped;
                (active, dropped) = if difference > 0.0 { (lesser, greater) } else { (greater, lesser) };
                slope[0] -= dropped * ln_to_last;
                slope[1] -= dropped * (r + x) / (alpha + one.history.recency_weeks());
                slope[2] += dropped / a;
                slope[3] -= dropped / (b + x - 1.0);
            }
            slope[0] -= active * ln_to_end;
            slope[1] -= active * (r + x) * inverse_to_end;
            let weight = f64::from(one.customers);
            sum += weight * (ln_a1 + ln_a2 + ln_last);
            for (total, slope) in slopes.iter_mut().zip(slope) {
                *total += weight * slope;
            }
        }
        (-sum / self.customers, slopes.map(|slope| -slope / self.customers))
    }
}

/// For each x: the sums over k < x of ln(z + k) and of 1 / (z + k).
fn rising_sums(sums: &mut [[f64; 2]], z: f64) {
    let mut sum = [0.0; 2];
    for (k, place) in sums.iter_mut().enumerate() {
        *place = sum;
        let term = z + k as f64;
        sum = [sum[0] + term.ln(), sum[1] + 1.0 / term];
    }
}

impl Bgnbd {
    /// The probability that the customer is still active at the end of the window; 1 for a customer without
    /// repeats, who had no occasion to drop out (Fader, Hardie and Lee, "Computing P(alive) Using the BG/NBD
    /// Model", 2008).
    pub fn probability_active(&self, history: &History) -> f64 {
        1.0 / (1.0 + self.dropped_odds(history))
    }

    /// The odds that the customer dropped out after the last purchase.
    fn dropped_odds(&self, history: &History) -> f64 {
        if history.repeats == 0 {
            return 0.0;
        }
        let x = f64::from(history.repeats);
        let ratio = (self.alpha + history.age_weeks()) / (self.alpha + history.recency_weeks());
        // Odds too large for a float are infinite, and the probability is then 0.
        self.a / (self.b + x - 1.0) * ((self.r + x) * ratio.ln()).exp()
    }

    /// The purchases expected in `weeks` after the window from a customer of whom only repeats and age are
    /// known to matter: the numerator of the paper's equation 10. Divided by 1 + the odds of having dropped
    /// out, that is multiplied by [`probability_active`](Self::probability_active), it is the expectation.
    /// None when the series does not converge.
    ///
    /// The paper's form, (a + b + x - 1) / (a - 1) * (1 - (1 - z)^(r + x) 2F1(r + x, b + x; a + b + x - 1;
    /// z)) with z = t / (alpha + T + t), is singular at a = 1 and slow for large x. Euler's transformation
    /// makes it C / (a - 1) * (1 - (1 - z)^(a - 1) 2F1(C - r - x, a - 1; C; z)) with C = a + b + x - 1. Its
    /// series begins with 1 and has the factor a - 1 in every further term, so the division can be carried
    /// out: C * g - (1 - z)^(a - 1) * sum over n >= 1 of (C - r - x)_n (a)_(n-1) / ((C + 1)_(n-1) n!) z^n,
    /// where g = (1 - (1 - z)^(a - 1)) / (a - 1), which becomes -ln(1 - z) at a = 1. Nothing is singular any
    /// more.
    pub fn orders_numerator(&self, repeats: u32, age_weeks: f64, weeks: f64) -> Option<f64> {
        let Self { r, alpha, a, b } = *self;
        let x = f64::from(repeats);
        let z = weeks / (alpha + age_weeks + weeks);
        let ln_rest = -(weeks / (alpha + age_weeks)).ln_1p();
        let exponent = (a - 1.0) * ln_rest;
        let g = if exponent.abs() < 1e-12 { -ln_rest } else { -exponent.exp_m1() / (a - 1.0) };
        let c = a + b + x - 1.0;
        let first = a + b - 1.0 - r;

        let mut term = first * z;
        let mut sum = term;
        let mut converged = term == 0.0;
        for n in 1..SERIES_TERMS_MAX {
            if converged {
                break;
            }
            let k = f64::from(n);
            let ratio = (first + k) * (a + k - 1.0) / ((c + k) * (k + 1.0)) * z;
            term *= ratio;
            sum += term;
            // The ratios fall towards z, or rise to it from below, so the rest is at most a geometric series.
            let bound = ratio.abs().max(z);
            converged = bound < 1.0 && term.abs() * bound <= SERIES_ERROR_MAX * sum.abs() * (1.0 - bound);
            converged |= term == 0.0;
        }
        let orders = c * g - exponent.exp() * sum;
        // Rounding may leave a tiny negative number where hardly any purchase is expected.
        (converged && orders.is_finite()).then_some(orders.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Bgnbd = Bgnbd { r: 0.243, alpha: 4.414, a: 0.793, b: 2.426 };

    fn history(repeats: u32, recency_days: u32, age_days: u32) -> History {
        History { repeats, age_days, recency_days, repeat_total: 0 }
    }

    #[test]
    fn derivatives_are_those_of_the_likelihood() {
        let counted = count(
            [
                history(0, 0, 70),
                history(2, 40, 70),
                history(2, 40, 70),
                history(7, 100, 200),
                history(1, 3, 9),
            ]
            .into_iter(),
        );
        assert_eq!(counted.len(), 4);
        let mut likelihood = Likelihood::new(&counted, 5.0);
        let at = [0.3, 4.0, 0.8, 2.5];
        let of = |p: [f64; 4]| Bgnbd { r: p[0], alpha: p[1], a: p[2], b: p[3] };
        let (_, slopes) = likelihood.negative_mean(&of(at));
        for i in 0..4 {
            let (mut up, mut down) = (at, at);
            up[i] += 1e-6;
            down[i] -= 1e-6;
            let slope = (likelihood.negative_mean(&of(up)).0 - likelihood.negative_mean(&of(down)).0) / 2e-6;
            assert!((slope - slopes[i]).abs() < 1e-7, "parameter {i}: {slope} is not {}", slopes[i]);
        }
    }

    /// The paper's formula as it stands, with a plain series.
    fn plain(model: &Bgnbd, x: f64, age: f64, weeks: f64) -> f64 {
        let Bgnbd { r, alpha, a, b } = *model;
        let z = weeks / (alpha + age + weeks);
        let (mut term, mut sum) = (1.0, 1.0);
        for n in 0..20_000 {
            let n = f64::from(n);
            term *= (r + x + n) * (b + x + n) / ((a + b + x - 1.0 + n) * (n + 1.0)) * z;
            sum += term;
        }
        (a + b + x - 1.0) / (a - 1.0) * (1.0 - ((alpha + age) / (alpha + age + weeks)).powf(r + x) * sum)
    }

    #[test]
    fn the_transformed_series_is_the_papers() {
        for (x, age, weeks) in
            [(0, 38.86, 39.0), (2, 38.86, 39.0), (7, 20.0, 4.0), (20, 38.0, 39.0), (1, 1.0, 100.0)]
        {
            for model in [PAPER, Bgnbd { a: 2.5, ..PAPER }, Bgnbd { r: 3.0, a: 0.2, b: 0.3, alpha: 10.0 }] {
                let found = model.orders_numerator(x, age, weeks).expect("converges");
                let expected = plain(&model, x.into(), age, weeks);
                assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn nothing_is_singular_where_a_is_one() {
        let of = |a: f64| Bgnbd { a, ..PAPER }.orders_numerator(3, 30.0, 39.0).expect("converges");
        assert!((of(1.0) - 0.5 * (of(1.0 - 1e-4) + of(1.0 + 1e-4))).abs() < 1e-7);
        assert!((of(1.0) - of(1.0 + 1e-13)).abs() < 1e-9);
        let corner = Bgnbd { r: 0.5, alpha: 1.0, a: 0.5, b: 0.5 };
        assert!(corner.orders_numerator(0, 10.0, 10.0).is_some_and(f64::is_finite), "a + b = 1");
    }

    #[test]
    fn published_expectation_and_probability() {
        // The paper's illustration: x = 2, t_x = 30.43, T = 38.86 gives 1.226 purchases in the next 39 weeks.
        let one = history(2, 213, 272);
        let orders = PAPER.orders_numerator(2, one.age_weeks(), 39.0).expect("converges")
            * PAPER.probability_active(&one);
        assert!((orders - 1.226).abs() < 0.0015, "{orders}");
        assert_eq!(PAPER.probability_active(&history(0, 0, 272)), 1.0);
        assert_eq!(PAPER.probability_active(&history(4_000_000, 1, 4_000_000)), 0.0);
    }
}
