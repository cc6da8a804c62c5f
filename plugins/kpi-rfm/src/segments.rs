//! Named segments, by the scores of recency (rows, 5 most recent) and frequency (columns):
//!
//! | R \ F | 1 | 2 | 3 | 4 | 5 |
//! | --- | --- | --- | --- | --- | --- |
//! | 5 | new | potential-loyal | potential-loyal | champions | champions |
//! | 4 | promising | potential-loyal | potential-loyal | loyal | loyal |
//! | 3 | about-to-sleep | about-to-sleep | needs-attention | loyal | loyal |
//! | 2 | hibernating | hibernating | at-risk | at-risk | cannot-lose |
//! | 1 | hibernating | hibernating | at-risk | at-risk | cannot-lose |
//!
//! The monetary score is left out of the names, as is customary: it goes with frequency, and it says how much
//! to spend on a customer rather than what to say.

/// The segments' names; a code is an index into them.
pub const NAMES: [&str; 10] = [
    "champions",
    "loyal",
    "potential-loyal",
    "new",
    "promising",
    "needs-attention",
    "about-to-sleep",
    "at-risk",
    "cannot-lose",
    "hibernating",
];

/// Segment codes by recency score (row, 1 first) and frequency score (column, 1 first).
const MAP: [[u32; 5]; 5] =
    [[9, 9, 7, 7, 8], [9, 9, 7, 7, 8], [6, 6, 5, 1, 1], [4, 2, 2, 1, 1], [3, 2, 2, 0, 0]];

/// The code of the segment of a customer with these scores, each 1 to 5.
pub fn code(recency: u32, frequency: u32) -> u32 {
    let at = |score: u32| (score.clamp(1, 5) - 1) as usize;
    MAP[at(recency)][at(frequency)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(recency: u32, frequency: u32, name: &str) {
        assert_eq!(NAMES[code(recency, frequency) as usize], name, "R {recency} F {frequency}");
    }

    #[test]
    fn the_corners_have_their_names() {
        check(5, 5, "champions");
        check(5, 1, "new");
        check(4, 1, "promising");
        check(4, 3, "potential-loyal");
        check(3, 4, "loyal");
        check(3, 3, "needs-attention");
        check(3, 1, "about-to-sleep");
        check(2, 4, "at-risk");
        check(1, 5, "cannot-lose");
        check(1, 1, "hibernating");
    }

    #[test]
    fn every_segment_is_used() {
        for wanted in 0..NAMES.len() as u32 {
            assert!(MAP.iter().flatten().any(|code| *code == wanted), "{}", NAMES[wanted as usize]);
        }
    }
}
