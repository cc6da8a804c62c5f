//! Memory that one side lends the other for the length of a call.

#![allow(unsafe_code, reason = "what the other side lends comes as pointer and length")]

use std::ptr::null;

use crate::ColumnType;

/// UTF-8 text without a zero byte at its end.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// The first byte; may be null when there are none.
    pub data: *const u8,
    /// How many bytes.
    pub length: usize,
}

/// One column of a [`Batch`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: Text,
    /// What it holds.
    pub kind: ColumnType,
    /// Texts in `offsets` and `data`: one per row for `UTF8`, one per entry for `DICTIONARY`, else 0.
    pub texts: u32,
    /// One bit per row, least significant first; null when no row is null.
    pub validity: *const u8,
    /// One value per row, of the kind's type; null for `UTF8`.
    pub values: *const u8,
    /// Where each text begins in `data`, and where the last one ends: `texts + 1` numbers; null when there are no texts.
    pub offsets: *const u32,
    /// The texts, one after the other.
    pub data: *const u8,
}

/// Columns of equal length.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// Rows in each column.
    pub rows: u32,
    /// How many columns.
    pub column_count: u32,
    /// The columns.
    pub columns: *const Column,
}

impl Text {
    /// Lends `text`. The caller keeps it alive for as long as the other side may look.
    pub const fn new(text: &str) -> Self {
        Self { data: text.as_ptr(), length: text.len() }
    }

    /// No text.
    pub const fn empty() -> Self {
        Self { data: null(), length: 0 }
    }

    /// The bytes that the other side lent, not checked yet.
    ///
    /// # Safety
    ///
    /// `data` must point to `length` bytes that stay as they are for `'a`, unless `length` is 0.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: the caller vouches for what `slice` asks.
        unsafe { slice(self.data, self.length) }.unwrap_or_default()
    }
}

/// What `data` and `length` lend. None when a pointer is null although there is something, does not fit the type's
/// alignment, or when the length is more than memory has.
///
/// # Safety
///
/// A pointer that is not null must lead to `length` values of `T` that stay as they are for `'a`.
pub unsafe fn slice<'a, T: Copy>(data: *const T, length: usize) -> Option<&'a [T]> {
    if length == 0 {
        return Some(&[]);
    }
    let fits = length.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
    if data.is_null() || !data.is_aligned() || !fits {
        return None;
    }
    // SAFETY: not null, aligned and short enough as seen; the caller vouches for the rest.
    Some(unsafe { std::slice::from_raw_parts(data, length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_looked_at_first() {
        let numbers = [1_u32, 2, 3];
        let lent = numbers.as_ptr();
        // SAFETY: `numbers` outlives all of these, and no odd pointer is read.
        unsafe {
            assert_eq!(slice(lent, 3), Some(&numbers[..]));
            assert_eq!(slice::<u32>(null(), 0), Some(&[][..]));
            assert_eq!(slice::<u32>(null(), 1), None);
            assert_eq!(slice(lent, usize::MAX / 2), None);
            assert_eq!(slice(lent.cast::<u8>().wrapping_add(1).cast::<u32>(), 1), None);
            assert_eq!(Text::new("ü").bytes(), "ü".as_bytes());
            assert_eq!(Text::empty().bytes(), b"");
        }
    }
}
