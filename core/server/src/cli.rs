//! The command line: one file per command.
//!
//! Exit codes: 0 good, 1 failed, 2 wrong usage. With `--json` a command prints exactly one JSON document on standard
//! output; what is meant for people goes to standard error.

mod demo;
mod import;
mod metric;
mod openapi;
mod outbox;
mod plugin;
mod record;
mod serve;
mod token;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

/// A plugin-based e-CRM engine: customers, channels, metrics and the interactions that tie them together.
#[derive(Debug, Parser)]
#[command(name = "regard", version, about, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    /// Print one JSON document on standard output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See it work: a shop's order history becomes customers, metrics and first messages; then serve it.
    Demo(demo::Demo),
    /// Run the server.
    Serve(serve::Serve),
    /// Make, list and revoke access tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Import customers or interactions from a file; goes on where it was when it was broken off.
    #[command(subcommand)]
    Import(import::Command),
    /// Write, share, install and look after plugins.
    #[command(subcommand, after_help = plugin::EXAMPLES)]
    Plugin(plugin::Command),
    /// List, evaluate and explain metrics.
    #[command(subcommand)]
    Metric(metric::Command),
    /// See records of the types that plugins declare, such as cases.
    #[command(subcommand)]
    Record(record::Command),
    /// See what is on its way to customers, and requeue dead letters.
    #[command(subcommand)]
    Outbox(outbox::Command),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// One JSON document, or what people read.
    pub(crate) fn print(self, value: &Value, people: impl FnOnce() -> String) {
        if self.json {
            println!("{}", serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string()));
        } else {
            println!("{}", people().trim_end());
        }
    }

    /// A remark that is not part of the answer.
    pub(crate) fn say(self, text: &str) {
        eprintln!("{text}");
    }
}

/// Runs the command that the program was called with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter =
        EnvFilter::try_from_env("REGARD_LOG").unwrap_or_else(|_| EnvFilter::new("warn,regard_server=info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            eprintln!("error: cannot start: {why}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let output = Output { json: cli.json };
    match cli.command {
        Command::Demo(demo) => Box::pin(demo.run(output)).await,
        Command::Serve(serve) => Box::pin(serve.run(output)).await,
        Command::Token(command) => Box::pin(command.run(output)).await,
        Command::Import(command) => Box::pin(command.run(output)).await,
        Command::Plugin(command) => Box::pin(command.run(output)).await,
        Command::Metric(command) => Box::pin(command.run(output)).await,
        Command::Record(command) => Box::pin(command.run(output)).await,
        Command::Outbox(command) => Box::pin(command.run(output)).await,
        Command::Openapi => openapi::run(),
    }
}

/// A table for people: columns as wide as their widest cell, two spaces between.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut header.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// A field of a JSON object as people read it.
pub(crate) fn cell(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}
