//! `regard record`.

use anyhow::{Context as _, Result};
use axum::http::Method;
use serde_json::{Value, json};

use super::{Output, cell, table};
use crate::client::Client;
use crate::config::Reach;

/// Bytes that stand for themselves in a query (RFC 3986, unreserved).
const PLAIN: &[u8] = b"-._~";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the types of records that plugins declare.
    Types {
        #[command(flatten)]
        reach: Reach,
    },
    /// List records of a type, newest first.
    List {
        /// Name of the type, such as case.
        kind: String,
        /// Only those of this customer.
        #[arg(long)]
        customer: Option<String>,
        /// Only those whose indexed field has this value, such as state=open; can be given several times.
        #[arg(long = "where", value_name = "FIELD=VALUE")]
        fields: Vec<String>,
        /// Sort by an indexed field; a hyphen before it turns the order round.
        #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
        sort: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show a record.
    Show {
        /// Name of the type.
        kind: String,
        /// Its id, such as rec_01jd3q7xk2v8m.
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
}

impl Command {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        match self {
            Self::Types { reach } => {
                let items = Client::open(&reach).await?.list("/record-types").await?;
                output.print(&json!({ "items": items }), || {
                    let fields = ["name", "title", "plugin", "customer", "indexes", "unique"];
                    rows(&fields, &items, cell)
                });
            }
            Self::List { kind, customer, fields, sort, reach } => {
                let mut query = Vec::new();
                for (name, value) in [("customer", customer), ("sort", sort)] {
                    query.extend(value.map(|value| format!("{name}={}", escaped(&value))));
                }
                for field in fields {
                    let (name, value) = field
                        .split_once('=')
                        .with_context(|| format!("--where {field}: write FIELD=VALUE"))?;
                    query.push(format!("{}={}", escaped(name), escaped(value)));
                }
                let client = Client::open(&reach).await?;
                let path = format!("/records/{}?{}", escaped(&kind), query.join("&"));
                let items = client.list(path.trim_end_matches('?')).await?;
                let kinds = client.list("/record-types").await?;
                output.print(&json!({ "items": items }), || {
                    let known = kinds.iter().find(|known| known["name"] == kind.as_str());
                    let columns = columns(known);
                    let header: Vec<&str> = columns.iter().map(String::as_str).collect();
                    rows(&header, &items, |item, column| match item.get(column) {
                        Some(_) => cell(item, column),
                        None => cell(&item["data"], column),
                    })
                });
            }
            Self::Show { kind, id, reach } => {
                let path = format!("/records/{}/{}", escaped(&kind), escaped(&id));
                let record = Client::open(&reach).await?.call(Method::GET, &path, None).await?;
                output.print(&record, || {
                    serde_json::to_string_pretty(&record).unwrap_or_else(|_| record.to_string())
                });
            }
        }
        Ok(())
    }
}

/// What people see of a record: who, when, and the fields by which it is found.
fn columns(kind: Option<&Value>) -> Vec<String> {
    let mut columns = vec!["id".to_owned()];
    for key in ["unique", "indexes"] {
        let names = kind.and_then(|kind| kind[key].as_array()).into_iter().flatten();
        for name in names.filter_map(Value::as_str) {
            if !columns.iter().any(|known| known == name) {
                columns.push(name.to_owned());
            }
        }
    }
    columns.extend(["customer_id", "version", "updated_at"].map(str::to_owned));
    columns
}

fn rows(columns: &[&str], items: &[Value], cell: impl Fn(&Value, &str) -> String) -> String {
    if items.is_empty() {
        return "nothing there".to_owned();
    }
    let rows: Vec<_> =
        items.iter().map(|item| columns.iter().map(|column| cell(item, column)).collect()).collect();
    table(columns, &rows)
}

/// Text as a part of an address.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut address, byte| {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
        address
    })
}
