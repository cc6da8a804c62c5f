//! What a run found about the population: small enough to keep with the run and to show in a report.

use std::collections::BTreeMap;

use regard_engine::columns::{Batch, Column, ColumnValues};
use serde_json::{Value, json};

/// Different texts that are counted; a column with more is no category.
const WORDS_MAX: usize = 64;

/// For each number column count, sum, mean, least and greatest value; for each text column the count per text. A batch of
/// one row is its own summary.
pub fn summarise(result: &Batch) -> Value {
    let columns = result.columns.iter().map(|column| {
        let told = if result.rows == 1 { column.json(0) } else { of_column(column, result.rows as usize) };
        (column.name.clone(), told)
    });
    Value::Object(columns.collect())
}

fn of_column(column: &Column, rows: usize) -> Value {
    let valid = (0..rows).filter(|&row| column.is_valid(row));
    match &column.values {
        ColumnValues::Float64(numbers) => of_numbers(valid.map(|row| numbers[row])),
        ColumnValues::Int64(numbers) => of_numbers(valid.map(|row| numbers[row] as f64)),
        ColumnValues::TimestampMs(_) => json!({ "count": valid.count() }),
        ColumnValues::Boolean(bytes) => {
            let (count, yes) =
                valid.fold((0, 0), |(count, yes), row| (count + 1, yes + usize::from(bytes[row] != 0)));
            json!({ "count": count, "true": yes })
        }
        ColumnValues::Utf8(texts) => of_texts(valid.filter_map(|row| texts.get(row))),
        ColumnValues::Dictionary { codes, entries } => {
            of_texts(valid.filter_map(|row| entries.get(codes[row] as usize)))
        }
    }
}

fn of_numbers(numbers: impl Iterator<Item = f64>) -> Value {
    let (mut count, mut sum, mut least, mut greatest) = (0_u64, 0.0, f64::INFINITY, f64::NEG_INFINITY);
    for number in numbers {
        count += 1;
        sum += number;
        least = least.min(number);
        greatest = greatest.max(number);
    }
    if count == 0 {
        return json!({ "count": 0 });
    }
    json!({ "count": count, "sum": sum, "mean": sum / count as f64, "min": least, "max": greatest })
}

fn of_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for text in texts {
        if counts.len() == WORDS_MAX && !counts.contains_key(text) {
            return json!({ "distinct": format!("more than {WORDS_MAX}") });
        }
        *counts.entry(text).or_default() += 1;
    }
    json!(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regard_engine::columns::TextValues;

    #[test]
    fn numbers_and_texts() {
        let mut texts = TextValues::default();
        ["a", "b", "a"].into_iter().for_each(|text| texts.push(text));
        let batch = Batch {
            rows: 3,
            columns: vec![
                Column {
                    validity: Some(vec![0b011]),
                    ..Column::new("value", ColumnValues::Float64(vec![1.0, 3.0, f64::NAN]))
                },
                Column::new("segment", ColumnValues::Utf8(texts)),
            ],
        };
        assert_eq!(
            summarise(&batch),
            json!({
                "value": { "count": 2, "sum": 4.0, "mean": 2.0, "min": 1.0, "max": 3.0 },
                "segment": { "a": 2, "b": 1 },
            })
        );
    }
}
