//! The contract's columns as pointers, there and back.

#![allow(unsafe_code, reason = "the host's columns come as pointers")]

use std::ptr::null;

use regard_abi::{self as abi, ColumnType, slice};

use crate::{Batch, Column, ColumnData, DictionaryColumn, Error, Utf8Column};

/// The host's batch, copied.
///
/// # Safety
///
/// `batch` and everything that it points to must be as `regard.h` says.
pub(super) unsafe fn take(batch: *const abi::Batch) -> Result<Batch, Error> {
    // SAFETY: the caller vouches for the batch and its columns.
    let (rows, columns) = unsafe {
        let batch = slice(batch, 1).and_then(<[_]>::first).ok_or_else(|| missing("batch"))?;
        (batch.rows, slice(batch.columns, batch.column_count as usize).ok_or_else(|| missing("columns"))?)
    };
    // SAFETY: the caller vouches for what the columns point to.
    let columns = columns.iter().map(|column| unsafe { take_column(column, rows as usize) });
    Ok(Batch { rows, columns: columns.collect::<Result<_, _>>()? })
}

/// # Safety
///
/// As for [`take`].
unsafe fn take_column(column: &abi::Column, rows: usize) -> Result<Column, Error> {
    // SAFETY (all that follow): the caller vouches for the name, for as many values as rows, and for the texts.
    let name = String::from_utf8_lossy(unsafe { column.name.bytes() }).into_owned();
    let data = match column.kind {
        ColumnType::BOOLEAN => ColumnData::Boolean(unsafe { copy(column.values, rows, &name) }?),
        ColumnType::INT64 => ColumnData::Int64(unsafe { copy(column.values.cast(), rows, &name) }?),
        ColumnType::FLOAT64 => ColumnData::Float64(unsafe { copy(column.values.cast(), rows, &name) }?),
        ColumnType::TIMESTAMP_MS => {
            ColumnData::TimestampMs(unsafe { copy(column.values.cast(), rows, &name) }?)
        }
        ColumnType::UTF8 => {
            let (offsets, data) = unsafe { texts(column, &name) }?;
            ColumnData::Utf8(Utf8Column { offsets, data })
        }
        ColumnType::DICTIONARY => {
            let codes = unsafe { copy(column.values.cast(), rows, &name) }?;
            let (offsets, data) = unsafe { texts(column, &name) }?;
            ColumnData::Dictionary(DictionaryColumn { codes, offsets, data })
        }
        ColumnType(other) => {
            return Err(Error::unsupported(format!(
                "column `{name}` is of a type {other} that is not known"
            )));
        }
    };
    let validity = match column.validity.is_null() {
        true => None,
        // SAFETY: the caller vouches for one bit per row.
        false => Some(unsafe { copy(column.validity, rows.div_ceil(8), &name) }?),
    };
    Ok(Column { name, validity, data })
}

/// # Safety
///
/// As for [`take`].
unsafe fn texts(column: &abi::Column, name: &str) -> Result<(Vec<u32>, Vec<u8>), Error> {
    if column.texts == 0 {
        return Ok((vec![0], Vec::new()));
    }
    // SAFETY: the caller vouches for one offset more than texts, and for data up to the last of them.
    unsafe {
        let offsets: Vec<u32> = copy(column.offsets, column.texts as usize + 1, name)?;
        let length = offsets.last().copied().unwrap_or_default() as usize;
        Ok((offsets, copy(column.data, length, name)?))
    }
}

/// # Safety
///
/// `data` must point to `length` values, or be null.
unsafe fn copy<T: Copy>(data: *const T, length: usize, name: &str) -> Result<Vec<T>, Error> {
    // SAFETY: the caller vouches for the values.
    unsafe { slice(data, length) }.map(<[T]>::to_vec).ok_or_else(|| missing(name))
}

fn missing(what: &str) -> Error {
    Error::invalid(format!("the host lends no `{what}`"))
}

