//! Quintile scores.
//!
//! A value scores k when at least (k - 1) fifths of the population have a strictly lower value. So equal
//! values get equal scores, whoever comes first; a value shared by half of the population scores low rather
//! than being split; and when all are equal, all score 1.

/// The four values that part a population into five scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quintiles([f64; 4]);

impl Quintiles {
    /// The quintiles of a population without NaN; of an empty one, whatever: nobody is scored.
    ///
    /// A value v has at least m values strictly below it exactly when the m-th smallest is below v, so four
    /// order statistics decide every score and no full sort is needed.
    pub fn of(mut population: Vec<f64>) -> Self {
        let count = population.len();
        let mut cuts = [f64::INFINITY; 4];
        let mut start = 0;
        for (k, cut) in (1..).zip(&mut cuts) {
            let nth = (k * count).div_ceil(5);
            if nth == 0 {
                break;
            }
            // Everything before an earlier cut is no larger than what follows, so it need not be looked at.
            if nth > start {
                population[start..].select_nth_unstable_by(nth - 1 - start, f64::total_cmp);
                start = nth;
            }
            *cut = population[nth - 1];
        }
        Self(cuts)
    }

    /// The score of a value, 1 to 5.
    pub fn score(&self, value: f64) -> u32 {
        1 + self.0.iter().map(|cut| u32::from(value > *cut)).sum::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scores(values: &[f64]) -> Vec<u32> {
        let quintiles = Quintiles::of(values.to_vec());
        values.iter().map(|value| quintiles.score(*value)).collect()
    }

    #[test]
    fn fifths_and_ties() {
        assert_eq!(scores(&[3.0, 1.0, 5.0, 2.0, 4.0]), [3, 1, 5, 2, 4]);
        assert_eq!(scores(&[7.0; 6]), [1; 6]);
        assert_eq!(scores(&[1.0, 1.0, 1.0, 2.0, 3.0]), [1, 1, 1, 4, 5]);
        assert_eq!(scores(&[1.0]), [1]);
        assert_eq!(scores(&[1.0, 2.0]), [1, 3]);
        assert!(scores(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn a_score_counts_the_fifths_strictly_below(values in prop::collection::vec(-20_i32..20, 1..60)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            for (value, score) in values.iter().zip(scores(&values)) {
                let below = values.iter().filter(|other| *other < value).count();
                prop_assert_eq!(score as usize, 1 + 5 * below / values.len());
            }
        }
    }
}
