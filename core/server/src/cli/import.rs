//! `regard import`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::to_value;

use super::Output;
use crate::client::Client;
use crate::config::Reach;
use crate::import::map::{Map, Shape};
use crate::import::sink::Sink;
use crate::import::{Format, Report, Request, rejects_beside, run};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Import customers; one that is known by an identifier is updated.
    Customers(Import),
    /// Import interactions; their customers are found or made by the identifiers.
    Interactions(Import),
}

/// Reads a file row by row. Refused rows go to a file with their line numbers and reasons, the others are stored. An import that
/// was broken off goes on where it was when it is started again with the same file and map.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file.
    file: PathBuf,
    /// How it is written; told from the file's ending when left out.
    #[arg(long)]
    format: Option<Format>,
    /// Which column becomes what, in TOML. JSON lines in the form of the HTTP API need none.
    ///
    /// delimiter = "," | "whitespace" | "tab"; header = true or a list of names; kind, name, channel, external_id,
    /// occurred_at, amount, thread as templates such as "{given_name} {surname}"; [identifiers] and [attributes].
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    map: Option<PathBuf>,
    /// The system that the file came from; names its rows where they have no key of their own.
    #[arg(long, default_value = "import")]
    source: String,
    /// Where refused rows go; beside the file when left out.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

impl Command {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        let (shape, import) = match self {
            Self::Customers(import) => (Shape::Customers, import),
            Self::Interactions(import) => (Shape::Interactions, import),
        };
        let request = import.request(shape)?;
        let client = Client::open(&import.reach).await?;
        let report = with_progress(&request, client.sink(&request).await?.as_ref()).await?;
        output.print(&to_value(&report)?, || told(&report));
        Ok(())
    }
}

impl Import {
    fn request(&self, shape: Shape) -> Result<Request> {
        let ending = self.file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let format = match (self.format, ending) {
            (Some(format), _) => format,
            (None, "jsonl" | "ndjson") => Format::Jsonl,
            (None, "csv" | "tsv" | "txt") => Format::Csv,
            (None, _) => bail!(
                "cannot tell the format of {} from its ending: add --format csv or --format jsonl",
                self.file.display()
            ),
        };
        Ok(Request {
            file: self.file.clone(),
            shape,
            format,
            map: self.map.as_deref().map(|path| Map::read(path, shape)).transpose()?,
            source: self.source.clone(),
            rejects: self.rejects.clone().unwrap_or_else(|| rejects_beside(&self.file)),
        })
    }
}

/// Runs an import with a bar on standard error.
pub(super) async fn with_progress(request: &Request, sink: &dyn Sink) -> Result<Report> {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template(
        "{bar:30} {percent:>3}%  {bytes} of {total_bytes}  {elapsed}, {eta} left",
    ) {
        bar.set_style(style);
    }
    let report = run(request, sink, |done, size| {
        bar.set_length(size);
        bar.set_position(done);
    })
    .await;
    bar.finish_and_clear();
    report
}

fn told(report: &Report) -> String {
    let mut text = format!(
        "{} rows stored, {} there already, {} refused",
        report.accepted, report.duplicates, report.rejected
    );
    if report.resumed {
        text.push_str(" (continued an earlier import)");
    }
    if let Some(rejects) = &report.rejects {
        text.push_str(&format!("\nrefused rows and reasons: {}", rejects.display()));
    }
    text
}
