//! `regard token`: works on the store directly, because the first token has to come from somewhere.

use anyhow::Result;
use regard_model::{Role, TokenId};
use serde_json::json;

use super::{Output, cell, table};
use crate::app::App;
use crate::config::{Config, Place};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a token and print it; it is shown this once.
    Create {
        /// What its bearer may do.
        #[arg(long, value_parser = ["admin", "agent", "analyst", "ingest"])]
        role: String,
        /// A word to tell tokens apart.
        #[arg(long, default_value = "cli")]
        label: String,
        #[command(flatten)]
        place: Place,
    },
    /// List tokens, without their secrets.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a token at once.
    Revoke {
        /// Its id, such as tok_01jd3q7xk2v8m.
        id: TokenId,
        #[command(flatten)]
        place: Place,
    },
}

impl Command {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        match self {
            Self::Create { role, label, place } => {
                let app = open(&place).await?;
                let (token, secret) = app.store.create_token(role.parse::<Role>()?, &label).await?;
                let answer =
                    json!({ "id": token.id, "role": token.role, "label": token.label, "token": secret });
                output.print(&answer, || secret.clone());
            }
            Self::List { place } => {
                let tokens = json!({ "items": open(&place).await?.store.list_tokens().await? });
                output.print(&tokens, || {
                    let row = |token| {
                        ["id", "role", "label", "created_at", "revoked_at"]
                            .map(|field| cell(token, field))
                            .to_vec()
                    };
                    let rows: Vec<_> = tokens["items"].as_array().into_iter().flatten().map(row).collect();
                    if rows.is_empty() {
                        return "no tokens yet: regard token create --role admin".to_owned();
                    }
                    table(&["id", "role", "label", "created", "revoked"], &rows)
                });
            }
            Self::Revoke { id, place } => {
                open(&place).await?.store.revoke_token(id).await?;
                output.print(&json!({ "revoked": id }), || format!("{id} is revoked"));
            }
        }
        Ok(())
    }
}

async fn open(place: &Place) -> Result<std::sync::Arc<App>> {
    App::open(&Config::settle(place, None)?).await
}
