//! Columns of values, as evaluators take and return them.
//!
//! The shapes are those of the contract's `regard:core/types`: lists of primitive numbers cross into a guest in one
//! copy, so a batch of a million rows costs a few milliseconds to hand over.

/// The values of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValues {
    /// One byte per row, 0 or 1.
    Boolean(Vec<u8>),
    /// Whole numbers.
    Int64(Vec<i64>),
    /// Floating point numbers.
    Float64(Vec<f64>),
    /// Milliseconds since 1970.
    TimestampMs(Vec<i64>),
    /// Text.
    Utf8(TextValues),
    /// Few different texts, one code per row.
    Dictionary {
        /// Place in the dictionary, per row.
        codes: Vec<u32>,
        /// The dictionary.
        entries: TextValues,
    },
}

/// Texts one after the other: text i is `bytes[offsets[i]..offsets[i + 1]]`, so there is one offset more than texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextValues {
    /// Where each text begins, and where the last one ends.
    pub offsets: Vec<u32>,
    /// UTF-8.
    pub bytes: Vec<u8>,
}

impl Default for TextValues {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }
}

impl TextValues {
    /// Adds one text at the end.
    pub fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.offsets.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// Text `row`, or `None` when offsets or bytes are not what they should be.
    pub fn get(&self, row: usize) -> Option<&str> {
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row + 1)?);
        std::str::from_utf8(self.bytes.get(start as usize..end as usize)?).ok()
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A named column; `validity` has one bit per row, least significant first, and is absent when no row is null.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Name within the batch.
    pub name: String,
    /// Which rows have a value.
    pub validity: Option<Vec<u8>>,
    /// The values; a null row holds any value.
    pub values: ColumnValues,
}

impl Column {
    /// A column without nulls.
    pub fn new(name: &str, values: ColumnValues) -> Self {
        Self { name: name.to_owned(), validity: None, values }
    }

    /// Whether row `row` has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        self.validity
            .as_ref()
            .is_none_or(|bits| bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1))
    }

    /// Row `row` as JSON; `Null` for a null and for what JSON cannot say (NaN, infinity).
    pub fn json(&self, row: usize) -> serde_json::Value {
        use serde_json::Value;
        if !self.is_valid(row) {
            return Value::Null;
        }
        match &self.values {
            ColumnValues::Boolean(bytes) => {
                bytes.get(row).map_or(Value::Null, |&byte| Value::Bool(byte != 0))
            }
            ColumnValues::Int64(numbers) => numbers.get(row).map_or(Value::Null, |&number| number.into()),
            ColumnValues::Float64(numbers) => numbers.get(row).map_or(Value::Null, |&number| number.into()),
            ColumnValues::TimestampMs(instants) => instants.get(row).map_or(Value::Null, |&millis| {
                regard_model::Timestamp::from_millis(millis).to_string().into()
            }),
            ColumnValues::Utf8(texts) => texts.get(row).map_or(Value::Null, Into::into),
            ColumnValues::Dictionary { codes, entries } => {
                codes.get(row).and_then(|&code| entries.get(code as usize)).map_or(Value::Null, Into::into)
            }
        }
    }
}

/// Columns of equal length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Rows in each column.
    pub rows: u32,
    /// The columns.
    pub columns: Vec<Column>,
}

impl Batch {
    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Says what is wrong when a column's length or an offset does not fit: a guest's batch is input from outside.
    pub fn check(&self) -> Result<(), String> {
        let rows = self.rows as usize;
        for column in &self.columns {
            let name = &column.name;
            let texts_fit = |texts: &TextValues| {
                texts.offsets.first() == Some(&0)
                    && texts.offsets.is_sorted()
                    && texts.offsets.last().is_some_and(|&end| end as usize == texts.bytes.len())
                    && (0..texts.len()).all(|at| texts.get(at).is_some())
            };
            let found = match &column.values {
                ColumnValues::Boolean(bytes) => bytes.len(),
                ColumnValues::Int64(numbers) | ColumnValues::TimestampMs(numbers) => numbers.len(),
                ColumnValues::Float64(numbers) => numbers.len(),
                ColumnValues::Utf8(texts) if texts_fit(texts) => texts.len(),
                ColumnValues::Dictionary { codes, entries } if texts_fit(entries) => {
                    if let Some(code) = codes.iter().find(|&&code| code as usize >= entries.len()) {
                        return Err(format!(
                            "column `{name}` has code {code}, its dictionary {} entries",
                            entries.len()
                        ));
                    }
                    codes.len()
                }
                ColumnValues::Utf8(_) | ColumnValues::Dictionary { .. } => {
                    return Err(format!(
                        "column `{name}` has offsets that do not fit its text, or text that is not UTF-8"
                    ));
                }
            };
            if found != rows {
                return Err(format!("column `{name}` has {found} rows, the batch {rows}"));
            }
            if column.validity.as_ref().is_some_and(|bits| bits.len() < rows.div_ceil(8)) {
                return Err(format!("column `{name}` has too short a validity bitmap"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_from_outside_is_checked() {
        let numbers = |values: &[i64]| Column::new("n", ColumnValues::Int64(values.to_vec()));
        assert!(Batch { rows: 2, columns: vec![numbers(&[1, 2])] }.check().is_ok());
        assert!(Batch { rows: 3, columns: vec![numbers(&[1, 2])] }.check().is_err());
        let mut texts = TextValues::default();
        texts.push("a");
        let codes = |codes: &[u32]| {
            let values = ColumnValues::Dictionary { codes: codes.to_vec(), entries: texts.clone() };
            Batch { rows: 1, columns: vec![Column::new("d", values)] }
        };
        assert!(codes(&[0]).check().is_ok());
        assert!(codes(&[1]).check().is_err());
        let broken = TextValues { offsets: vec![0, 9], bytes: vec![b'a'] };
        assert!(
            Batch { rows: 1, columns: vec![Column::new("t", ColumnValues::Utf8(broken))] }.check().is_err()
        );
    }

    #[test]
    fn null_rows_are_null_in_json() {
        let column = Column {
            validity: Some(vec![0b10]),
            ..Column::new("n", ColumnValues::Float64(vec![1.0, f64::NAN]))
        };
        assert!(column.json(0).is_null() && column.json(1).is_null());
    }
}
