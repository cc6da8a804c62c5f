//! What holds for every plugin, whatever it is for.
//!
//! - [`contract`]: it loads, describes itself, and takes whatever it is handed
//! - [`hook`]: what it changes depends on what it is handed and on nothing else
//! - [`connector`]: nothing is taken or sent twice, and nothing that may be lost is given up
//! - [`kpi`]: the answer does not depend on how the rows come
//!
//! A law that cannot be tried says what is missing.

pub mod connector;
pub mod contract;
pub mod hook;
pub mod kpi;

use anyhow::Result;
use regard_engine::PluginError;
use regard_host::manifest::Capability;

use crate::Trial;
use crate::report::{Report, Verdict};

/// Tries all laws of the plugin's capabilities.
pub async fn tried(trial: &Trial, report: &mut Report) -> Result<()> {
    if !contract::tried(trial, report).await? {
        // What does not load cannot be called.
        return Ok(());
    }
    let manifest = trial.package.manifest();
    if manifest.can(Capability::Hook) {
        hook::tried(trial, report).await?;
    }
    if manifest.can(Capability::Connector) {
        connector::tried(trial, report).await?;
    }
    if manifest.can(Capability::Kpi) {
        kpi::tried(trial, report).await?;
    }
    Ok(())
}

/// Fine without complaints.
fn verdict(complaints: Vec<String>) -> Verdict {
    if complaints.is_empty() { Verdict::Ok } else { Verdict::Failed(complaints) }
}

/// The complaint about a call that broke its instance; a reported error is an answer.
fn broke<T>(what: &str, ended: &Result<T, PluginError>) -> Option<String> {
    let error = ended.as_ref().err().filter(|error| error.fault.breaks_instance())?;
    Some(format!("{what}: wanted an answer or a reported error, found {error}"))
}
