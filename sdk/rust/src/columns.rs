//! Reading the columns of a batch.
//!
//! A column is looked up once per batch by name and type; the result is a plain slice with its validity, so
//! that the loop over rows has no lookups and no matches.

use crate::{Batch, Column, ColumnData, DictionaryColumn, Error, Utf8Column};

/// Which rows of a column are not null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validity<'a>(Option<&'a [u8]>);

impl Validity<'_> {
    /// Whether no row is null, so that a loop may skip the question.
    #[inline]
    pub fn all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether row `row` has a value. Rows past the column have none.
    #[inline]
    pub fn at(&self, row: usize) -> bool {
        match self.0 {
            None => true,
            Some(bits) => bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1),
        }
    }
}

/// A column of primitive values. Where a row is null its value has no meaning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Values<'a, T> {
    /// One value per row.
    pub values: &'a [T],
    /// Which of them count.
    pub validity: Validity<'a>,
}

impl<T: Copy> Values<'_, T> {
    /// The value of `row`, or nothing when it is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        if self.validity.at(row) { self.values.get(row).copied() } else { None }
    }
}

/// A column of text, one text per row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texts<'a> {
    offsets: &'a [u32],
    data: &'a [u8],
    validity: Validity<'a>,
}

impl<'a> Texts<'a> {
    /// The text of `row`, or nothing when it is null.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        if self.validity.at(row) { entry(self.offsets, self.data, row) } else { None }
    }
}

/// A column of codes into a dictionary of texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Codes<'a> {
    /// One code per row, each below [`Codes::entries`].
    pub codes: &'a [u32],
    /// Which rows are not null.
    pub validity: Validity<'a>,
    offsets: &'a [u32],
    data: &'a [u8],
}

impl<'a> Codes<'a> {
    /// How many entries the dictionary has.
    pub fn entries(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The text of an entry.
    pub fn entry(&self, code: u32) -> Option<&'a str> {
        entry(self.offsets, self.data, code as usize)
    }

    /// The code of a text, to compare codes instead of texts in the loop over rows.
    pub fn code_of(&self, text: &str) -> Option<u32> {
        (0..self.entries() as u32).find(|code| self.entry(*code) == Some(text))
    }

    /// The text of `row`, or nothing when it is null.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        if self.validity.at(row) { self.entry(*self.codes.get(row)?) } else { None }
    }
}

fn entry<'a>(offsets: &[u32], data: &'a [u8], at: usize) -> Option<&'a str> {
    let (start, end) = (*offsets.get(at)? as usize, *offsets.get(at + 1)? as usize);
    std::str::from_utf8(data.get(start..end)?).ok()
}

/// Generates the accessors that differ only in the type of the values.
macro_rules! primitive {
    ($($(#[$doc:meta])* $name:ident: $variant:ident($type:ty);)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, name: &str) -> Result<Values<'_, $type>, Error> {
            let column = self.required(name)?;
            let ColumnData::$variant(values) = &column.data else {
                return Err(self.mismatch(column, stringify!($name)));
            };
            self.check_length(name, values.len())?;
            Ok(Values { values, validity: self.validity(column)? })
        }
    )*};
}

