//! Why a manifest was refused.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a manifest was refused: the file, the key and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}{problem}; {mend}", file.display(), KeyPrefix(key))]
pub struct ManifestError {
    /// The manifest's path.
    pub file: PathBuf,
    /// Dotted path of the key, such as `permissions.hosts[1]`; empty when the whole file is meant.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub mend: String,
}

struct KeyPrefix<'a>(&'a str);

impl fmt::Display for KeyPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "`{}` ", self.0) }
    }
}

impl ManifestError {
    pub(super) fn new(file: &Path, key: &str, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { file: file.to_owned(), key: key.to_owned(), problem: problem.into(), mend: mend.into() }
    }

    /// serde knows what is wrong and where in the text, so the key is taken from the offending line.
    pub(super) fn from_toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message().trim().to_owned();
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line_number = before.matches('\n').count() + 1;
        let line = text.lines().nth(line_number - 1).unwrap_or_default();
        let key = line.split('=').next().unwrap_or_default().trim().trim_matches(['[', ']', '"']).trim();
        let mend = if message.starts_with("unknown field") {
            format!("correct or remove the key on line {line_number}")
        } else if message.starts_with("missing field") {
            "add the missing key".to_owned()
        } else {
            format!("correct line {line_number}")
        };
        Self::new(file, key, message, mend)
    }
}

/// A [`ManifestError`] before the file is known.
#[derive(Debug)]
pub(crate) struct Fault {
    key: String,
    problem: String,
    mend: String,
}

impl Fault {
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into(), mend: mend.into() }
    }

    /// The same fault seen from the enclosing table.
    pub(crate) fn under(mut self, table: &str) -> Self {
        self.key = if self.key.is_empty() { table.to_owned() } else { format!("{table}.{}", self.key) };
        self
    }

    pub(super) fn in_file(self, file: &Path) -> ManifestError {
        ManifestError { file: file.to_owned(), key: self.key, problem: self.problem, mend: self.mend }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_grows_its_path_outwards() {
        let fault = Fault::new("hosts[1]", "is not a host", "write a name").under("permissions");
        let error = fault.in_file(Path::new("plugin.toml"));
        assert_eq!(error.to_string(), "plugin.toml: `permissions.hosts[1]` is not a host; write a name");
        let whole = Fault::new("", "is empty", "write one").in_file(Path::new("plugin.toml"));
        assert_eq!(whole.to_string(), "plugin.toml: is empty; write one");
    }
}
