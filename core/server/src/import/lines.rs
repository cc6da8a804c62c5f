//! A file cut into records, each with its line and its place, so that reading can go on from any record.
//!
//! One record is one line, or several when a quoted field goes over the end of a line. A quote that never closes would
//! swallow the rest of the file; so a record ends after [`RECORD_LINES_MAX`] lines at the latest, its first line is refused
//! and reading goes on with the second.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};

use anyhow::Result;

use super::Format;
use super::map::{Delimiter, Map};

/// Lines that one quoted field may span.
const RECORD_LINES_MAX: usize = 64;
/// Longest line, in bytes; a longer one is refused and skipped, not held in memory.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a refused line that are kept for the reject file.
const SHOWN_BYTES_MAX: usize = 2000;

/// One record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Number of its first line, from 1.
    pub line: u64,
    /// Its bytes without the line end.
    pub bytes: Vec<u8>,
}

impl Record {
    /// Whether nothing but white space is in it.
    pub fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// Its text for the reject file, shortened, with what is no UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(SHOWN_BYTES_MAX)]).into_owned()
    }
}

/// Reads records.
pub struct Records<R> {
    input: BufReader<R>,
    quoted: bool,
    /// Lines that were read ahead in search of a closing quote, with the bytes they take in the file.
    ahead: VecDeque<(Vec<u8>, u64)>,
    bytes: u64,
    lines: u64,
}

impl<R: Read> Records<R> {
    /// Records of `input`, from its start.
    pub fn new(input: BufReader<R>, format: Format, map: Option<&Map>) -> Self {
        let quoted = format == Format::Csv && map.is_none_or(|map| map.delimiter != Delimiter::Whitespace);
        Self { input, quoted, ahead: VecDeque::new(), bytes: 0, lines: 0 }
    }

    /// Bytes and lines up to the end of the last record.
    pub const fn place(&self) -> (u64, u64) {
        (self.bytes, self.lines)
    }

    pub(super) const fn input(&mut self) -> &mut BufReader<R> {
        &mut self.input
    }

    pub(super) fn set_place(&mut self, bytes: u64, lines: u64) {
        self.ahead.clear();
        (self.bytes, self.lines) = (bytes, lines);
    }

    /// The next record; the inner error is a record that cannot be cut out, with the reason.
    pub fn next_record(&mut self) -> Result<Option<Result<Record, (Record, String)>>> {
        let Some((first, size)) = self.line()? else { return Ok(None) };
        let mut record = Record { line: self.lines + 1, bytes: first };
        let mut taken = (size, 1);
        if record.bytes.len() > LINE_BYTES_MAX {
            self.advance(taken);
            let reason = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            return Ok(Some(Err((record, reason))));
        }
        if self.quoted && odd_quotes(&record.bytes) {
            let mut further = Vec::new();
            let mut closed = false;
            while further.len() < RECORD_LINES_MAX - 1 && !closed {
                let Some(next) = self.line()? else { break };
                closed = odd_quotes(&next.0);
                further.push(next);
            }
            if !closed {
                further.into_iter().rev().for_each(|line| self.ahead.push_front(line));
                self.advance(taken);
                let reason = format!("a quote opens and does not close within {RECORD_LINES_MAX} lines");
                return Ok(Some(Err((record, reason))));
            }
            for (bytes, size) in further {
                record.bytes.push(b'\n');
                record.bytes.extend_from_slice(&bytes);
                taken = (taken.0 + size, taken.1 + 1);
            }
        }
        self.advance(taken);
        Ok(Some(Ok(record)))
    }

    const fn advance(&mut self, (bytes, lines): (u64, u64)) {
        self.bytes += bytes;
        self.lines += lines;
    }

    /// The next line without its end, and the bytes it takes in the file. Of a line that is too long only the beginning is kept.
    fn line(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Vec::with_capacity(128);
        let mut size =
            self.input.by_ref().take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line)? as u64;
        if size == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && line.len() > LINE_BYTES_MAX {
            size += self.input.skip_until(b'\n')? as u64;
        } else {
            while matches!(line.last(), Some(b'\n' | b'\r')) {
                line.pop();
            }
        }
        Ok(Some((line, size)))
    }
}

fn odd_quotes(line: &[u8]) -> bool {
    line.iter().filter(|&&byte| byte == b'"').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<Result<(u64, String), u64>> {
        let mut records = Records::new(BufReader::new(text.as_bytes()), Format::Csv, None);
        let mut found = Vec::new();
        while let Some(record) = records.next_record().expect("reads") {
            found.push(match record {
                Ok(record) => Ok((record.line, record.text())),
                Err((record, _)) => Err(record.line),
            });
        }
        assert_eq!(records.place().0, text.len() as u64, "every byte is accounted for");
        found
    }

    #[test]
    fn quoted_fields_may_span_lines() {
        assert_eq!(
            cut("a,b\r\n1,\"x\ny\"\n2,z"),
            [Ok((1, "a,b".into())), Ok((2, "1,\"x\ny\"".into())), Ok((4, "2,z".into()))]
        );
    }

    #[test]
    fn a_quote_that_never_closes_costs_one_line() {
        let rest: String = (0..100).map(|n| format!("{n},ok\n")).collect();
        let found = cut(&format!("h\n1,\"broken\n{rest}"));
        assert_eq!(found.len(), 102);
        assert_eq!(found[1], Err(2));
        assert_eq!(found[101], Ok((102, "99,ok".into())));
    }

    #[test]
    fn an_endless_line_is_refused_and_not_kept() {
        let found = cut(&format!("a\n{}\nb\n", "x".repeat(3 * LINE_BYTES_MAX)));
        assert_eq!(found, [Ok((1, "a".into())), Err(2), Ok((3, "b".into()))]);
    }
}
