//! Scenario files: `fixtures/*.toml` beside a plugin's manifest, one scenario each.
//!
//! `sdk/TESTING.md` describes them for authors. Here a file is read completely before anything runs: an unknown key, a
//! customer that nobody described or an expectation that does not belong to its step is an error with line and column.
//! [`parts`] are the shapes, [`check`] what they have to do with each other.

mod check;
pub mod parts;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use regard_model::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use crate::FIXTURES;
use parts::{ChannelPart, CustomerPart, Ending, Exchange, Step};

/// When a scenario begins unless it says otherwise: 2026-01-05T09:00:00Z, a Monday morning.
pub const START_DEFAULT: Timestamp = Timestamp::from_millis(1_767_603_600_000);
/// The seed unless a scenario gives one.
pub const SEED_DEFAULT: u64 = 1;
/// Longest scenario file, in bytes; bodies that are longer go into files of their own.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A scenario that can be played.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    /// Where it was read.
    pub file: PathBuf,
    /// What it shows.
    pub description: Option<String>,
    /// When it begins.
    pub start: Timestamp,
    /// For everything random.
    pub seed: u64,
    /// The plugin's configuration; null for none.
    pub config: Value,
    /// What `config.secret` answers.
    pub secrets: BTreeMap<String, String>,
    /// Who is there when it begins.
    pub customers: Vec<CustomerPart>,
    /// The channels.
    pub channels: Vec<ChannelPart>,
    /// What the network answers.
    pub http: Vec<Exchange>,
    /// What happens.
    pub steps: Vec<Step>,
    /// What must be so at the end.
    pub expect: Ending,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    description: Option<String>,
    start: Option<Timestamp>,
    seed: Option<u64>,
    config: Option<Value>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[serde(default)]
    customers: Vec<Spanned<CustomerPart>>,
    #[serde(default)]
    channels: Vec<Spanned<ChannelPart>>,
    #[serde(default)]
    http: Vec<Spanned<parts::HttpPart>>,
    #[serde(default)]
    steps: Vec<Spanned<parts::StepPart>>,
    expect: Option<Spanned<Ending>>,
}

/// A scenario file is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1; none when the file cannot be read at all.
    pub at: Option<(usize, usize)>,
    /// What is wrong and how to mend it.
    pub problem: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Where errors of a file stand.
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn at(&self, span: &Range<usize>) -> (usize, usize) {
        let before = self.text.get(..span.start.min(self.text.len())).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn fault(&self, span: &Range<usize>, problem: impl Into<String>) -> ScenarioError {
        ScenarioError { file: self.file.to_owned(), at: Some(self.at(span)), problem: problem.into() }
    }
}

impl Default for Scenario {
    /// A scenario in which nothing is there and nothing happens.
    fn default() -> Self {
        Self {
            name: "none".to_owned(),
            file: PathBuf::from(FIXTURES),
            description: None,
            start: START_DEFAULT,
            seed: SEED_DEFAULT,
            config: Value::Null,
            secrets: BTreeMap::new(),
            customers: Vec::new(),
            channels: Vec::new(),
            http: Vec::new(),
            steps: Vec::new(),
            expect: Ending::default(),
        }
    }
}

impl Scenario {
    /// All scenarios of a plugin's folder, by name.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, ScenarioError> {
        let fixtures = folder.join(FIXTURES);
        if !fixtures.is_dir() {
            return Ok(Vec::new());
        }
        let unreadable = |why: std::io::Error| fault(&fixtures, why);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&fixtures).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }

    /// Reads one file.
    pub fn read(file: &Path) -> Result<Self, ScenarioError> {
        let bytes = std::fs::metadata(file).map_err(|why| fault(file, why))?.len();
        if bytes > FILE_BYTES_MAX {
            let problem = format!("{bytes} bytes long; put long bodies beside it with `file = \"...\"`");
            return Err(ScenarioError { file: file.to_owned(), at: None, problem });
        }
        Self::parse(&std::fs::read_to_string(file).map_err(|why| fault(file, why))?, file)
    }

    /// Reads a file's text; bodies in other files are looked for beside `file`.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let read: File = toml::from_str(text)
            .map_err(|why| source.fault(&why.span().unwrap_or(0..0), why.message().to_owned()))?;
        check::scenario(read, &source)
    }

    /// The file, for messages.
    pub fn place(&self) -> String {
        self.file.display().to_string()
    }

    /// The place of the first step that `wanted` chooses.
    pub(crate) fn find(&self, wanted: impl Fn(&Step) -> bool) -> Option<usize> {
        self.steps.iter().position(wanted)
    }
}

fn fault(file: &Path, why: std::io::Error) -> ScenarioError {
    ScenarioError { file: file.to_owned(), at: None, problem: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Scenario::parse(text, Path::new("f.toml")).expect_err(text).to_string()
    }

    #[test]
    fn errors_name_line_and_column() {
        for (text, told) in [
            ("seed = 1\nsurprise = 2", "f.toml:2:1: unknown field `surprise`"),
            (
                "[[steps]]\nwait = \"2h\"\n[[steps]]\nwait = \"soon\"",
                "f.toml:4:8: `soon` is no length of time",
            ),
            ("[[steps]]\nexpect = { status = 200 }", "f.toml:1:1: a step is one of interaction"),
            ("[[steps]]\nwait = \"1s\"\npoll = { }", "is one of interaction"),
            (
                "[[steps]]\nwait = \"1s\"\nexpect = { status = 200 }",
                "f.toml:1:1: `status` is expected of webhook, not of wait",
            ),
            (
                "[[steps]]\ninteraction = { channel = \"shop\", kind = \"a.b\", customer = \"ann\" }",
                "f.toml:1:1: nobody is called `ann`",
            ),
            ("[expect.customers.bob]\ntags = []", "nobody is called `bob`"),
            (
                "[[http]]\nurl = \"https://a.b\"\nbody = \"x\"\njson = 1",
                "f.toml:1:1: give one of `json`, `body` and `file`",
            ),
            ("[[http]]\nurl = \"https://a.b\"\nfile = \"nowhere.json\"", "f.toml:1:1: nowhere.json:"),
            ("[[customers]]\nkey = \"a\"\nidentifiers = [\"ann\"]", "f.toml:3:"),
        ] {
            let found = refused(text);
            assert!(found.contains(told), "{text}: {found}");
        }
    }

    #[test]
    fn a_file_is_read() {
        let text = r#"
            [[customers]]
            key = "ann"
            consents = ["email:marketing", "*:service"]
            [[steps]]
            interaction = { channel = "shop", kind = "order.placed", customer = "ann", amount = "14.99 USD" }
            [[steps]]
            wait = "1d"
            [expect]
            interactions = 1
            customers.ann = { tags = ["vip"] }
            messages = []
        "#;
        let read = Scenario::parse(text, Path::new("fixtures/first.toml")).expect("valid");
        assert_eq!(
            (read.name.as_str(), read.start.to_string().as_str()),
            ("first", "2026-01-05T09:00:00.000Z")
        );
        assert_eq!(read.expect.messages.map(|messages| messages.len()), Some(0));
        assert_eq!(read.steps.len(), 2);
    }
}
