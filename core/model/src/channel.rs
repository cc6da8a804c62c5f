//! Connected endpoints: a mailbox, a page on a network, the shop, the counter.

use serde::{Deserialize, Serialize};

use crate::invalid::check_slug;
use crate::{Attributes, ChannelId, Invalid, Timestamp};

/// Longest name or kind, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

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
        Ok(self)
    }
}
