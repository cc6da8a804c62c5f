//! Purchase days and their values per customer: the accumulator's memory.
//!
//! Every customer's days are kept with the amount of each, because two parts that are merged may share days,
//! and because only the end of the window decides which purchase is the first. While orders come in the order
//! of time, as they do from the interaction log, a day is kept once.

use regard_sdk::columns::check_groups;
use regard_sdk::state::{StateReader, StateWriter};
use regard_sdk::{Batch, Error, days, kpi};

/// The layout of [`Purchases::state`]: the number of customers, then for each the number of days, the first
/// day (signed), its amount (signed), then for each further day the gap less one and the amount (signed).
const STATE_MARK: [u8; 4] = *b"clv\x01";
/// Kept days are freed of duplicates when late orders may have doubled them, though not before there are this
/// many (16 MiB), because that walks over all of them.
const GROUP_DAYS_MIN: usize = 1 << 20;
/// What a customer without purchases has for a last day: before every countable day.
const NO_DAY: i32 = i32::MIN;
/// Days of a week; the models' unit of time.
const WEEK_DAYS: f64 = 7.0;

/// Purchases of all customers.
#[derive(Debug, Clone)]
pub struct Purchases {
    latest: Vec<Latest>,
    days: Vec<PurchaseDay>,
    group_at: usize,
}

/// A customer's last day and where it stands in the list, for the common case of one more order on it.
#[derive(Debug, Clone, Copy)]
struct Latest {
    day: i32,
    at: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PurchaseDay {
    customer: u32,
    day: i32,
    amount: i64,
}

/// What the models need to know of one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History {
    /// Purchases after the first: `x` of the models.
    pub repeats: u32,
    /// Days from the first purchase to the end of the window: `T`, times 7.
    pub age_days: u32,
    /// Days from the first to the last purchase: `t_x`, times 7; 0 without repeats.
    pub recency_days: u32,
    /// The total of the amounts after the first purchase, in minor units.
    pub repeat_total: i64,
}

impl History {
    /// `t_x`: weeks from the first to the last purchase.
    pub fn recency_weeks(&self) -> f64 {
        f64::from(self.recency_days) / WEEK_DAYS
    }

    /// `T`: weeks from the first purchase to the end of the window.
    pub fn age_weeks(&self) -> f64 {
        f64::from(self.age_days) / WEEK_DAYS
    }
}

impl Default for Purchases {
    fn default() -> Self {
        Self { latest: Vec::new(), days: Vec::new(), group_at: GROUP_DAYS_MIN }
    }
}

