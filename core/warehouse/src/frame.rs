//! Facts become batches: one column per input that the metric reads, one group per customer.

use std::collections::HashMap;

use regard_engine::columns::{Batch, Column, ColumnValues, TextValues};
use regard_engine::ports::Facts;
use regard_model::{CustomerId, Metric};

/// Rows in one batch: large enough that a call costs nothing beside them, small enough for a guest's memory.
pub const BATCH_ROWS_MAX: usize = 65_536;

/// Interactions of one currency, grouped by customer.
#[derive(Debug)]
pub struct Frame {
    facts: Facts,
    /// Places in `facts` that take part.
    rows: Vec<u32>,
    /// Group of each of `rows`.
    groups: Vec<u32>,
    /// The customer of each group, in the order of first appearance.
    pub customers: Vec<CustomerId>,
    /// Rows left out because their amount is in another currency.
    pub rows_other_currency: u64,
}

/// The metric asks for a column that nobody delivers.
#[derive(Debug, thiserror::Error)]
#[error("metric `{metric}` reads column `{column}`; there are only occurred-at, amount, kind and channel")]
pub struct UnknownColumn {
    metric: String,
    column: String,
}

impl Frame {
    /// Groups `facts`. With a `currency`, rows whose amount is in another one are left out; so are rows without an
    /// amount when the metric requires one.
    pub fn new(facts: Facts, metric: &Metric, currency: Option<&str>) -> Self {
        let reads_amount = metric.inputs.iter().any(|input| input.column == "amount");
        let requires_amount = metric.inputs.iter().any(|input| input.column == "amount" && input.required);
        let wanted = currency.and_then(|code| facts.currency_names.iter().position(|name| name == code));
        let mut group_of: HashMap<CustomerId, u32> = HashMap::new();
        let mut frame = Self {
            rows: Vec::new(),
            groups: Vec::new(),
            customers: Vec::new(),
            rows_other_currency: 0,
            facts,
        };
        for (row, customer) in frame.facts.customers.iter().enumerate() {
            let code = usize::from(frame.facts.currency[row]);
            if reads_amount && code != 0 && Some(code) != wanted {
                frame.rows_other_currency += 1;
                continue;
            }
            if requires_amount && code == 0 {
                continue;
            }
            let group = *group_of.entry(*customer).or_insert_with(|| {
                frame.customers.push(*customer);
                // A store with four thousand million customers is far beyond one evaluation.
                u32::try_from(frame.customers.len() - 1).unwrap_or(u32::MAX)
            });
            frame.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            frame.groups.push(group);
        }
        frame
    }

    /// Rows that take part.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row takes part.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The batches with the group of each row, and the number of groups known after each.
    pub fn batches<'a>(
        &'a self,
        metric: &'a Metric,
    ) -> impl Iterator<Item = Result<(&'a [u32], u32, Batch), UnknownColumn>> + 'a {
        let mut known = 0;
        self.rows.chunks(BATCH_ROWS_MAX).zip(self.groups.chunks(BATCH_ROWS_MAX)).map(move |(rows, groups)| {
            known = groups.iter().fold(known, |known, &group| known.max(group + 1));
            let columns = metric
                .inputs
                .iter()
                .map(|input| {
                    self.column(&input.column, rows).ok_or_else(|| UnknownColumn {
                        metric: metric.name.clone(),
                        column: input.column.clone(),
                    })
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok((groups, known, Batch { rows: u32::try_from(rows.len()).unwrap_or(u32::MAX), columns }))
        })
    }

    fn column(&self, name: &str, rows: &[u32]) -> Option<Column> {
        let facts = &self.facts;
        let pick = |from: &[i64]| rows.iter().map(|&row| from[row as usize]).collect::<Vec<_>>();
        let codes = |from: &[u32]| rows.iter().map(|&row| from[row as usize]).collect::<Vec<_>>();
        Some(match name {
            "occurred-at" => Column::new(name, ColumnValues::TimestampMs(pick(&facts.occurred_at_ms))),
            "amount" => Column {
                validity: validity(rows.iter().map(|&row| facts.currency[row as usize] != 0)),
                ..Column::new(name, ColumnValues::Int64(pick(&facts.amount_minor)))
            },
            "kind" => dictionary(name, codes(&facts.kind), &facts.kind_names),
            "channel" => dictionary(name, codes(&facts.channel), &facts.channel_names),
            _ => return None,
        })
    }
}

/// One bit per row, or nothing when every row has a value.
fn validity(valid: impl ExactSizeIterator<Item = bool> + Clone) -> Option<Vec<u8>> {
    if valid.clone().all(|one| one) {
        return None;
    }
    let mut bits = vec![0; valid.len().div_ceil(8)];
    for (row, _) in valid.enumerate().filter(|&(_, one)| one) {
        bits[row / 8] |= 1 << (row % 8);
    }
    Some(bits)
}

fn dictionary(name: &str, codes: Vec<u32>, names: &[String]) -> Column {
    let mut entries = TextValues::default();
    names.iter().for_each(|entry| entries.push(entry));
    Column::new(name, ColumnValues::Dictionary { codes, entries })
}

/// The currency that most amounts of `facts` are in; none when there are no amounts. Ties go to the code first in the alphabet.
pub fn main_currency(facts: &Facts) -> Option<String> {
    let mut counts = vec![0_u64; facts.currency_names.len()];
    for &code in &facts.currency {
        counts[usize::from(code)] += 1;
    }
    facts
        .currency_names
        .iter()
        .zip(counts)
        .skip(1)
        .filter(|&(_, count)| count > 0)
        .max_by(|(left, most), (right, other)| most.cmp(other).then(right.cmp(left)))
        .map(|(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use regard_model::SubjectKind;
    use regard_model::metric::MetricInput;

    fn facts() -> Facts {
        Facts {
            customers: [7, 8, 7, 9].map(CustomerId::from_i64).to_vec(),
            occurred_at_ms: vec![1, 2, 3, 4],
            amount_minor: vec![100, 200, 0, 400],
            currency: vec![1, 1, 0, 2],
            currency_names: vec![String::new(), "USD".into(), "EUR".into()],
            kind: vec![0; 4],
            kind_names: vec!["order.placed".into()],
            channel: vec![0; 4],
            channel_names: vec!["shop".into()],
            watermark: None,
        }
    }

    fn metric(required: bool) -> Metric {
        Metric {
            name: "m".into(),
            version: 1,
            description: String::new(),
            unit: "minor".into(),
            subject: SubjectKind::Customer,
            kinds: Vec::new(),
            inputs: vec![MetricInput { column: "amount".into(), required }],
            parameters: serde_json::json!({}),
            evaluator: "kpi-m".into(),
        }
    }

    #[test]
    fn other_currencies_are_counted_and_left_out() {
        assert_eq!(main_currency(&facts()).as_deref(), Some("USD"));
        let metric = metric(false);
        let frame = Frame::new(facts(), &metric, Some("USD"));
        assert_eq!((frame.len(), frame.customers.len(), frame.rows_other_currency), (3, 2, 1));
        let (groups, known, batch) = frame.batches(&metric).next().expect("a batch").expect("known columns");
        assert_eq!((groups, known), (&[0, 1, 0][..], 2));
        let amounts: Vec<_> = (0..3).map(|row| batch.columns[0].json(row)).collect();
        assert_eq!(amounts, [100.into(), 200.into(), serde_json::Value::Null]);
    }

    #[test]
    fn rows_without_a_required_amount_are_left_out() {
        assert_eq!(Frame::new(facts(), &metric(true), Some("USD")).len(), 2);
    }
}
