//! Order days and totals per customer: the accumulator's memory.
//!
//! What must be counted is distinct days, so days are remembered, but only once each while orders come in
//! the order of time, as they do from the interaction log. Then counting is one comparison with the
//! customer's last day. When a day comes late it may be one that is known already; that is found out once, by
//! grouping the days by customer, when the counts are next asked for.

use regard_sdk::columns::check_groups;
use regard_sdk::state::{StateReader, StateWriter};
use regard_sdk::{Batch, Error, days, kpi};

/// The layout of [`Orders::state`]: the number of customers, then for each the number of order days, the
/// first day (signed), the gaps between days less one, and the total (signed).
const STATE_MARK: [u8; 4] = *b"rfm\x01";
/// Remembered days are grouped and freed of duplicates when late orders have doubled them, though not
/// before there are this many (8 MiB), because grouping walks over all of them.
const GROUP_DAYS_MIN: usize = 1 << 20;
/// What a customer without orders has for a last day: before every countable day.
const NO_DAY: i32 = i32::MIN;

/// Orders of all customers.
#[derive(Debug, Clone)]
pub struct Orders {
    tallies: Vec<Tally>,
    days: Vec<OrderDay>,
    /// Whether a day came late, so that `days` may hold duplicates and the counts may be too low.
    late: bool,
    group_at: usize,
}

/// What is known of one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The UTC day of the last order, counted from 1970-01-01.
    pub last_day: i32,
    /// The number of days with orders; 0 for a customer without.
    pub order_days: u32,
    /// The total of all amounts in minor units.
    pub total: i64,
}

#[derive(Debug, Clone, Copy)]
struct OrderDay {
    customer: u32,
    day: i32,
}

impl Default for Tally {
    fn default() -> Self {
        Self { last_day: NO_DAY, order_days: 0, total: 0 }
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self { tallies: Vec::new(), days: Vec::new(), late: false, group_at: GROUP_DAYS_MIN }
    }
}

