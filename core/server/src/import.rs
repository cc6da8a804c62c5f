//! Import: files of customers or interactions, row by row, through the same way that every interaction takes.
//!
//! - [`map`]: which column becomes what
//! - [`template`]: `{column}` texts
//! - [`lines`]: the file, cut into records that can be found again after a crash
//! - [`rows`]: a record becomes a customer or an interaction, or a reason why not
//! - [`rejects`]: the file of refused rows
//! - [`sink`]: where rows go
//!
//! A file is read on a thread of its own while the batch before is being stored. Each batch commits together with the
//! place it reaches in the file, so an import that was killed goes on from its last commit when it is started again.

pub mod lines;
pub mod map;
pub mod rejects;
pub mod rows;
pub mod sink;
pub mod template;

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use regard_engine::import::ImportMark;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use lines::{Record, Records};
use map::{Map, Shape};
use rejects::Rejects;
use rows::{Reader, Row};
use sink::{Sink, Stored};

/// Rows of one commit: the store's cost per row no longer falls beyond it.
const BATCH_ROWS: usize = 1000;
/// Batches read ahead of the store; bounds memory whatever the file's size.
const BATCHES_AHEAD: usize = 4;

/// What to import.
#[derive(Debug, Clone)]
pub struct Request {
    /// The file.
    pub file: PathBuf,
    /// Customers or interactions.
    pub shape: Shape,
    /// Delimited text or one JSON object per line.
    pub format: Format,
    /// Which column becomes what; JSON lines in the form of the HTTP API need none.
    pub map: Option<Map>,
    /// The system that the file came from.
    pub source: String,
    /// Where refused rows are written.
    pub rejects: PathBuf,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Delimited text; the delimiter stands in the map.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Lines read, the header included.
    pub lines: u64,
    /// Rows stored.
    pub accepted: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows refused.
    pub rejected: u64,
    /// Where the refused rows and their reasons stand, when there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects: Option<PathBuf>,
    /// Whether an earlier, broken off import was continued.
    pub resumed: bool,
}

struct Batch {
    rows: Vec<Row>,
    refused: Vec<(Record, String)>,
    bytes: u64,
    lines: u64,
}

/// Imports a file. `progress` hears how many bytes of how many are done.
pub async fn run(request: &Request, sink: &dyn Sink, progress: impl Fn(u64, u64)) -> Result<Report> {
    let size = std::fs::metadata(&request.file)
        .with_context(|| format!("cannot read {}", request.file.display()))?
        .len();
    let key = fingerprint(request)?;
    let mut mark = sink.resume(&key).await?.unwrap_or(ImportMark { key, ..ImportMark::default() });
    let resumed = mark.bytes > 0;
    if mark.finished {
        progress(size, size);
        return Ok(report(&mark, request, true));
    }
    let mut rejects = Rejects::open(&request.rejects, mark.rejects_bytes)?;
    progress(mark.bytes, size);

    let (batches, mut arriving) = mpsc::channel::<Result<Batch>>(BATCHES_AHEAD);
    let reading = {
        let (request, at) = (request.clone(), (mark.bytes, mark.lines));
        tokio::task::spawn_blocking(move || {
            if let Err(error) = read(&request, at, &batches) {
                // The receiver is gone only when the import failed for another reason already.
                let _ = batches.blocking_send(Err(error));
            }
        })
    };
    while let Some(batch) = arriving.recv().await {
        let batch = batch?;
        for (record, reason) in &batch.refused {
            rejects.write(record.line, reason, &record.text())?;
        }
        rejects.flush()?;
        mark.bytes = batch.bytes;
        mark.lines = batch.lines;
        mark.rejected += batch.refused.len() as u64;
        mark.rejects_bytes = rejects.bytes();
        mark.finished = batch.bytes >= size;
        let (records, values): (Vec<Record>, Vec<_>) =
            batch.rows.into_iter().map(|row| (row.record, row.value)).unzip();
        let stored = sink.store(values, &mark).await?;
        if stored.len() != records.len() {
            bail!("the store answered for {} of {} rows", stored.len(), records.len());
        }
        for (record, outcome) in records.iter().zip(stored) {
            match outcome {
                Stored::Accepted => mark.accepted += 1,
                Stored::Duplicate => mark.duplicates += 1,
                Stored::Rejected(reason) => {
                    mark.rejected += 1;
                    rejects.write(record.line, &reason, &record.text())?;
                }
            }
        }
        rejects.flush()?;
        mark.rejects_bytes = rejects.bytes();
        progress(mark.bytes, size);
    }
    reading.await.context("the thread that reads the file failed")?;
    Ok(report(&mark, request, resumed))
}

fn report(mark: &ImportMark, request: &Request, resumed: bool) -> Report {
    Report {
        lines: mark.lines,
        accepted: mark.accepted,
        duplicates: mark.duplicates,
        rejected: mark.rejected,
        rejects: (mark.rejected > 0).then(|| request.rejects.clone()),
        resumed,
    }
}

/// Reads the file from `at` (bytes, lines) on and sends it in batches.
fn read(request: &Request, at: (u64, u64), batches: &mpsc::Sender<Result<Batch>>) -> Result<()> {
    let file =
        File::open(&request.file).with_context(|| format!("cannot open {}", request.file.display()))?;
    let mut records =
        Records::new(BufReader::with_capacity(1 << 20, file), request.format, request.map.as_ref());
    let reader = Reader::new(request, &mut records)?;
    records.skip_to(at.0, at.1)?;
    let mut batch =
        Batch { rows: Vec::with_capacity(BATCH_ROWS), refused: Vec::new(), bytes: at.0, lines: at.1 };
    loop {
        let next = records.next_record()?;
        let done = next.is_none();
        match next {
            Some(Ok(record)) if record.is_blank() => {}
            Some(Ok(record)) => match reader.read(&record) {
                Ok(value) => batch.rows.push(Row { record, value }),
                Err(reason) => batch.refused.push((record, reason)),
            },
            Some(Err((record, reason))) => batch.refused.push((record, reason)),
            None => {}
        }
        if done || batch.rows.len() + batch.refused.len() >= BATCH_ROWS {
            (batch.bytes, batch.lines) = records.place();
            let full = std::mem::replace(
                &mut batch,
                Batch { rows: Vec::with_capacity(BATCH_ROWS), refused: Vec::new(), bytes: 0, lines: 0 },
            );
            if batches.blocking_send(Ok(full)).is_err() || done {
                return Ok(());
            }
        }
    }
}

/// SHA-256 over the file, the map and the source: the same import has the same key, a changed one another.
fn fingerprint(request: &Request) -> Result<String> {
    let mut file =
        File::open(&request.file).with_context(|| format!("cannot open {}", request.file.display()))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let count =
            file.read(&mut block).with_context(|| format!("cannot read {}", request.file.display()))?;
        if count == 0 {
            break;
        }
        hash.update(&block[..count]);
    }
    hash.update(format!(
        "\0{:?}\0{:?}\0{:?}\0{}",
        request.shape, request.format, request.map, request.source
    ));
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where rejects of `file` go unless told otherwise: beside it.
pub fn rejects_beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".rejects.jsonl");
    file.with_file_name(name)
}

impl<R: std::io::Read + std::io::Seek> Records<R> {
    /// Goes on after `bytes` bytes and `lines` lines, both counted from the start of the file.
    fn skip_to(&mut self, bytes: u64, lines: u64) -> Result<()> {
        if bytes > self.place().0 {
            self.input().seek(SeekFrom::Start(bytes))?;
            self.set_place(bytes, lines);
        }
        Ok(())
    }
}
