//! Generated interactions for evaluators: the same seed gives the same rows everywhere.

use std::collections::HashMap;

use regard_engine::columns::{Batch, Column, ColumnValues, TextValues};
use regard_model::time::DAY_MS;
use regard_model::{Metric, Timestamp};

use crate::scenario::Scenario;
use crate::scenario::parts::Action;

/// How far back the generated rows go, in days: two years, so that models of repeat purchases have something to fit.
const SPAN_DAYS: u64 = 730;
/// One row in so many has no amount, where the metric can do without.
const ROWS_PER_NULL: u64 = 16;
/// Price levels of customers, and what an order comes to at the lowest of them at least, in minor units.
const LEVELS: u64 = 12;
const AMOUNT_STEP: u64 = 500;

/// Random numbers by Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }
}

/// One interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Group of its customer.
    pub group: u32,
    /// When.
    pub occurred_at_ms: i64,
    /// Minor units.
    pub amount: Option<i64>,
    /// Place in the kinds.
    pub kind: u32,
    /// Place in the channels.
    pub channel: u32,
}

/// Interactions with the names that they refer to.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The interactions; groups are numbered in the order in which they appear.
    pub rows: Vec<Row>,
    /// How many groups there are.
    pub groups: u32,
    /// First instant after all of them.
    pub until: Timestamp,
    kinds: Vec<String>,
    channels: Vec<String>,
}

/// Some of the rows as an accumulator of its own sees them.
#[derive(Debug, Clone)]
pub struct Part {
    /// The group of each row, numbered within the part.
    pub groups: Vec<u32>,
    /// How many there are.
    pub group_count: u32,
    /// What each group is called in the whole.
    pub remap: Vec<u32>,
    /// The columns.
    pub batch: Batch,
}

