//! The logarithm of the gamma function and its derivative, for positive arguments.
//!
//! Both shift the argument up by their recurrences and then use the asymptotic series of Abramowitz and
//! Stegun (6.1.41 and 6.3.18); from [`SERIES_FROM`] on, the terms given are good to about 1e-15.

/// From here on the asymptotic series below are good to the last digits.
const SERIES_FROM: f64 = 10.0;
/// Half the logarithm of two pi.
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_7;

/// The natural logarithm of gamma at `x` > 0.
pub fn ln_gamma(mut x: f64) -> f64 {
    // gamma(x) = gamma(x + n) / (x (x + 1) ... (x + n - 1)); the product of at most ten factors cannot
    // overflow.
    let mut product = 1.0;
    while x < SERIES_FROM {
        product *= x;
        x += 1.0;
    }
    (x - 0.5) * x.ln() - x + LN_SQRT_2PI + stirling(x) - product.ln()
}

/// ln gamma(x + d) - ln gamma(x) for `x` > 0 and `d` >= 0, without the cancellation of two large logarithms.
pub fn ln_gamma_rise(x: f64, d: f64) -> f64 {
    if x < SERIES_FROM {
        return ln_gamma(x + d) - ln_gamma(x);
    }
    // The two series above, subtracted term by term.
    (x - 0.5) * (d / x).ln_1p() + d * (x + d).ln() - d + stirling(x + d) - stirling(x)
}

/// What the leading terms leave of ln gamma at `x` >= [`SERIES_FROM`].
fn stirling(x: f64) -> f64 {
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0
                    - square
                        * (1.0 / 1260.0
                            - square
                                * (1.0 / 1680.0
                                    - square
                                        * (1.0 / 1188.0 - square * (691.0 / 360_360.0 - square / 156.0))))))
}

/// The derivative of [`ln_gamma`] at `x` > 0.
pub fn digamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < SERIES_FROM {
        shift += 1.0 / x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = square
        * (1.0 / 12.0
            - square
                * (1.0 / 120.0
                    - square
                        * (1.0 / 252.0
                            - square
                                * (1.0 / 240.0
                                    - square
                                        * (1.0 / 132.0 - square * (691.0 / 32_760.0 - square / 12.0))))));
    x.ln() - 0.5 * inverse - series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 4e-15 * expected.abs().max(1.0), "{found} is not {expected}");
    }

    #[test]
    fn known_values() {
        check(ln_gamma(1.0), 0.0);
        check(ln_gamma(2.0), 0.0);
        check(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln());
        check(ln_gamma(10.0), 362_880_f64.ln());
        check(ln_gamma(0.001), 6.907_178_885_383_853);
        check(ln_gamma(1e6), 12_815_504.569_147_611);
        check(ln_gamma_rise(0.5, 2.5), 2.0_f64.ln() - std::f64::consts::PI.sqrt().ln());
        check(ln_gamma_rise(12.0, 2.0), 156.0_f64.ln());
        check(ln_gamma_rise(1e6, 1.0), 1e6_f64.ln());
        check(digamma(1.0), -0.577_215_664_901_532_9);
        check(digamma(0.5), -1.963_510_026_021_423_5);
        check(digamma(10.0), 2.251_752_589_066_721);
    }

    #[test]
    fn digamma_is_the_slope_of_ln_gamma() {
        for x in [0.1, 0.7, 1.5, 3.0, 9.9, 10.1, 250.0] {
            let step = 1e-5 * x;
            let slope = (ln_gamma(x + step) - ln_gamma(x - step)) / (2.0 * step);
            assert!((digamma(x) - slope).abs() < 1e-6 * (1.0 + slope.abs()), "at {x}");
        }
    }
}