impl Purchases {
    /// Adds rows with the columns `occurred-at` and `amount`.
    pub fn add(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Error> {
        check_groups(groups, group_count, rows)?;
        let times = rows.timestamp_ms(kpi::OCCURRED_AT)?.values;
        let amounts = rows.int64(kpi::AMOUNT)?;
        if let Some(ms) = days::first_uncountable(times) {
            return Err(Error::invalid(format!("timestamp {ms} lies outside the years that can be counted")));
        }
        self.grow(group_count as usize);
        for (row, (&customer, &time)) in groups.iter().zip(times).enumerate() {
            let amount = if amounts.validity.at(row) { amounts.values[row] } else { 0 };
            self.add_one(customer, days::day_of(time), amount)?;
        }
        self.group_when_doubled()
    }

    #[inline]
    fn add_one(&mut self, customer: u32, day: i32, amount: i64) -> Result<(), Error> {
        let latest = &mut self.latest[customer as usize];
        if day == latest.day {
            let known = &mut self.days[latest.at as usize];
            known.amount = known.amount.checked_add(amount).ok_or_else(amount_overflow)?;
            return Ok(());
        }
        if day > latest.day {
            let at = u32::try_from(self.days.len())
                .map_err(|_| Error::exhausted("more than 4294967295 purchase days"))?;
            *latest = Latest { day, at };
        }
        self.days.push(PurchaseDay { customer, day, amount });
        Ok(())
    }

    /// Adds a [`state`](Self::state) whose customer i is `remap[i]` here.
    pub fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Error> {
        let mut reader = StateReader::new(STATE_MARK, state)?;
        let customers = reader.count(1)?;
        if customers != remap.len() {
            return Err(Error::invalid(format!("state has {customers} groups, the remap {}", remap.len())));
        }
        self.grow(remap.iter().map(|group| *group as usize + 1).max().unwrap_or(0));
        for &customer in remap {
            let purchase_days = reader.count(2)?;
            let mut day = 0_i64;
            for nth in 0..purchase_days {
                day = if nth == 0 { reader.signed()? } else { day + 1 + i64::from(reader.unsigned32()?) };
                let countable = i32::try_from(day).ok().filter(|day| *day != NO_DAY);
                let countable = countable.ok_or_else(|| reader.fault("has a day that cannot be counted"))?;
                self.add_one(customer, countable, reader.signed()?)?;
            }
        }
        reader.finish()?;
        self.group_when_doubled()
    }

    /// Everything added, as bytes that depend on the content only.
    pub fn state(&mut self) -> Vec<u8> {
        let (ends, days) = self.grouped();
        let mut writer = StateWriter::new(STATE_MARK, days.len() * 5 + ends.len());
        writer.unsigned(ends.len() as u64);
        let mut start = 0;
        for &end in &ends {
            let own = &days[start..end];
            writer.unsigned(own.len() as u64);
            let mut before: Option<i32> = None;
            for one in own {
                match before {
                    None => writer.signed(one.day.into()),
                    Some(before) => writer.unsigned((i64::from(one.day) - i64::from(before) - 1) as u64),
                }
                writer.signed(one.amount);
                before = Some(one.day);
            }
            start = end;
        }
        writer.finish()
    }

    /// One history per customer, none for those without a purchase before `as_of_ms`.
    pub fn histories(&self, as_of_ms: i64) -> Vec<Option<History>> {
        let end_day = days::last_day_inside(as_of_ms);
        let (ends, days) = self.grouped();
        let mut start = 0;
        let mut history = |&end: &usize| {
            let own = &days[std::mem::replace(&mut start, end)..end];
            let own = &own[..own.partition_point(|one| one.day <= end_day)];
            let (first, last) = (own.first()?, own.last()?);
            Some(History {
                repeats: own.len() as u32 - 1,
                age_days: end_day.abs_diff(first.day),
                recency_days: last.day.abs_diff(first.day),
                repeat_total: own[1..].iter().fold(0, |total: i64, one| total.saturating_add(one.amount)),
            })
        };
        ends.iter().map(&mut history).collect()
    }

    fn group_when_doubled(&mut self) -> Result<(), Error> {
        if self.days.len() < self.group_at {
            return Ok(());
        }
        let (ends, days) = self.grouped();
        self.days = days;
        let mut start = 0;
        for (latest, &end) in self.latest.iter_mut().zip(&ends) {
            if end > start {
                latest.at = end as u32 - 1;
            }
            start = end;
        }
        self.group_at = GROUP_DAYS_MIN.max(self.days.len() * 2);
        Ok(())
    }

    /// All purchase days by customer, each day once and ascending, and where each customer's end. A counting
    /// sort by customer, then a sort of the few days of one customer only where they are not in order.
    fn grouped(&self) -> (Vec<usize>, Vec<PurchaseDay>) {
        let mut cursors = vec![0_usize; self.latest.len() + 1];
        for one in &self.days {
            cursors[one.customer as usize + 1] += 1;
        }
        for at in 1..cursors.len() {
            cursors[at] += cursors[at - 1];
        }
        let mut sorted = vec![PurchaseDay { customer: 0, day: 0, amount: 0 }; self.days.len()];
        for one in &self.days {
            let cursor = &mut cursors[one.customer as usize];
            sorted[*cursor] = *one;
            *cursor += 1;
        }
        // Each cursor has moved to the end of its customer's days.
        cursors.pop();
        let (mut start, mut kept) = (0, 0);
        for end in &mut cursors {
            let own = &mut sorted[start..*end];
            if !own.is_sorted_by_key(|one| one.day) {
                own.sort_unstable_by_key(|one| one.day);
            }
            let first_kept = kept;
            for at in start..*end {
                let one = sorted[at];
                if kept > first_kept && sorted[kept - 1].day == one.day {
                    // Saturating keeps the sum of a shared day independent of the order for all but absurd
                    // amounts, and whatever came in one piece was checked.
                    sorted[kept - 1].amount = sorted[kept - 1].amount.saturating_add(one.amount);
                } else {
                    sorted[kept] = one;
                    kept += 1;
                }
            }
            start = *end;
            *end = kept;
        }
        sorted.truncate(kept);
        (cursors, sorted)
    }

    fn grow(&mut self, customers: usize) {
        if customers > self.latest.len() {
            self.latest.resize(customers, Latest { day: NO_DAY, at: 0 });
        }
    }
}

fn amount_overflow() -> Error {
    Error::exhausted("the amounts of a customer's day exceed 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use regard_sdk::BatchBuilder;

    fn purchases(rows: &[(u32, i64, i64)], customers: u32) -> Purchases {
        let batch = BatchBuilder::new(rows.len())
            .timestamp_ms(kpi::OCCURRED_AT, rows.iter().map(|row| row.1 * days::DAY_MS).collect())
            .int64(kpi::AMOUNT, rows.iter().map(|row| row.2).collect())
            .finish()
            .expect("batch");
        let groups: Vec<u32> = rows.iter().map(|row| row.0).collect();
        let mut purchases = Purchases::default();
        purchases.add(&groups, customers, &batch).expect("purchases");
        purchases
    }

    #[test]
    fn days_count_once_and_the_first_is_left_out() {
        let expected = History { repeats: 2, age_days: 19, recency_days: 8, repeat_total: 70 };
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
            let rows = [(1, 1, 10), (1, 1, 20), (1, 5, 30), (1, 5, 5), (1, 9, 35)];
            let histories = purchases(&order.map(|at| rows[at]), 2).histories(21 * days::DAY_MS);
            assert_eq!(histories, [None, Some(expected)]);
        }
    }

    #[test]
    fn the_window_closes_before_as_of() {
        let purchases = purchases(&[(0, 1, 10), (0, 5, 20), (0, 9, 40)], 1);
        let at = |day: i64| purchases.histories(day * days::DAY_MS)[0];
        assert_eq!(at(9), Some(History { repeats: 1, age_days: 7, recency_days: 4, repeat_total: 20 }));
        assert_eq!(at(10), Some(History { repeats: 2, age_days: 8, recency_days: 8, repeat_total: 60 }));
        assert_eq!(at(1), None);
    }

    #[test]
    fn broken_states_are_refused() {
        let state = purchases(&[(0, 1, 10), (1, 4, 20), (1, 9, -20)], 2).state();
        for end in 0..state.len() {
            assert!(Purchases::default().merge(&state[..end], &[0, 1]).is_err(), "cut at {end}");
        }
        assert!(Purchases::default().merge(&state, &[0, 1]).is_ok());
        assert!(Purchases::default().merge(&state, &[0]).is_err());
    }
}
