//! Minimises a smooth function of a few positive parameters.
//!
//! BFGS (Nocedal and Wright, *Numerical Optimization*, 2006, algorithm 6.1) over the logarithms of the parameters, so that they
//! stay positive and their scales do not matter, with a backtracking line search.

/// More iterations than this mean that there is no minimum to find; fits of real data take 10 to 40.
pub const ITERATIONS_MAX: u32 = 500;
/// Halvings of one step before the line search gives up: 2^-60 of it is below the precision of floats.
const HALVINGS_MAX: u32 = 60;
/// The fit is done when no logarithm's derivative is steeper; the functions are means per customer, so this
/// is far below what the data could tell.
const SLOPE_DONE: f64 = 1e-9;
/// What is accepted when rounding keeps the line search from any further descent.
const SLOPE_ACCEPTED: f64 = 1e-6;
/// The share of the expected descent that a step must bring (Nocedal and Wright, 3.4).
const DESCENT_MIN: f64 = 1e-4;
/// Parameters beyond exp(20), about 5e8, or below its inverse have run away: the data does not hold them.
pub const LOG_MAX: f64 = 20.0;
/// The longest step of one logarithm; the function may be anything further off.
const STEP_MAX: f64 = 2.0;

/// A minimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minimum<const N: usize> {
    /// Where it is, in the parameters themselves.
    pub parameters: [f64; N],
    /// The function there.
    pub value: f64,
    /// Steps taken.
    pub iterations: u32,
}

/// Why there is no minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMinimum {
    /// A parameter, by its index, ran towards zero or infinity.
    RanAway(usize),
    /// The function is not smooth enough, or [`ITERATIONS_MAX`] was reached.
    NotConverged,
}

/// Minimises `function` from `start`. It takes positive parameters and returns its value and its derivatives by them.
pub fn minimise<const N: usize>(
    start: [f64; N],
    mut function: impl FnMut(&[f64; N]) -> (f64, [f64; N]),
) -> Result<Minimum<N>, NoMinimum> {
    let mut in_logs = |logs: &[f64; N]| {
        let parameters = logs.map(f64::exp);
        let (value, slopes) = function(&parameters);
        (value, std::array::from_fn::<_, N, _>(|i| slopes[i] * parameters[i]))
    };
    let mut at = start.map(f64::ln);
    let (mut value, mut slope) = in_logs(&at);
    let mut inverse_hessian = identity::<N>(1.0);
    for iterations in 0..ITERATIONS_MAX {
        let done = |slope: &[f64; N], bound: f64| value.is_finite() && slope.iter().all(|s| s.abs() <= bound);
        let minimum = Minimum { parameters: at.map(f64::exp), value, iterations };
        if done(&slope, SLOPE_DONE) {
            return Ok(minimum);
        }
        let mut direction: [f64; N] = std::array::from_fn(|i| -dot(&inverse_hessian[i], &slope));
        if dot(&direction, &slope) >= 0.0 {
            inverse_hessian = identity(1.0);
            direction = slope.map(|s| -s);
        }
        let longest = direction.iter().fold(0.0_f64, |longest, d| longest.max(d.abs()));
        let mut length = (STEP_MAX / longest).min(1.0);
        if iterations == 0 {
            // Nothing is known of the curvature yet: a step of at most a quarter of a logarithm.
            length = (0.25 / longest).min(1.0);
        }
        let expected = dot(&direction, &slope);
        let mut step = None;
        let mut out_of_range = None;
        for _ in 0..HALVINGS_MAX {
            let next: [f64; N] = std::array::from_fn(|i| at[i] + length * direction[i]);
            if let Some(runaway) = next.iter().position(|log| log.abs() > LOG_MAX) {
                out_of_range = Some(runaway);
            } else {
                let (next_value, next_slope) = in_logs(&next);
                let fits = next_value.is_finite() && next_slope.iter().all(|s| s.is_finite());
                if fits && next_value <= value + DESCENT_MIN * length * expected {
                    step = Some((next, next_value, next_slope));
                    break;
                }
            }
            length /= 2.0;
        }
        let Some((next, next_value, next_slope)) = step else {
            if done(&slope, SLOPE_ACCEPTED) {
                return Ok(minimum);
            }
            return Err(out_of_range.map_or(NoMinimum::NotConverged, NoMinimum::RanAway));
        };
        let moved: [f64; N] = std::array::from_fn(|i| next[i] - at[i]);
        let turned: [f64; N] = std::array::from_fn(|i| next_slope[i] - slope[i]);
        update(&mut inverse_hessian, &moved, &turned, iterations == 0);
        (at, value, slope) = (next, next_value, next_slope);
        if let Some(runaway) = at.iter().position(|log| log.abs() > LOG_MAX - 1e-3) {
            return Err(NoMinimum::RanAway(runaway));
        }
    }
    Err(NoMinimum::NotConverged)
}

/// The BFGS update of the inverse Hessian (Nocedal and Wright, 6.17); left out where the curvature is not positive.
fn update<const N: usize>(inverse: &mut [[f64; N]; N], moved: &[f64; N], turned: &[f64; N], first: bool) {
    let curvature = dot(moved, turned);
    if curvature <= 1e-12 * dot(moved, moved).sqrt() * dot(turned, turned).sqrt() {
        return;
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
}

fn identity<const N: usize>(scale: f64) -> [[f64; N]; N] {
    std::array::from_fn(|i| std::array::from_fn(|j| if i == j { scale } else { 0.0 }))
}

fn dot<const N: usize>(left: &[f64; N], right: &[f64; N]) -> f64 {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_valley_is_followed_to_its_end() {
        // Rosenbrock's function, with its minimum at (1, 1).
        let minimum = minimise([0.2, 5.0], |&[x, y]| {
            let (one, two) = (1.0 - x, y - x * x);
            (one * one + 100.0 * two * two, [-2.0 * one - 400.0 * x * two, 200.0 * two])
        })
        .expect("minimum");
        assert!(minimum.parameters.iter().all(|p| (p - 1.0).abs() < 1e-6), "{minimum:?}");
    }

    #[test]
    fn a_parameter_that_runs_away_is_named() {
        // Falls for ever as y grows, steadily in its logarithm.
        let result = minimise([1.0, 1.0], |&[x, y]| ((x - 1.0).powi(2) - y.ln(), [2.0 * (x - 1.0), -1.0 / y]));
        assert_eq!(result, Err(NoMinimum::RanAway(1)));
    }

    #[test]
    fn a_function_without_numbers_does_not_converge() {
        assert_eq!(minimise([1.0], |_| (f64::NAN, [f64::NAN])), Err(NoMinimum::NotConverged));
    }
}