/// Lends `batch` to `look`. A column that is shorter than the batch is refused here: its pointer would not tell.
pub(super) fn lend(batch: &Batch, look: impl FnOnce(&abi::Batch) -> Result<(), Error>) -> Result<(), Error> {
    let columns = batch.columns.iter().map(|column| lend_column(column, batch.rows as usize));
    let columns: Vec<_> = columns.collect::<Result<_, _>>()?;
    let column_count = u32::try_from(columns.len()).map_err(|_| Error::failed("too many columns"))?;
    look(&abi::Batch { rows: batch.rows, column_count, columns: columns.as_ptr() })
}

fn lend_column(column: &Column, rows: usize) -> Result<abi::Column, Error> {
    let name = &column.name;
    let check = |found: usize, needed: usize| {
        let short = || Error::failed(format!("column `{name}` has {found} of {needed}"));
        if found < needed { Err(short()) } else { Ok(()) }
    };
    let fits = |offsets: &[u32], data: &[u8]| {
        let end = offsets.last().copied().unwrap_or_default();
        check(data.len(), end as usize)?;
        let texts = u32::try_from(offsets.len().saturating_sub(1));
        texts.map_err(|_| Error::failed(format!("column `{name}` has too many texts")))
    };
    let none = (0, null(), null());
    let (kind, found, values, (texts, offsets, data)) = match &column.data {
        ColumnData::Boolean(values) => (ColumnType::BOOLEAN, values.len(), values.as_ptr(), none),
        ColumnData::Int64(values) => (ColumnType::INT64, values.len(), values.as_ptr().cast(), none),
        ColumnData::Float64(values) => (ColumnType::FLOAT64, values.len(), values.as_ptr().cast(), none),
        ColumnData::TimestampMs(values) => {
            (ColumnType::TIMESTAMP_MS, values.len(), values.as_ptr().cast(), none)
        }
        ColumnData::Utf8(Utf8Column { offsets, data }) => {
            let texts = fits(offsets, data)?;
            (ColumnType::UTF8, texts as usize, null(), (texts, offsets.as_ptr(), data.as_ptr()))
        }
        ColumnData::Dictionary(DictionaryColumn { codes, offsets, data }) => {
            let texts = fits(offsets, data)?;
            let lent = (texts, offsets.as_ptr(), data.as_ptr());
            (ColumnType::DICTIONARY, codes.len(), codes.as_ptr().cast(), lent)
        }
    };
    check(found, rows)?;
    if let Some(bits) = &column.validity {
        check(bits.len(), rows.div_ceil(8))?;
    }
    Ok(abi::Column {
        name: abi::Text::new(name),
        kind,
        texts,
        validity: column.validity.as_ref().map_or(null(), |bits| bits.as_ptr()),
        values,
        offsets,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;

    #[test]
    fn columns_survive_the_round_trip() {
        let batch = BatchBuilder::new(3)
            .float64("value", vec![1.5, f64::NAN, -0.0])
            .nulls(|row| row == 1)
            .int64("n", vec![i64::MIN, 0, i64::MAX])
            .timestamp_ms("at", vec![1, 2, 3])
            .boolean("is", vec![true, false, true])
            .utf8("note", ["a", "", "ü"])
            .dictionary("kind", vec![0, 1, 0], &["x", "y"])
            .dictionary("none", vec![0, 0, 0], &[""; 0])
            .finish()
            .expect("a batch");
        lend(&batch, |lent| {
            // SAFETY: `batch` outlives the look at it.
            let taken = unsafe { take(&raw const *lent) }?;
            assert_eq!(format!("{taken:?}"), format!("{batch:?}"));
            Ok(())
        })
        .expect("lent");
    }

    #[test]
    fn a_short_column_is_not_lent() {
        let short = Column { name: "v".into(), validity: None, data: ColumnData::Int64(vec![1]) };
        let batch = Batch { rows: 2, columns: vec![short] };
        let error = lend(&batch, |_| Ok(())).expect_err("refused");
        assert_eq!(error.message, "column `v` has 1 of 2");
    }
}
