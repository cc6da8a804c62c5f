//! Whether two answers of an evaluator are the same.

use regard_engine::columns::{Batch, Column, ColumnValues};
use serde_json::Value;

/// The first difference in each column. With a tolerance numbers may differ by that much of their size; without one every
/// bit counts.
pub(super) fn different(wanted: &Batch, found: &Batch, tolerance: f64) -> Vec<String> {
    if wanted.rows != found.rows {
        return vec![format!("rows: wanted {}, found {}", wanted.rows, found.rows)];
    }
    let mut told = Vec::new();
    for column in &wanted.columns {
        match found.column(&column.name) {
            Some(other) => told.extend(first(column, other, wanted.rows as usize, tolerance)),
            None => told.push(format!("column `{}`: wanted it, found none", column.name)),
        }
    }
    told
}

fn first(wanted: &Column, found: &Column, rows: usize, tolerance: f64) -> Option<String> {
    if let (ColumnValues::Float64(left), ColumnValues::Float64(right)) = (&wanted.values, &found.values)
        && tolerance == 0.0
    {
        let differs = |&row: &usize| {
            wanted.is_valid(row) != found.is_valid(row)
                || (wanted.is_valid(row) && left[row].to_bits() != right[row].to_bits())
        };
        let row = (0..rows).find(differs)?;
        return Some(format!(
            "column `{}`, row {row}: wanted {:?}, found {:?}",
            wanted.name, left[row], right[row]
        ));
    }
    let row = (0..rows).find(|&row| !alike(&wanted.json(row), &found.json(row), tolerance))?;
    Some(format!(
        "column `{}`, row {row}: wanted {}, found {}",
        wanted.name,
        wanted.json(row),
        found.json(row)
    ))
}

fn alike(wanted: &Value, found: &Value, tolerance: f64) -> bool {
    match (wanted, found) {
        (Value::Number(left), Value::Number(right)) => {
            let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else { return left == right };
            (left - right).abs() <= tolerance * left.abs().max(right.abs()).max(1.0)
        }
        // A column may hold JSON, such as the points of a curve.
        (Value::String(left), Value::String(right)) if left != right => {
            let parsed =
                |text: &str| serde_json::from_str::<Value>(text).ok().filter(|value| !value.is_string());
            match (parsed(left), parsed(right)) {
                (Some(left), Some(right)) => alike(&left, &right, tolerance),
                _ => false,
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| alike(left, right, tolerance))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, left)| right.get(name).is_some_and(|right| alike(left, right, tolerance)))
        }
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_may_differ_a_little_and_nothing_else() {
        let batch = |numbers: &[f64]| Batch {
            rows: 2,
            columns: vec![Column::new("value", ColumnValues::Float64(numbers.to_vec()))],
        };
        let (one, near, far) = (batch(&[0.1, 2.0]), batch(&[0.1 + 1e-12, 2.0]), batch(&[0.1, 2.1]));
        assert!(different(&one, &near, 1e-9).is_empty());
        assert_eq!(different(&one, &near, 0.0).len(), 1);
        assert_eq!(different(&one, &far, 1e-9), ["column `value`, row 1: wanted 2.0, found 2.1"]);
    }
}
