//! UTC days, the grain in which purchase models count.

/// One day in milliseconds.
pub const DAY_MS: i64 = 86_400_000;
/// The timestamps that can be counted in days: 100 million days around 1970, which is also the range of
/// ECMAScript dates. Within it the division below is exact.
pub const TIMESTAMP_MS_MAX: i64 = 100_000_000 * DAY_MS;

/// The UTC day that holds `timestamp_ms`, counted from 1970-01-01; floors before 1970.
///
/// Exact for timestamps within [`TIMESTAMP_MS_MAX`]. It divides floats because WebAssembly has no high
/// multiplication, so an integer division by a constant stays a division there: the quotient of two exactly
/// represented integers is rounded correctly, and up to 1e8 the distance to the next whole number (at least
/// 1 / 86,400,000) is more than half the spacing of floats, so flooring never lands on the wrong day.
#[inline(always)]
pub fn day_of(timestamp_ms: i64) -> i32 {
    (timestamp_ms as f64 / DAY_MS as f64).floor() as i32
}

/// The last UTC day of a window that `as_of_ms` closes, that is the day of the last millisecond inside it.
/// For an as-of of midnight it is the day before.
pub fn last_day_inside(as_of_ms: i64) -> i32 {
    day_of(as_of_ms.saturating_sub(1).clamp(-TIMESTAMP_MS_MAX, TIMESTAMP_MS_MAX))
}

/// The first of `timestamps` that cannot be counted in days, if any.
pub fn first_uncountable(timestamps: &[i64]) -> Option<i64> {
    // The pass without early exit vectorises; the search only runs when something is wrong.
    let outside = |ms: i64| ms.unsigned_abs() > TIMESTAMP_MS_MAX as u64;
    if timestamps.iter().fold(false, |any, ms| any | outside(*ms)) {
        return timestamps.iter().copied().find(|ms| outside(*ms));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_floor_on_both_sides_of_1970() {
        for day in [-100_000_000_i64, -719_162, -1, 0, 1, 9_862, 20_000, 99_999_999] {
            assert_eq!(i64::from(day_of(day * DAY_MS)), day, "first millisecond of day {day}");
            assert_eq!(i64::from(day_of(day * DAY_MS + DAY_MS - 1)), day, "last millisecond of day {day}");
        }
    }

    #[test]
    fn midnight_closes_the_day_before() {
        assert_eq!(last_day_inside(10 * DAY_MS), 9);
        assert_eq!(last_day_inside(10 * DAY_MS + 1), 10);
    }

    #[test]
    fn uncountable_timestamps_are_found() {
        assert_eq!(first_uncountable(&[0, TIMESTAMP_MS_MAX, -TIMESTAMP_MS_MAX]), None);
        assert_eq!(first_uncountable(&[0, i64::MIN]), Some(i64::MIN));
    }
}
