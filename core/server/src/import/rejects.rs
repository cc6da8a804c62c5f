//! The file of refused rows: one JSON object per line with the line's number, the reason and the text.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

/// Writes refused rows; the file is made with the first one.
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
}

impl Rejects {
    /// Goes on after the first `bytes` bytes, which an earlier, broken off import wrote; what stands behind them was
    /// written for rows that were not stored then and come again.
    pub fn open(path: &Path, bytes: u64) -> Result<Self> {
        let mut rejects = Self { path: path.to_owned(), file: None, bytes };
        if bytes > 0 {
            rejects.make()?;
        } else if path.exists() {
            std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
        }
        Ok(rejects)
    }

    /// Adds one row.
    pub fn write(&mut self, line: u64, reason: &str, text: &str) -> Result<()> {
        let mut row = json!({ "line": line, "reason": reason, "text": text }).to_string();
        row.push('\n');
        self.make()?.write_all(row.as_bytes())?;
        self.bytes += row.len() as u64;
        Ok(())
    }

    /// Hands everything to the operating system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.flush()).with_context(|| self.complaint())
    }

    /// Bytes written so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn make(&mut self) -> Result<&mut BufWriter<File>> {
        if self.file.is_none() {
            let mut file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(false)
                .open(&self.path)
                .with_context(|| self.complaint())?;
            file.set_len(self.bytes)?;
            file.seek(SeekFrom::End(0))?;
            self.file = Some(BufWriter::new(file));
        }
        self.file.as_mut().context("the reject file is open")
    }

    fn complaint(&self) -> String {
        format!("cannot write the reject file {}: name another place with --rejects", self.path.display())
    }
}