impl Orders {
    /// Adds rows with the columns `occurred-at` and `amount`.
    pub fn add(&mut self, groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Error> {
        check_groups(groups, group_count, rows)?;
        let times = rows.timestamp_ms(kpi::OCCURRED_AT)?.values;
        let amounts = rows.int64(kpi::AMOUNT)?;
        if let Some(ms) = days::first_uncountable(times) {
            return Err(Error::invalid(format!("timestamp {ms} lies outside the years that can be counted")));
        }
        self.grow(group_count as usize);
        if amounts.validity.all() {
            self.add_rows(groups, times, amounts.values, |_| true)
        } else {
            self.add_rows(groups, times, amounts.values, |row| amounts.validity.at(row))
        }
    }

    /// The hot loop: one random access a row, and one append for each new day.
    fn add_rows(
        &mut self,
        groups: &[u32],
        times: &[i64],
        amounts: &[i64],
        has_amount: impl Fn(usize) -> bool,
    ) -> Result<(), Error> {
        let mut overflow = false;
        let mut late = false;
        for (row, ((&customer, &time), &amount)) in groups.iter().zip(times).zip(amounts).enumerate() {
            let tally = &mut self.tallies[customer as usize];
            let (total, wrapped) = tally.total.overflowing_add(if has_amount(row) { amount } else { 0 });
            tally.total = total;
            overflow |= wrapped;
            let day = days::day_of(time);
            if day != tally.last_day {
                self.days.push(OrderDay { customer, day });
                if day > tally.last_day {
                    tally.last_day = day;
                    tally.order_days += 1;
                } else {
                    late = true;
                }
            }
        }
        self.late |= late;
        if overflow {
            return Err(total_overflow());
        }
        self.settle_when_doubled();
        Ok(())
    }

    /// Adds a [`state`](Self::state) whose customer i is `remap[i]` here.
    pub fn merge(&mut self, state: &[u8], remap: &[u32]) -> Result<(), Error> {
        let mut reader = StateReader::new(STATE_MARK, state)?;
        let customers = reader.count(2)?;
        if customers != remap.len() {
            return Err(Error::invalid(format!("state has {customers} groups, the remap {}", remap.len())));
        }
        self.grow(remap.iter().map(|group| *group as usize + 1).max().unwrap_or(0));
        for &customer in remap {
            let order_days = reader.count(1)?;
            let mut day = 0_i64;
            for nth in 0..order_days {
                day = if nth == 0 { reader.signed()? } else { day + 1 + i64::from(reader.unsigned32()?) };
                let countable = i32::try_from(day).ok().filter(|day| *day != NO_DAY);
                let day = countable.ok_or_else(|| reader.fault("has a day that cannot be counted"))?;
                self.merge_day(customer, day);
            }
            let tally = &mut self.tallies[customer as usize];
            tally.total = tally.total.checked_add(reader.signed()?).ok_or_else(total_overflow)?;
        }
        reader.finish()?;
        self.settle_when_doubled();
        Ok(())
    }

    fn merge_day(&mut self, customer: u32, day: i32) {
        let tally = &mut self.tallies[customer as usize];
        if day == tally.last_day {
            return;
        }
        self.days.push(OrderDay { customer, day });
        if day > tally.last_day {
            tally.last_day = day;
            tally.order_days += 1;
        } else {
            self.late = true;
        }
    }

    /// Everything added, as bytes that depend on the content only.
    pub fn state(&mut self) -> Vec<u8> {
        let (ends, days) = self.grouped();
        let mut writer = StateWriter::new(STATE_MARK, days.len() * 2 + self.tallies.len() * 8);
        writer.unsigned(self.tallies.len() as u64);
        let mut start = 0;
        for (tally, &end) in self.tallies.iter().zip(&ends) {
            let own = &days[start..end];
            writer.unsigned(own.len() as u64);
            if let Some(first) = own.first() {
                writer.signed((*first).into());
            }
            for pair in own.windows(2) {
                writer.unsigned((i64::from(pair[1]) - i64::from(pair[0]) - 1) as u64);
            }
            writer.signed(tally.total);
            start = end;
        }
        writer.finish()
    }

    /// One tally per customer, with exact counts.
    pub fn settled(&mut self) -> &[Tally] {
        if self.late {
            self.settle();
        }
        &self.tallies
    }

    fn settle_when_doubled(&mut self) {
        if self.late && self.days.len() >= self.group_at {
            self.settle();
        }
    }

    /// Drops duplicate days and corrects the counts.
    fn settle(&mut self) {
        let (ends, days) = self.grouped();
        self.days.clear();
        let mut start = 0;
        for (customer, (tally, &end)) in (0..).zip(self.tallies.iter_mut().zip(&ends)) {
            tally.order_days = (end - start) as u32;
            self.days.extend(days[start..end].iter().map(|&day| OrderDay { customer, day }));
            start = end;
        }
        self.late = false;
        self.group_at = GROUP_DAYS_MIN.max(self.days.len() * 2);
    }

    /// The distinct days of all customers, ascending within each, and where each customer's end. A counting
    /// sort by customer, then a sort of the few days of one customer only where they are not in order.
    fn grouped(&self) -> (Vec<usize>, Vec<i32>) {
        let mut cursors = vec![0_usize; self.tallies.len() + 1];
        for one in &self.days {
            cursors[one.customer as usize + 1] += 1;
        }
        for at in 1..cursors.len() {
            cursors[at] += cursors[at - 1];
        }
        let mut sorted = vec![0_i32; self.days.len()];
        for one in &self.days {
            let cursor = &mut cursors[one.customer as usize];
            sorted[*cursor] = one.day;
            *cursor += 1;
        }
        // Each cursor has moved to the end of its customer's days.
        cursors.pop();
        let (mut start, mut kept) = (0, 0);
        for end in &mut cursors {
            let own = &mut sorted[start..*end];
            if !own.is_sorted_by(|a, b| a < b) {
                own.sort_unstable();
            }
            let first_kept = kept;
            for at in start..*end {
                if kept == first_kept || sorted[kept - 1] != sorted[at] {
                    sorted[kept] = sorted[at];
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
        if customers > self.tallies.len() {
            self.tallies.resize(customers, Tally::default());
        }
    }
}

fn total_overflow() -> Error {
    Error::exhausted("the total of a customer's amounts exceeds 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use regard_sdk::BatchBuilder;

    fn orders(rows: &[(u32, i64, i64)], customers: u32) -> Orders {
        let batch = BatchBuilder::new(rows.len())
            .timestamp_ms(kpi::OCCURRED_AT, rows.iter().map(|row| row.1 * days::DAY_MS).collect())
            .int64(kpi::AMOUNT, rows.iter().map(|row| row.2).collect())
            .finish()
            .expect("batch");
        let groups: Vec<u32> = rows.iter().map(|row| row.0).collect();
        let mut orders = Orders::default();
        orders.add(&groups, customers, &batch).expect("orders");
        orders
    }

    #[test]
    fn days_count_once_however_they_come() {
        for days in [[1, 1, 5, 5, 9], [9, 5, 1, 5, 1], [5, 9, 1, 1, 5]] {
            let mut orders = orders(&days.map(|day| (1, day, 10)), 3);
            assert_eq!(orders.settled()[1], Tally { last_day: 9, order_days: 3, total: 50 });
            assert_eq!(orders.settled()[0], Tally::default());
        }
    }

    #[test]
    fn customers_that_become_one_share_their_days() {
        let state = orders(&[(0, 1, 10), (1, 1, 20), (1, 3, 30)], 2).state();
        let mut merged = Orders::default();
        merged.merge(&state, &[0, 0]).expect("merge");
        assert_eq!(merged.settled(), [Tally { last_day: 3, order_days: 2, total: 60 }]);
    }

    #[test]
    fn broken_states_are_refused() {
        let state = orders(&[(0, 1, 10), (1, 4, 20)], 2).state();
        for end in 0..state.len() {
            assert!(Orders::default().merge(&state[..end], &[0, 1]).is_err(), "cut at {end}");
        }
        assert!(Orders::default().merge(&state, &[0]).is_err());
        assert!(Orders::default().merge(b"rfm\x02\x00", &[]).is_err());
    }

    #[test]
    fn totals_do_not_wrap() {
        let batch = BatchBuilder::new(2)
            .timestamp_ms(kpi::OCCURRED_AT, vec![0, 0])
            .int64(kpi::AMOUNT, vec![i64::MAX, 1])
            .finish()
            .expect("batch");
        let error = Orders::default().add(&[0, 0], 1, &batch).expect_err("overflow");
        assert_eq!(error.code, "exhausted");
    }
}
