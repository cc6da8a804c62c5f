//! Columns, lent to a library and taken from it.

#![allow(unsafe_code, reason = "a library's columns come as pointers")]

use std::ptr::null;

use regard_abi::{self as abi, ColumnType, slice};
use regard_engine::columns::{Batch, Column, ColumnValues, TextValues};

/// Most columns in a result.
const COLUMNS_MAX: u32 = 64;

/// The host's columns as a library sees them; the batch stays where it is.
pub(super) fn lend(batch: &Batch) -> Vec<abi::Column> {
    batch.columns.iter().map(lend_column).collect()
}

fn lend_column(column: &Column) -> abi::Column {
    let texts_of = |texts: &TextValues| (texts.len() as u32, texts.offsets.as_ptr(), texts.bytes.as_ptr());
    let none = (0, null(), null());
    let (kind, values, (texts, offsets, data)) = match &column.values {
        ColumnValues::Boolean(values) => (ColumnType::BOOLEAN, values.as_ptr(), none),
        ColumnValues::Int64(values) => (ColumnType::INT64, values.as_ptr().cast(), none),
        ColumnValues::Float64(values) => (ColumnType::FLOAT64, values.as_ptr().cast(), none),
        ColumnValues::TimestampMs(values) => (ColumnType::TIMESTAMP_MS, values.as_ptr().cast(), none),
        ColumnValues::Utf8(texts) => (ColumnType::UTF8, null(), texts_of(texts)),
        ColumnValues::Dictionary { codes, entries } => {
            (ColumnType::DICTIONARY, codes.as_ptr().cast(), texts_of(entries))
        }
    };
    abi::Column {
        name: abi::Text::new(&column.name),
        kind,
        texts,
        validity: column.validity.as_ref().map_or(null(), |bits| bits.as_ptr()),
        values,
        offsets,
        data,
    }
}

/// Why a result is not taken.
pub(super) enum Trouble {
    /// It breaks the contract.
    Wrong(String),
    /// It is larger than allowed.
    TooLarge,
}

/// Copies a library's batch, at most `bytes_max` of it. Whether the columns fit each other is checked later.
///
/// # Safety
///
/// `batch` and everything that it points to must be as `regard.h` says, until this function returns. Null and misaligned
/// pointers are noticed.
pub(super) unsafe fn take(batch: *const abi::Batch, bytes_max: u64) -> Result<Batch, Trouble> {
    // SAFETY: the caller vouches for the batch.
    let batch = unsafe { slice(batch, 1) }.and_then(<[_]>::first).ok_or_else(|| missing("the batch"))?;
    if batch.column_count > COLUMNS_MAX {
        let why = format!("{} columns, at most {COLUMNS_MAX} are taken", batch.column_count);
        return Err(Trouble::Wrong(why));
    }
    // SAFETY: the caller vouches for the columns.
    let columns = unsafe { slice(batch.columns, batch.column_count as usize) };
    let mut left = bytes_max;
    let columns = columns.ok_or_else(|| missing("columns"))?.iter().map(|column| {
        // SAFETY: the caller vouches for everything that the columns point to.
        unsafe { take_column(column, batch.rows as usize, &mut left) }
    });
    Ok(Batch { rows: batch.rows, columns: columns.collect::<Result<_, _>>()? })
}

/// # Safety
///
/// As for [`take`].
unsafe fn take_column(column: &abi::Column, rows: usize, left: &mut u64) -> Result<Column, Trouble> {
    // SAFETY: the caller vouches for the name.
    let name = unsafe { column.name.bytes() };
    let name =
        std::str::from_utf8(name).map_err(|_| Trouble::Wrong("a name is not UTF-8".to_owned()))?.to_owned();
    // SAFETY (all that follow): the caller vouches for as many values as rows, and for the texts.
    let values = match column.kind {
        ColumnType::BOOLEAN => ColumnValues::Boolean(unsafe { values(column, rows, &name, left) }?),
        ColumnType::INT64 => ColumnValues::Int64(unsafe { values(column, rows, &name, left) }?),
        ColumnType::FLOAT64 => ColumnValues::Float64(unsafe { values(column, rows, &name, left) }?),
        ColumnType::TIMESTAMP_MS => ColumnValues::TimestampMs(unsafe { values(column, rows, &name, left) }?),
        ColumnType::UTF8 => ColumnValues::Utf8(unsafe { texts(column, &name, left) }?),
        ColumnType::DICTIONARY => ColumnValues::Dictionary {
            codes: unsafe { values(column, rows, &name, left) }?,
            entries: unsafe { texts(column, &name, left) }?,
        },
        ColumnType(other) => {
            return Err(Trouble::Wrong(format!("column `{name}`: there is no type {other}")));
        }
    };
    let validity = match column.validity.is_null() {
        true => None,
        // SAFETY: the caller vouches for one bit per row.
        false => Some(unsafe { copy(column.validity, rows.div_ceil(8), &name, left) }?),
    };
    Ok(Column { name, validity, values })
}

