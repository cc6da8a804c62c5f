//! `regard outbox`.

use anyhow::Result;
use axum::http::Method;
use serde_json::json;

use super::{Output, cell, table};
use crate::client::Client;
use crate::config::Reach;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List messages, newest first.
    List {
        /// Only those in this state.
        #[arg(long, value_parser = ["pending", "delivering", "delivered", "suppressed", "dead", "uncertain"])]
        state: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Try a dead, suppressed or uncertain message again. An uncertain one may reach the customer twice.
    Requeue {
        /// Its id, such as out_01jd3q7xk2v8m.
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
}

impl Command {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        match self {
            Self::List { state, reach } => {
                let path =
                    state.map_or_else(|| "/outbox".to_owned(), |state| format!("/outbox?state={state}"));
                let items = Client::open(&reach).await?.list(&path).await?;
                output.print(&json!({ "items": items }), || {
                    if items.is_empty() {
                        return "nothing there".to_owned();
                    }
                    let fields = ["id", "state", "purpose", "channel", "attempts", "due_at", "reason"];
                    let rows: Vec<_> =
                        items.iter().map(|one| fields.map(|field| cell(one, field)).to_vec()).collect();
                    table(&fields, &rows)
                });
            }
            Self::Requeue { id, reach } => {
                let entry = Client::open(&reach)
                    .await?
                    .call(Method::POST, &format!("/outbox/{id}/requeue"), None)
                    .await?;
                output.print(&entry, || format!("{id} is pending again"));
            }
        }
        Ok(())
    }
}
