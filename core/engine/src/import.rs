//! Where a long import stands, so that it can go on after a crash.

use serde::{Deserialize, Serialize};

use crate::ports::Appended;

/// How far one file has come. Stored in the transaction that stores the rows up to it, so that after a crash not
/// one row is missing and none is read twice. The caller gives the counts before the rows of this transaction; the store
/// adds what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportMark {
    /// SHA-256 over what is imported, the file's content and the map, in hex: a changed file is another import.
    pub key: String,
    /// Bytes of the file that are done.
    pub bytes: u64,
    /// Lines of the file that are done.
    pub lines: u64,
    /// Rows stored.
    pub accepted: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows refused, each with a line in the reject file.
    pub rejected: u64,
    /// Bytes of the reject file that belong to the done lines.
    pub rejects_bytes: u64,
    /// Whether the file is done.
    pub finished: bool,
}

impl ImportMark {
    /// The mark after rows with these outcomes.
    #[must_use]
    pub fn with(mut self, outcomes: &[Appended]) -> Self {
        for outcome in outcomes {
            match outcome {
                Appended::Accepted { .. } => self.accepted += 1,
                Appended::Duplicate { .. } => self.duplicates += 1,
                Appended::Rejected(_) => self.rejected += 1,
            }
        }
        self
    }
}
