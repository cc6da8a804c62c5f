//! `regard openapi`.

use anyhow::Result;

/// Prints the OpenAPI document.
pub(super) fn run() -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&crate::http::openapi())?);
    Ok(())
}
