//! Connected endpoints: a mailbox, a page on a network, the shop, the counter.

use serde::{Deserialize, Serialize};

use crate::identifier::{EXTERNAL, SCHEME_BYTES_MAX};
use crate::invalid::check_slug;
use crate::{Attributes, ChannelId, Invalid, Timestamp};

/// Longest name or kind, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The setting with the scheme by which the channel addresses customers, where it is not its connector's own.
pub const ADDRESS_SCHEME: &str = "address_scheme";
/// The setting with how often the channel is polled, in seconds.
pub const POLL_EVERY_S: &str = "poll_every_s";
/// Longest time between two polls, in seconds.
pub const POLL_EVERY_S_MAX: i64 = 86_400;
/// Settings that the core reads itself, whatever the connector knows of them.
pub const CORE_SETTINGS: [&str; 2] = [ADDRESS_SCHEME, POLL_EVERY_S];

/// A connected endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Channel {
    /// Names the channel.
    pub id: ChannelId,
    /// Unique name, a slug such as `shop`; interactions name their channel by it.
    pub name: String,
    /// Kind, such as `email`, `web`, `shop`; consent speaks of kinds.
    pub kind: String,
    /// The connector plugin that serves it; none for channels that are only imported or written by hand.
    pub connector: Option<String>,
    /// What the connector needs to know: addresses, options. No secrets.
    pub settings: Attributes,
    /// Whether it takes in and sends out.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A channel to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChannel {
    /// Unique name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// The connector plugin that serves it.
    pub connector: Option<String>,
    /// What the connector needs to know.
    pub settings: Attributes,
    /// Secrets by name; sealed at rest and never shown again.
    pub secrets: Vec<(String, String)>,
}

impl NewChannel {
    /// Refuses bad names and settings.
    pub fn checked(mut self) -> Result<Self, Invalid> {
        check_slug("name", &self.name, NAME_BYTES_MAX)?;
        check_slug("kind", &self.kind, NAME_BYTES_MAX)?;
        for (name, _) in &self.secrets {
            check_slug("secrets", name, NAME_BYTES_MAX)?;
        }
        self.settings = self.settings.checked()?;
        check_core_settings(&self.settings)?;
        Ok(self)
    }
}

/// Refuses what the core could not read; `null` takes a setting away.
pub fn check_core_settings(settings: &Attributes) -> Result<(), Invalid> {
    let given = |name: &str| settings.get(name).filter(|value| !value.is_null());
    let wrong = |name: &str, told: String| Invalid::new(format!("settings.{name}"), told);
    if let Some(scheme) = given(ADDRESS_SCHEME) {
        let Some(scheme) = scheme.as_str() else {
            return Err(wrong(ADDRESS_SCHEME, "is the scheme of an identifier, such as `email`".to_owned()));
        };
        let name = scheme.strip_prefix(EXTERNAL).unwrap_or(scheme);
        check_slug(ADDRESS_SCHEME, name, SCHEME_BYTES_MAX).map_err(|invalid| invalid.within("settings"))?;
    }
    match given(POLL_EVERY_S).map(|every| every.as_i64().unwrap_or(0)) {
        None | Some(1..=POLL_EVERY_S_MAX) => Ok(()),
        Some(_) => {
            Err(wrong(POLL_EVERY_S, format!("is a whole number of seconds from 1 to {POLL_EVERY_S_MAX}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn settings_of_the_core_are_checked() {
        let check = |name: &str, value: Value| check_core_settings(&Attributes::from([(name, value)]));
        for (name, value) in [
            (ADDRESS_SCHEME, json!("email")),
            (ADDRESS_SCHEME, json!("external:shop")),
            (POLL_EVERY_S, json!(1)),
            (POLL_EVERY_S, json!(86_400)),
            (POLL_EVERY_S, Value::Null),
            ("url", json!(3)),
        ] {
            assert_eq!(check(name, value.clone()), Ok(()), "{name} {value}");
        }
        for (name, value) in [
            (ADDRESS_SCHEME, json!(3)),
            (ADDRESS_SCHEME, json!("E Mail")),
            (POLL_EVERY_S, json!(0)),
            (POLL_EVERY_S, json!(86_401)),
            (POLL_EVERY_S, json!("60")),
            (POLL_EVERY_S, json!(1.5)),
        ] {
            let refused = check(name, value.clone()).expect_err(name);
            assert_eq!(refused.field, format!("settings.{name}"), "{value}");
        }
    }
}