impl Batch {
    /// The column of this name, if the batch has it.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    primitive! {
        /// An int64 column; `invalid` when it is missing, of another type or of another length.
        int64: Int64(i64);
        /// A float64 column; `invalid` when it is missing, of another type or of another length.
        float64: Float64(f64);
        /// A column of milliseconds since the epoch; `invalid` when it is missing, of another type or of
        /// another length.
        timestamp_ms: TimestampMs(i64);
        /// A boolean column, one byte per row; `invalid` when it is missing, of another type or of another
        /// length.
        boolean: Boolean(u8);
    }

    /// A text column; `invalid` when it is missing, of another type or of another length.
    pub fn utf8(&self, name: &str) -> Result<Texts<'_>, Error> {
        let column = self.required(name)?;
        let ColumnData::Utf8(Utf8Column { offsets, data }) = &column.data else {
            return Err(self.mismatch(column, "utf8"));
        };
        self.check_length(name, offsets.len().saturating_sub(1))?;
        Ok(Texts { offsets, data, validity: self.validity(column)? })
    }

    /// A dictionary column; `invalid` when it is missing, of another type, of another length, or when a code
    /// has no entry.
    pub fn dictionary(&self, name: &str) -> Result<Codes<'_>, Error> {
        let column = self.required(name)?;
        let ColumnData::Dictionary(DictionaryColumn { codes, offsets, data }) = &column.data else {
            return Err(self.mismatch(column, "dictionary"));
        };
        self.check_length(name, codes.len())?;
        let found = Codes { codes, offsets, data, validity: self.validity(column)? };
        let past = |code: &u32| *code as usize >= found.entries();
        if codes.iter().enumerate().any(|(row, code)| past(code) && found.validity.at(row)) {
            return Err(Error::invalid(format!("column `{name}` has a code without an entry")));
        }
        Ok(found)
    }

    fn required(&self, name: &str) -> Result<&Column, Error> {
        self.column(name).ok_or_else(|| Error::invalid(format!("column `{name}` is missing")))
    }

    fn mismatch(&self, column: &Column, wanted: &str) -> Error {
        let found = match column.data {
            ColumnData::Boolean(_) => "boolean",
            ColumnData::Int64(_) => "int64",
            ColumnData::Float64(_) => "float64",
            ColumnData::TimestampMs(_) => "timestamp_ms",
            ColumnData::Utf8(_) => "utf8",
            ColumnData::Dictionary(_) => "dictionary",
        };
        Error::invalid(format!("column `{}` is {found}, not {wanted}", column.name))
    }

    fn check_length(&self, name: &str, length: usize) -> Result<(), Error> {
        if length == self.rows as usize {
            return Ok(());
        }
        Err(Error::invalid(format!("column `{name}` has {length} rows, the batch has {}", self.rows)))
    }

    fn validity<'a>(&self, column: &'a Column) -> Result<Validity<'a>, Error> {
        match &column.validity {
            Some(bits) if bits.len() < (self.rows as usize).div_ceil(8) => Err(Error::invalid(format!(
                "column `{}` has a validity of only {} bytes",
                column.name,
                bits.len()
            ))),
            bits => Ok(Validity(bits.as_deref())),
        }
    }
}

/// Checks what every `update` may assume: one group per row, each below `group_count`.
pub fn check_groups(groups: &[u32], group_count: u32, rows: &Batch) -> Result<(), Error> {
    if groups.len() != rows.rows as usize {
        return Err(Error::invalid(format!("{} groups for {} rows", groups.len(), rows.rows)));
    }
    // The pass without early exit vectorises.
    match groups.iter().copied().fold(0, u32::max) {
        highest if !groups.is_empty() && highest >= group_count => {
            Err(Error::invalid(format!("group {highest} is not below the group count {group_count}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;

    fn batch() -> Batch {
        BatchBuilder::new(3)
            .int64("amount", vec![5, 0, 7])
            .nulls(|row| row == 1)
            .dictionary("kind", vec![0, 1, 0], &["order.placed", "page.viewed"])
            .utf8("note", ["a", "", "ü"])
            .finish()
            .expect("well-formed batch")
    }

    #[test]
    fn columns_are_read_with_their_nulls() {
        let batch = batch();
        let amount = batch.int64("amount").expect("amount");
        assert_eq!(
            [amount.get(0), amount.get(1), amount.get(2), amount.get(3)],
            [Some(5), None, Some(7), None]
        );
        let kind = batch.dictionary("kind").expect("kind");
        assert_eq!((kind.get(1), kind.code_of("order.placed")), (Some("page.viewed"), Some(0)));
        assert_eq!(batch.utf8("note").expect("note").get(2), Some("ü"));
    }

    #[test]
    fn misfits_are_named() {
        let batch = batch();
        let message = |error: Error| error.message;
        assert_eq!(batch.int64("x").map_err(message), Err("column `x` is missing".into()));
        assert_eq!(
            batch.float64("amount").map_err(message),
            Err("column `amount` is int64, not float64".into())
        );
        let short = Batch { rows: 4, ..batch };
        assert_eq!(
            short.int64("amount").map_err(message),
            Err("column `amount` has 3 rows, the batch has 4".into())
        );
    }

    #[test]
    fn groups_must_fit() {
        let batch = batch();
        assert!(check_groups(&[0, 1, 1], 2, &batch).is_ok());
        assert!(check_groups(&[0, 1, 2], 2, &batch).is_err());
        assert!(check_groups(&[0], 2, &batch).is_err());
        assert!(check_groups(&[], 0, &Batch { rows: 0, columns: vec![] }).is_ok());
    }
}
