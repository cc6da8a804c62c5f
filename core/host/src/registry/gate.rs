//! Holds a plugin's calls back while another version takes its place.
//!
//! Most upgrades need no waiting: calls under way end on the old version, new ones begin on the new one. When a migration
//! changes what the plugin keeps, nothing else of the plugin may run meanwhile, and what earlier calls have changed must
//! be stored first. So each call holds its plugin's gate until its effects are stored, and a migration waits until all
//! have let go, while new calls wait for it. Evaluators keep nothing and pass by.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regard_engine::ports::Lease;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

/// How long a switch waits for the calls under way to end, in seconds: twice what a call of a hook or connector may take.
const QUIET_S_MAX: u64 = 30;

/// The gates of all plugins, by id.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<RwLock<()>>>>);

/// While it lives, no call of the plugin's hook or connector runs; new calls wait.
#[derive(Debug)]
pub struct Quiet(#[allow(dead_code, reason = "held, never looked at")] OwnedRwLockWriteGuard<()>);

impl Gates {
    /// Lets a call pass, unless it would have to wait longer than `patience`.
    pub(super) async fn pass(&self, plugin: &str, patience: Duration) -> Option<Lease> {
        let gate = self.of(plugin);
        // The usual case: nobody switches.
        if let Ok(open) = gate.clone().try_read_owned() {
            return Some(Lease::new(open));
        }
        tokio::time::timeout(patience, gate.read_owned()).await.ok().map(Lease::new)
    }

    /// Waits until no call of `plugin` runs and keeps new ones waiting. `None` when the calls under way do not end.
    pub(super) async fn close(&self, plugin: &str) -> Option<Quiet> {
        let closed = tokio::time::timeout(Duration::from_secs(QUIET_S_MAX), self.of(plugin).write_owned());
        closed.await.ok().map(Quiet)
    }

    /// Forgets a plugin that is gone.
    pub(super) fn forget(&self, plugin: &str) {
        self.0.lock().remove(plugin);
    }

    fn of(&self, plugin: &str) -> Arc<RwLock<()>> {
        let mut gates = self.0.lock();
        if let Some(gate) = gates.get(plugin) {
            return gate.clone();
        }
        gates.entry(plugin.to_owned()).or_default().clone()
    }
}
