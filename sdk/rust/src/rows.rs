//! Building the batch that an evaluator returns.

use crate::{Batch, Column, ColumnData, DictionaryColumn, Error, Utf8Column};

/// Collects columns of one length.
///
/// ```
/// use regard_sdk::BatchBuilder;
///
/// let scores = vec![2.0, 0.0];
/// let batch = BatchBuilder::new(2)
///     .float64("value", scores)
///     .nulls(|row| row == 1)
///     .utf8("segment", ["loyal", ""])
///     .nulls(|row| row == 1)
///     .finish()
///     .unwrap();
/// assert_eq!(batch.float64("value").unwrap().get(1), None);
/// ```
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    rows: usize,
    columns: Vec<Column>,
}

impl BatchBuilder {
    /// A batch of `rows` rows, without columns yet.
    pub fn new(rows: usize) -> Self {
        Self { rows, columns: Vec::new() }
    }

    /// Adds a column of integers.
    #[must_use]
    pub fn int64(self, name: &str, values: Vec<i64>) -> Self {
        self.push(name, ColumnData::Int64(values))
    }

    /// Adds a column of floats.
    #[must_use]
    pub fn float64(self, name: &str, values: Vec<f64>) -> Self {
        self.push(name, ColumnData::Float64(values))
    }

    /// Adds a column of milliseconds since the epoch.
    #[must_use]
    pub fn timestamp_ms(self, name: &str, values: Vec<i64>) -> Self {
        self.push(name, ColumnData::TimestampMs(values))
    }

    /// Adds a column of truth values.
    #[must_use]
    pub fn boolean(self, name: &str, values: Vec<bool>) -> Self {
        self.push(name, ColumnData::Boolean(values.into_iter().map(u8::from).collect()))
    }

    /// Adds a column of texts.
    #[must_use]
    pub fn utf8<T: AsRef<str>>(self, name: &str, texts: impl IntoIterator<Item = T>) -> Self {
        let (offsets, data) = concatenate(texts);
        self.push(name, ColumnData::Utf8(Utf8Column { offsets, data }))
    }

    /// Adds a column of codes into `entries`; right for texts that repeat.
    #[must_use]
    pub fn dictionary<T: AsRef<str>>(self, name: &str, codes: Vec<u32>, entries: &[T]) -> Self {
        let (offsets, data) = concatenate(entries);
        self.push(name, ColumnData::Dictionary(DictionaryColumn { codes, offsets, data }))
    }

    /// Makes the rows of the column added last null where `is_null` says so.
    #[must_use]
    pub fn nulls(mut self, is_null: impl Fn(usize) -> bool) -> Self {
        let mut bits = vec![0_u8; self.rows.div_ceil(8)];
        let mut any = false;
        for row in 0..self.rows {
            if is_null(row) {
                any = true;
            } else {
                bits[row / 8] |= 1 << (row % 8);
            }
        }
        if let Some(column) = self.columns.last_mut() {
            column.validity = any.then_some(bits);
        }
        self
    }

    /// The batch, unless a column has another length or two have one name.
    pub fn finish(self) -> Result<Batch, Error> {
        let rows = u32::try_from(self.rows).map_err(|_| Error::exhausted("more than 4294967295 rows"))?;
        for (at, column) in self.columns.iter().enumerate() {
            let length = match &column.data {
                ColumnData::Boolean(values) => values.len(),
                ColumnData::Int64(values) | ColumnData::TimestampMs(values) => values.len(),
                ColumnData::Float64(values) => values.len(),
                ColumnData::Utf8(texts) => texts.offsets.len() - 1,
                ColumnData::Dictionary(texts) => texts.codes.len(),
            };
            if length != self.rows {
                return Err(Error::failed(format!("column `{}` has {length} of {rows} rows", column.name)));
            }
            if self.columns[..at].iter().any(|other| other.name == column.name) {
                return Err(Error::failed(format!("two columns are named `{}`", column.name)));
            }
        }
        Ok(Batch { rows, columns: self.columns })
    }

    fn push(mut self, name: &str, data: ColumnData) -> Self {
        self.columns.push(Column { name: name.to_owned(), validity: None, data });
        self
    }
}

fn concatenate<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> (Vec<u32>, Vec<u8>) {
    let (mut offsets, mut data) = (vec![0], Vec::new());
    for text in texts {
        data.extend_from_slice(text.as_ref().as_bytes());
        // A guest's memory ends at 4 GiB, so its offsets always fit; a native test never comes near.
        offsets.push(data.len() as u32);
    }
    (offsets, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_another_length_is_refused() {
        let error =
            BatchBuilder::new(2).float64("value", vec![1.0]).finish().expect_err("one row is missing");
        assert_eq!(error.message, "column `value` has 1 of 2 rows");
    }

    #[test]
    fn names_are_unique() {
        assert!(BatchBuilder::new(0).float64("value", vec![]).int64("value", vec![]).finish().is_err());
    }

    #[test]
    fn without_nulls_there_is_no_bitmap() {
        let batch = BatchBuilder::new(9).int64("n", vec![0; 9]).nulls(|_| false).finish().expect("batch");
        assert_eq!(batch.columns[0].validity, None);
        let batch =
            BatchBuilder::new(9).int64("n", vec![0; 9]).nulls(|row| row == 8).finish().expect("batch");
        assert_eq!(batch.columns[0].validity.as_deref(), Some(&[0xff, 0x00][..]));
    }
}
