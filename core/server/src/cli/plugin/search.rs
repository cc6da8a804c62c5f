//! `regard plugin search`.

use anyhow::Result;
use regard_host::manifest::contract_supported;
use serde_json::json;

use super::source::IndexFlag;
use crate::cli::{Output, table};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Search {
    /// What to look for in ids, names, descriptions and capabilities; left out, everything.
    #[arg(default_value = "")]
    word: String,
    #[command(flatten)]
    index: IndexFlag,
}

impl Search {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        let (index, _) = self.index.open().await?;
        let found = index.search(&self.word);
        output.print(&json!({ "items": found }), || {
            if found.is_empty() {
                return format!("the index has nothing with `{}` in it", self.word);
            }
            let row = |entry: &&regard_host::package::index::Entry| {
                let fits = if contract_supported(&entry.contract) { "" } else { " (for another host)" };
                vec![
                    entry.id.clone(),
                    format!("{}{fits}", entry.version),
                    entry.capabilities.join(", "),
                    entry.key.map_or_else(|| "not signed".to_owned(), |key| key.to_string()),
                    entry.description.clone(),
                ]
            };
            let rows: Vec<_> = found.iter().map(row).collect();
            table(&["id", "version", "capabilities", "key", "description"], &rows)
        });
        Ok(())
    }
}