impl Rows {
    /// `count` rows of about `customers` customers up to `until`, of the kinds that `metric` counts.
    pub fn generated(seed: u64, count: usize, customers: u64, until: Timestamp, metric: &Metric) -> Self {
        let mut random = Random::new(seed);
        let kinds = if metric.kinds.is_empty() {
            vec!["order.placed".to_owned(), "message.received".to_owned()]
        } else {
            metric.kinds.clone()
        };
        let requires_amount = metric.inputs.iter().any(|input| input.column == "amount" && input.required);
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            // The square makes some customers frequent and most of them rare, as in a shop.
            let share = (random.below(1 << 20) * random.below(1 << 20)) >> 20;
            let days = random.below(SPAN_DAYS);
            let age_ms =
                i64::try_from(days).unwrap_or(0) * DAY_MS + random.below(DAY_MS.unsigned_abs()).cast_signed();
            let group = u32::try_from((share * customers) >> 20).unwrap_or(0);
            // Each customer has a price level, so that customers differ in what they spend.
            let level = 1 + Random::new(u64::from(group)).below(LEVELS);
            let has_amount = requires_amount || random.below(ROWS_PER_NULL) > 0;
            rows.push(Row {
                group,
                occurred_at_ms: until.as_millis() - 1 - age_ms,
                amount: has_amount.then(|| (level * (AMOUNT_STEP + random.below(AMOUNT_STEP))).cast_signed()),
                kind: u32::try_from(random.below(kinds.len() as u64)).unwrap_or(0),
                channel: u32::try_from(random.below(2)).unwrap_or(0),
            });
        }
        Self { rows, groups: 0, until, kinds, channels: vec!["shop".to_owned(), "mail".to_owned()] }
            .numbered()
    }

    /// The interactions of a scenario's steps that `metric` would read.
    pub fn of_scenario(scenario: &Scenario, metric: &Metric) -> Self {
        let requires_amount = metric.inputs.iter().any(|input| input.column == "amount" && input.required);
        let (mut kinds, mut channels, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut now = scenario.start;
        for step in &scenario.steps {
            match &step.action {
                Action::Wait(wait) => now = now.plus_millis(wait.0),
                Action::Interaction(part) => {
                    let group =
                        scenario.customers.iter().position(|one| Some(&one.key) == part.customer.as_ref());
                    let Some(group) = group else { continue };
                    let counts =
                        metric.kinds.is_empty() || metric.kinds.iter().any(|kind| kind == part.kind.as_str());
                    if !counts || (requires_amount && part.amount.is_none()) {
                        continue;
                    }
                    rows.push(Row {
                        group: u32::try_from(group).unwrap_or(0),
                        occurred_at_ms: part.occurred_at.unwrap_or(now).as_millis(),
                        amount: part.amount.map(|amount| amount.0.minor),
                        kind: place(&mut kinds, part.kind.as_str()),
                        channel: place(&mut channels, &part.channel),
                    });
                }
                _ => {}
            }
        }
        Self { rows, groups: 0, until: now.plus_millis(1), kinds, channels }.numbered()
    }

    /// Numbers the groups in the order in which they appear, as the warehouse does.
    fn numbered(mut self) -> Self {
        let mut known: HashMap<u32, u32> = HashMap::new();
        for row in &mut self.rows {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            row.group = *known.entry(row.group).or_insert(next);
        }
        self.groups = u32::try_from(known.len()).unwrap_or(u32::MAX);
        self
    }

    /// The same rows in another order.
    #[must_use]
    pub fn shuffled(&self, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut other = self.clone();
        for at in (1..other.rows.len()).rev() {
            let with = usize::try_from(random.below(at as u64 + 1)).unwrap_or(0);
            other.rows.swap(at, with);
        }
        other
    }

    /// Other rows with the same names.
    #[must_use]
    pub fn with(&self, rows: Vec<Row>) -> Self {
        let groups = rows.iter().map(|row| row.group + 1).max().unwrap_or(0);
        Self { rows, groups, ..self.clone() }
    }

    /// Some of the rows, with the groups of the whole.
    pub fn batch(&self, metric: &Metric, rows: &[Row]) -> (Vec<u32>, Batch) {
        let columns = metric.inputs.iter().map(|input| self.column(&input.column, rows)).collect();
        let groups = rows.iter().map(|row| row.group).collect();
        (groups, Batch { rows: u32::try_from(rows.len()).unwrap_or(u32::MAX), columns })
    }

    /// Some of the rows for an accumulator of their own.
    pub fn part(&self, metric: &Metric, rows: &[Row]) -> Part {
        let mut remap: Vec<u32> = Vec::new();
        let mut known: HashMap<u32, u32> = HashMap::new();
        let groups = rows.iter().map(|row| {
            *known.entry(row.group).or_insert_with(|| {
                remap.push(row.group);
                u32::try_from(remap.len() - 1).unwrap_or(u32::MAX)
            })
        });
        let groups: Vec<u32> = groups.collect();
        let group_count = u32::try_from(remap.len()).unwrap_or(u32::MAX);
        Part { groups, group_count, remap, batch: self.batch(metric, rows).1 }
    }

    fn column(&self, name: &str, rows: &[Row]) -> Column {
        let numbers = |value: fn(&Row) -> i64| rows.iter().map(value).collect::<Vec<_>>();
        let codes = |value: fn(&Row) -> u32| rows.iter().map(value).collect::<Vec<_>>();
        match name {
            "amount" => Column {
                validity: validity(rows),
                ..Column::new(name, ColumnValues::Int64(numbers(|row| row.amount.unwrap_or(0))))
            },
            "kind" => dictionary(name, codes(|row| row.kind), &self.kinds),
            "channel" => dictionary(name, codes(|row| row.channel), &self.channels),
            _ => Column::new(name, ColumnValues::TimestampMs(numbers(|row| row.occurred_at_ms))),
        }
    }
}

/// Place of a name in a list, added when it is not there.
fn place(names: &mut Vec<String>, name: &str) -> u32 {
    let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn validity(rows: &[Row]) -> Option<Vec<u8>> {
    if rows.iter().all(|row| row.amount.is_some()) {
        return None;
    }
    let mut bits = vec![0; rows.len().div_ceil(8)];
    for (at, _) in rows.iter().enumerate().filter(|(_, row)| row.amount.is_some()) {
        bits[at / 8] |= 1 << (at % 8);
    }
    Some(bits)
}

fn dictionary(name: &str, codes: Vec<u32>, names: &[String]) -> Column {
    let mut entries = TextValues::default();
    names.iter().for_each(|entry| entries.push(entry));
    Column::new(name, ColumnValues::Dictionary { codes, entries })
}
