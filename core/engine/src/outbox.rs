//! Outbox: which message may be sent at all, on which channel, and when to try again.
//!
//! These are the rules; [`crate::deliver`] carries them out. They are plain functions of what the store knows, so that each can
//! be read and tested alone, and no plugin has a part in them.

use std::sync::Arc;

use regard_model::channel::ADDRESS_SCHEME;
use regard_model::consent::allows;
use regard_model::{Channel, Identifier};

use crate::ports::{Claimed, Connectors, Features};

/// Tries before an entry becomes a dead letter. With the delays below that is about a day.
pub const ATTEMPTS_MAX: u32 = 12;
/// First delay, in milliseconds.
pub const RETRY_DELAY_MS_MIN: u64 = 5_000;
/// Longest delay, in milliseconds: four hours, so that a provider's bad night is survived.
pub const RETRY_DELAY_MS_MAX: u64 = 4 * 3_600_000;

/// The way that a message takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// On which channel.
    pub channel: Arc<Channel>,
    /// The connector that serves it.
    pub connector: String,
    /// What the connector can do.
    pub features: Features,
    /// The customer's address there.
    pub recipient: String,
}

/// Why a message is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A rule forbids it: no consent, no address.
    Suppress(String),
    /// It may have been sent before and the provider cannot tell: a person decides.
    Ask(String),
    /// Its channel is out of service: try later.
    Wait(String),
}

/// Finds a way that the customer allows, or says why there is none.
///
/// Without a wished channel the first one serves, by name, on which the customer has an address and to which the customer
/// consented.
pub fn route(
    claimed: &Claimed,
    channels: &[Arc<Channel>],
    connectors: &dyn Connectors,
) -> Result<Route, Stop> {
    let wished = claimed.entry.channel.as_deref();
    let mut reason = match wished {
        Some(name) => Stop::Suppress(format!("there is no enabled channel `{name}`")),
        None => Stop::Suppress("no channel can send".into()),
    };
    for channel in channels.iter().filter(|channel| channel.enabled) {
        if wished.is_some_and(|name| name != channel.name) {
            continue;
        }
        let Some(connector) = &channel.connector else {
            if wished.is_some() {
                reason =
                    Stop::Suppress(format!("channel `{}` has no connector that could send", channel.name));
            }
            continue;
        };
        let Some(features) = connectors.features(connector) else {
            reason = Stop::Wait(format!(
                "connector `{connector}` of channel `{}` is out of service",
                channel.name
            ));
            continue;
        };
        if !features.sends {
            continue;
        }
        let scheme = address_scheme(channel, &features);
        let Some(address) = address(&claimed.identifiers, &scheme) else {
            reason = Stop::Suppress(format!("the customer has no `{scheme}` for channel `{}`", channel.name));
            continue;
        };
        let purpose = &claimed.entry.purpose;
        if !allows(&claimed.consents, purpose, &channel.kind) {
            reason = Stop::Suppress(format!("no consent for purpose `{purpose}` on `{}`", channel.kind));
            continue;
        }
        if claimed.abandoned && !features.idempotent {
            return Err(Stop::Ask(format!(
                "an earlier try on channel `{}` broke off, and its provider cannot tell whether it arrived",
                channel.name
            )));
        }
        return Ok(Route {
            channel: channel.clone(),
            connector: connector.clone(),
            recipient: address.value.clone(),
            features,
        });
    }
    Err(reason)
}

/// The scheme by which the channel addresses customers: its setting `address_scheme`, else the connector's own.
fn address_scheme(channel: &Channel, features: &Features) -> String {
    channel
        .settings
        .get(ADDRESS_SCHEME)
        .and_then(|value| value.as_str())
        .unwrap_or(&features.address_scheme)
        .to_owned()
}

fn address<'a>(identifiers: &'a [Identifier], scheme: &str) -> Option<&'a Identifier> {
    identifiers.iter().find(|identifier| identifier.scheme == scheme)
}

/// Milliseconds to wait after the `tries`-th failure: doubling from `min` to `max`, then a random part of the upper half
/// taken off, so that many messages that failed together do not come back together.
pub fn backoff(tries: u32, min_ms: u64, max_ms: u64) -> u64 {
    let full =
        min_ms.saturating_mul(1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX)).min(max_ms);
    full - jitter(full / 2 + 1)
}

/// A number below `below`. Delays need no good randomness, only different ones in different places.
fn jitter(below: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(below) % below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_within_their_bounds() {
        for tries in 1..100 {
            let delay = backoff(tries, RETRY_DELAY_MS_MIN, RETRY_DELAY_MS_MAX);
            let full = RETRY_DELAY_MS_MIN.saturating_mul(1 << (tries - 1).min(40)).min(RETRY_DELAY_MS_MAX);
            assert!((full / 2..=full).contains(&delay), "try {tries}: {delay} of {full}");
        }
    }
}
