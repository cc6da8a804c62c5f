//! Minimises a smooth function of a few positive parameters within bounds.
//!
//! BFGS (Nocedal and Wright, *Numerical Optimization*, 2006, algorithm 6.1) over the logarithms of the
//! parameters, so that their scales do not matter, with a backtracking line search. A parameter that is
//! driven against a bound stays on it while the others go on (a projected Newton method, Bertsekas 1982).

use std::ops::RangeInclusive;

/// More iterations than this mean that there is no minimum to find; fits of real data take 10 to 40.
pub const ITERATIONS_MAX: u32 = 500;
/// Halvings of one step before the line search gives up: what 2^-40 of it brings is lost in rounding.
const HALVINGS_MAX: u32 = 40;
/// The fit is done when no logarithm's derivative is steeper. The functions are means per customer, so this
/// is far below what the data could tell, yet above what rounding leaves in a sum over some thousand
/// customers.
const SLOPE_DONE: f64 = 1e-8;
/// What is accepted when any further descent would be lost in rounding; a thousandth of a logarithm away from
/// the minimum at worst.
const SLOPE_ACCEPTED: f64 = 1e-5;
/// The relative rounding error of a function that is a mean over thousands of customers.
const ROUNDING_MAX: f64 = 1e-13;
/// The share of the expected descent that a step must bring (Nocedal and Wright, 3.4).
const DESCENT_MIN: f64 = 1e-4;
/// The longest step of one logarithm; the function may be anything further off.
const STEP_MAX: f64 = 2.0;
/// The longest first step, when nothing is known of the curvature yet.
const FIRST_STEP_MAX: f64 = 0.25;

/// A minimum within the bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minimum<const N: usize> {
    /// Where it is, in the parameters themselves.
    pub parameters: [f64; N],
    /// Which parameters lie on a bound: the function falls further beyond it.
    pub on_bound: [bool; N],
    /// The function there.
    pub value: f64,
    /// Steps taken.
    pub iterations: u32,
}

/// The function is not smooth enough, or [`ITERATIONS_MAX`] was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConverged;

/// Minimises `function` from `start` within `bounds`, all above zero. It takes the parameters and returns its
/// value and its derivatives by them.
pub fn minimise<const N: usize>(
    start: [f64; N],
    bounds: &[RangeInclusive<f64>; N],
    mut function: impl FnMut(&[f64; N]) -> (f64, [f64; N]),
) -> Result<Minimum<N>, NotConverged> {
    let bounds: [(f64, f64); N] = std::array::from_fn(|i| (bounds[i].start().ln(), bounds[i].end().ln()));
    let within =
        |logs: [f64; N]| -> [f64; N] { std::array::from_fn(|i| logs[i].clamp(bounds[i].0, bounds[i].1)) };
    let mut in_logs = |logs: &[f64; N]| {
        let parameters = logs.map(f64::exp);
        let (value, slopes) = function(&parameters);
        (value, std::array::from_fn::<_, N, _>(|i| slopes[i] * parameters[i]))
    };
    let mut at = within(start.map(f64::ln));
    let (mut value, mut slope) = in_logs(&at);
    let mut inverse_hessian = identity::<N>(1.0);
    let mut on_bound = [false; N];
    let mut known_curvature = false;
    for iterations in 0..ITERATIONS_MAX {
        let stopped: [bool; N] = std::array::from_fn(|i| {
            (at[i] <= bounds[i].0 && slope[i] > 0.0) || (at[i] >= bounds[i].1 && slope[i] < 0.0)
        });
        if stopped != on_bound {
            // Among other parameters the curvature is another one.
            (on_bound, inverse_hessian, known_curvature) = (stopped, identity(1.0), false);
        }
        let free = free_of(&slope, &on_bound);
        let minimum = Minimum { parameters: at.map(f64::exp), on_bound, value, iterations };
        let done = |bound: f64| value.is_finite() && steepest(&free) <= bound;
        if done(SLOPE_DONE) {
            return Ok(minimum);
        }
        let mut direction = free_of(&std::array::from_fn(|i| -dot(&inverse_hessian[i], &free)), &on_bound);
        if dot(&direction, &free) >= 0.0 {
            inverse_hessian = identity(1.0);
            direction = free.map(|s| -s);
        }
        let expected = dot(&direction, &free);
        let rounding = ROUNDING_MAX * value.abs();
        if -expected < rounding && done(SLOPE_ACCEPTED) {
            return Ok(minimum);
        }
        let step_max = if known_curvature { STEP_MAX } else { FIRST_STEP_MAX };
        let mut length = (step_max / steepest(&direction)).min(1.0);
        let mut step = None;
        for _ in 0..HALVINGS_MAX {
            let next = within(std::array::from_fn(|i| at[i] + length * direction[i]));
            let (next_value, next_slope) = in_logs(&next);
            let fits = next_value.is_finite() && next_slope.iter().all(|s| s.is_finite());
            let descent = next_value < value && next_value <= value + DESCENT_MIN * length * expected;
            // Near the minimum the descent drowns in rounding; then a flatter slope is progress, too.
            let flatter = next_value <= value + rounding
                && steepest(&free_of(&next_slope, &on_bound)) < steepest(&free);
            if fits && (descent || flatter) {
                step = Some((next, next_value, next_slope));
                break;
            }
            length /= 2.0;
        }
        let Some((next, next_value, next_slope)) = step else {
            if done(SLOPE_ACCEPTED) {
                return Ok(minimum);
            }
            if known_curvature {
                // What was learnt of the curvature far away may be wrong here.
                (inverse_hessian, known_curvature) = (identity(1.0), false);
                continue;
            }
            return Err(NotConverged);
        };
        let moved: [f64; N] = std::array::from_fn(|i| next[i] - at[i]);
        let turned = free_of(&std::array::from_fn(|i| next_slope[i] - slope[i]), &on_bound);
        known_curvature |= update(&mut inverse_hessian, &moved, &turned, !known_curvature);
        (at, value, slope) = (next, next_value, next_slope);
    }
    Err(NotConverged)
}

