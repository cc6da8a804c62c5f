//! `regard plugin index`.

use std::path::PathBuf;

use anyhow::Result;
use regard_host::package::index::{self, INDEX_FILE};
use serde_json::json;

use super::place::replace;
use crate::cli::Output;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Index {
    /// The folder with .regard files and their signatures; any static web server can host it.
    folder: PathBuf,
}

impl Index {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let index = index::Index::of_folder(&self.folder)?;
        let path = self.folder.join(INDEX_FILE);
        let mut text = serde_json::to_string_pretty(&index)?;
        text.push('\n');
        replace(&path, text.as_bytes())?;
        let count = index.packages.len();
        let unsigned: Vec<&str> =
            index.packages.iter().filter(|one| one.key.is_none()).map(|one| one.url.as_str()).collect();
        let answer = json!({ "index": path, "packages": count, "unsigned": unsigned });
        output.print(&answer, || {
            let mut told = format!("{}: {count} packages", path.display());
            if !unsigned.is_empty() {
                told.push_str(&format!(", not signed: {}", unsigned.join(", ")));
            }
            told
        });
        Ok(())
    }
}