/// # Safety
///
/// The column's values must be `rows` of `T`, or null.
unsafe fn values<T: Copy>(
    column: &abi::Column,
    rows: usize,
    name: &str,
    left: &mut u64,
) -> Result<Vec<T>, Trouble> {
    // SAFETY: the caller vouches for the values.
    unsafe { copy(column.values.cast(), rows, name, left) }
}

/// # Safety
///
/// Offsets and data of the column must be as `regard.h` says, or null.
unsafe fn texts(column: &abi::Column, name: &str, left: &mut u64) -> Result<TextValues, Trouble> {
    if column.texts == 0 {
        return Ok(TextValues::default());
    }
    // SAFETY: the caller vouches for one offset more than texts.
    let offsets: Vec<u32> = unsafe { copy(column.offsets, column.texts as usize + 1, name, left) }?;
    let length = offsets.last().copied().unwrap_or_default();
    // SAFETY: the caller vouches for data up to the last offset.
    let bytes = unsafe { copy(column.data, length as usize, name, left) }?;
    Ok(TextValues { offsets, bytes })
}

/// # Safety
///
/// `data` must point to `length` values, or be null.
unsafe fn copy<T: Copy>(
    data: *const T,
    length: usize,
    name: &str,
    left: &mut u64,
) -> Result<Vec<T>, Trouble> {
    let bytes = (length as u64).saturating_mul(size_of::<T>() as u64);
    *left = left.checked_sub(bytes).ok_or(Trouble::TooLarge)?;
    // SAFETY: the caller vouches for the values.
    let lent = unsafe { slice(data, length) };
    lent.map(<[T]>::to_vec).ok_or_else(|| missing(&format!("column `{name}`")))
}

fn missing(what: &str) -> Trouble {
    Trouble::Wrong(format!("{what}: a pointer is null or not aligned"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lend_and_take(batch: &Batch, bytes_max: u64) -> Result<Batch, Trouble> {
        let columns = lend(batch);
        let lent =
            abi::Batch { rows: batch.rows, column_count: columns.len() as u32, columns: columns.as_ptr() };
        // SAFETY: `batch` and `columns` outlive the call.
        unsafe { take(&raw const lent, bytes_max) }
    }

    #[test]
    fn columns_survive_the_round_trip() {
        let mut texts = TextValues::default();
        texts.push("ü");
        texts.push("");
        let mut with_nulls = Column::new("f", ColumnValues::Float64(vec![1.5, f64::INFINITY]));
        with_nulls.validity = Some(vec![0b01]);
        let codes = ColumnValues::Dictionary { codes: vec![1, 0], entries: texts.clone() };
        let batch = Batch {
            rows: 2,
            columns: vec![
                with_nulls,
                Column::new("i", ColumnValues::Int64(vec![i64::MIN, 1])),
                Column::new("t", ColumnValues::TimestampMs(vec![1, 2])),
                Column::new("b", ColumnValues::Boolean(vec![0, 1])),
                Column::new("u", ColumnValues::Utf8(texts)),
                Column::new("d", codes),
            ],
        };
        assert!(matches!(lend_and_take(&batch, 1 << 10), Ok(same) if same == batch));
        assert!(matches!(lend_and_take(&batch, 50), Err(Trouble::TooLarge)));
        assert!(matches!(lend_and_take(&Batch::default(), 0), Ok(same) if same == Batch::default()));
    }

    #[test]
    fn missing_pointers_are_named() {
        let whole = Batch { rows: 1, columns: vec![Column::new("f", ColumnValues::Float64(vec![1.0]))] };
        let column = abi::Column { values: null(), ..lend(&whole)[0] };
        let batch = abi::Batch { rows: 1, column_count: 1, columns: &raw const column };
        // SAFETY: null pointers are noticed before they are followed, and `whole` keeps the name.
        let taken = unsafe { take(&raw const batch, 100) };
        assert!(matches!(taken, Err(Trouble::Wrong(why)) if why.contains("null")));
    }
}