/// The BFGS update of the inverse Hessian (Nocedal and Wright, 6.17); left out where the curvature is not
/// positive. Returns whether it was made.
fn update<const N: usize>(
    inverse: &mut [[f64; N]; N],
    moved: &[f64; N],
    turned: &[f64; N],
    first: bool,
) -> bool {
    let curvature = dot(moved, turned);
    if curvature <= 1e-12 * dot(moved, moved).sqrt() * dot(turned, turned).sqrt() {
        return false;
    }
    if first {
        // Nocedal and Wright, 6.20: the scale of the first estimate.
        *inverse = identity(curvature / dot(turned, turned));
    }
    let product: [f64; N] = std::array::from_fn(|i| dot(&inverse[i], turned));
    let factor = (1.0 + dot(turned, &product) / curvature) / curvature;
    for i in 0..N {
        for j in 0..N {
            inverse[i][j] +=
                factor * moved[i] * moved[j] - (product[i] * moved[j] + moved[i] * product[j]) / curvature;
        }
    }
    true
}

/// The vector with zeros for the parameters on a bound.
fn free_of<const N: usize>(vector: &[f64; N], on_bound: &[bool; N]) -> [f64; N] {
    std::array::from_fn(|i| if on_bound[i] { 0.0 } else { vector[i] })
}

fn identity<const N: usize>(scale: f64) -> [[f64; N]; N] {
    std::array::from_fn(|i| std::array::from_fn(|j| if i == j { scale } else { 0.0 }))
}

/// The greatest magnitude; NaN anywhere is NaN, which no bound accepts.
fn steepest<const N: usize>(vector: &[f64; N]) -> f64 {
    vector.iter().fold(0.0, |greatest: f64, v| if v.is_nan() { f64::NAN } else { greatest.max(v.abs()) })
}

fn dot<const N: usize>(left: &[f64; N], right: &[f64; N]) -> f64 {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: RangeInclusive<f64> = 1e-6..=1e6;

    #[test]
    fn a_narrow_valley_is_followed_to_its_end() {
        // Rosenbrock's function, with its minimum at (1, 1).
        let minimum = minimise([0.2, 5.0], &[WIDE, WIDE], |&[x, y]| {
            let (one, two) = (1.0 - x, y - x * x);
            (one * one + 100.0 * two * two, [-2.0 * one - 400.0 * x * two, 200.0 * two])
        })
        .expect("minimum");
        assert!(minimum.parameters.iter().all(|p| (p - 1.0).abs() < 1e-6), "{minimum:?}");
        assert_eq!(minimum.on_bound, [false, false]);
    }

    #[test]
    fn a_parameter_that_runs_away_stops_at_its_bound() {
        // Falls for ever as y grows; x has its minimum at y / 10 wherever y is.
        let minimum = minimise([1.0, 1.0], &[WIDE, 0.1..=40.0], |&[x, y]| {
            ((x - y / 10.0).powi(2) - y.ln(), [2.0 * (x - y / 10.0), -0.2 * (x - y / 10.0) - 1.0 / y])
        })
        .expect("minimum");
        assert!((minimum.parameters[0] - 4.0).abs() < 1e-6, "{minimum:?}");
        assert!((minimum.parameters[1] - 40.0).abs() < 1e-9, "{minimum:?}");
        assert_eq!(minimum.on_bound, [false, true]);
    }

    #[test]
    fn a_function_without_numbers_does_not_converge() {
        assert_eq!(minimise([1.0], &[WIDE], |_| (f64::NAN, [f64::NAN])), Err(NotConverged));
    }
}
