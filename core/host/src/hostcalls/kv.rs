//! `kv`: bytes that a plugin keeps between calls. Connectors, hooks and migrations may call it, with `permissions.kv`.

use std::collections::BTreeSet;

use regard_engine::Fault;

use super::{CallError, Stop};
use crate::call::{CallContext, Interface};

/// Longest key of kept bytes, in bytes; it is a database key.
const KEY_BYTES_MAX: usize = 256;
/// Most bytes under one key: a cursor or a small state; more belongs into records.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// Most keys in one page, as the contract says.
const KEYS_MAX: u32 = 1_000;
/// First character of keys that the engine keeps for itself in a plugin's name, such as the mark of its polling.
const RESERVED: char = '~';

impl CallContext {
    /// `kv.get`. Sees what this call has set.
    pub(crate) async fn kept(&mut self, key: &str) -> Result<Option<Vec<u8>>, Stop> {
        self.enter_kv("kv.get", key).await?;
        check_key(key)?;
        if let Some(set) = self.kept.get(key) {
            return Ok(set.clone());
        }
        Ok(self.scope.services.reads.kept(&self.scope.id, key).await?)
    }

    /// `kv.set`, and `kv.delete` with `None`.
    pub(crate) async fn keep(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<(), Stop> {
        self.enter_kv(if value.is_some() { "kv.set" } else { "kv.delete" }, key).await?;
        check_key(key)?;
        let bytes = value.as_ref().map_or(0, Vec::len);
        if bytes > VALUE_BYTES_MAX {
            let message = format!("{bytes} bytes under `{key}`, at most {VALUE_BYTES_MAX} are kept");
            return Err(CallError::new(Fault::Invalid, message).into());
        }
        self.spend_effect_bytes(key.len() + bytes)?;
        if value.is_some() {
            self.spend_kept_bytes(key, (key.len() + bytes) as u64).await?;
        }
        self.kept.insert(key.to_owned(), value);
        Ok(())
    }

    /// `kv.keys`. Sees what this call has set and deleted.
    pub(crate) async fn kept_keys(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, Stop> {
        self.enter_kv("kv.keys", prefix).await?;
        if !(1..=KEYS_MAX).contains(&limit) {
            let message = format!("limit {limit} is not between 1 and {KEYS_MAX}");
            return Err(CallError::new(Fault::Invalid, message).into());
        }
        // What the call has deleted must not make the page shorter than there are keys.
        let limit = limit as usize;
        let most = limit + self.kept.len();
        let stored = self.scope.services.reads.kept_keys(&self.scope.id, prefix, after, most).await?;
        let mut keys: BTreeSet<String> =
            stored.into_iter().filter(|key| !key.starts_with(RESERVED)).collect();
        for (key, value) in &self.kept {
            let asked = key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
            match value {
                Some(_) if asked => drop(keys.insert(key.clone())),
                Some(_) => {}
                None => drop(keys.remove(key)),
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }

    /// Refuses to keep more than the plugin may altogether. What a new value replaces is looked up only where it matters.
    async fn spend_kept_bytes(&mut self, key: &str, bytes: u64) -> Result<(), Stop> {
        let (reads, most) = (self.scope.services.reads.clone(), self.limits.kept_bytes);
        let stored = match self.spent.kept_bytes {
            Some(stored) => stored,
            None => reads.kept_bytes(&self.scope.id).await?,
        };
        let mut after = stored.saturating_add(bytes);
        if after > most {
            let replaced = match self.kept.get(key) {
                Some(set) => set.as_ref().map(Vec::len),
                None => reads.kept(&self.scope.id, key).await?.map(|value| value.len()),
            };
            after = after.saturating_sub(replaced.map_or(0, |value| (key.len() + value) as u64));
        }
        if after > most {
            let message =
                format!("`{key}`: the plugin keeps {stored} bytes already, at most {most} are kept");
            return Err(CallError::new(Fault::Exhausted, message).into());
        }
        self.spent.kept_bytes = Some(after);
        Ok(())
    }

    async fn enter_kv(&mut self, call: &str, key: &str) -> Result<(), Stop> {
        self.enter(Interface::Kv).await?;
        if !self.scope.permissions.kv {
            return Err(self.deny(call, key, "permissions.kv").await);
        }
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), Stop> {
    regard_model::invalid::check_text("key", key, KEY_BYTES_MAX)?;
    if key.starts_with(RESERVED) {
        let message = format!("key: `{RESERVED}` at the beginning is reserved");
        return Err(CallError::new(Fault::Invalid, message).into());
    }
    Ok(())
}
