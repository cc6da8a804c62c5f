//! Runs a table of cases and prints what came of it.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use crate::Not;
use crate::world::{RUNTIMES, Runtime};

/// A case that has not ended by then hangs; the slowest builds a plugin.
const CASE_TIME_MAX: Duration = Duration::from_secs(900);
/// Where the matrix is kept, beside the folder that cargo gives to tests.
const FILE: &str = "../conformance.md";

/// A case, the same for all runtimes.
pub struct Case {
    pub name: &'static str,
    pub run: fn(Runtime) -> Pin<Box<dyn Future<Output = ()>>>,
    /// The runtimes of which the case says nothing, and why.
    pub not: &'static [Not],
}

/// What came of a case on one runtime.
enum Cell {
    Ok,
    Failed,
    NotApplicable(&'static str),
}

/// Runs the cases that the program's arguments name, all without any. Fails when one fails.
pub fn run(cases: &[Case]) -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = |case: &&Case| wanted.is_empty() || wanted.iter().any(|word| case.name.contains(word));
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let mut rows = Vec::new();
    let started = Instant::now();
    for case in cases.iter().filter(chosen) {
        let cells = RUNTIMES.map(|on| match case.not.iter().find(|(runtime, _)| *runtime == on) {
            Some((_, why)) => Cell::NotApplicable(why),
            None => {
                let ended = runtime.block_on(async {
                    let running = AssertUnwindSafe((case.run)(on)).catch_unwind();
                    tokio::time::timeout(CASE_TIME_MAX, running).await
                });
                match ended {
                    Ok(Ok(())) => Cell::Ok,
                    Ok(Err(_)) | Err(_) => {
                        eprintln!("FAILED: {} on {on:?}\n", case.name);
                        Cell::Failed
                    }
                }
            }
        });
        rows.push((case.name, cells));
    }
    let matrix = matrix(&rows);
    println!("\n{matrix}\n{} cases in {:.0} s", rows.len(), started.elapsed().as_secs_f64());
    if wanted.is_empty() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(FILE);
        std::fs::write(file, matrix).expect("the matrix is kept");
    }
    let failed = rows.iter().any(|(_, cells)| cells.iter().any(|cell| matches!(cell, Cell::Failed)));
    if failed || rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The matrix as a table in Markdown, each reason once below it.
fn matrix(rows: &[(&str, [Cell; RUNTIMES.len()])]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = format!("| {:width$} | wasm   | luau   | native |\n", "case");
    let _ = writeln!(text, "| {:-<width$} | ------ | ------ | ------ |", "");
    for (name, cells) in rows {
        let _ = write!(text, "| {name:width$} |");
        for cell in cells {
            let word = match cell {
                Cell::Ok => "ok".to_owned(),
                Cell::Failed => "FAILED".to_owned(),
                Cell::NotApplicable(why) => {
                    let known = reasons.iter().position(|reason| reason == why).unwrap_or_else(|| {
                        reasons.push(why);
                        reasons.len() - 1
                    });
                    format!("n.a. {}", known + 1)
                }
            };
            let _ = write!(text, " {word:6} |");
        }
        text.push('\n');
    }
    text.push('\n');
    for (at, reason) in reasons.iter().enumerate() {
        let _ = writeln!(text, "{}. n.a.: {reason}", at + 1);
    }
    text
}
