//! Connects any system that speaks webhooks: signed events in, signed messages out.
//!
//! Layout, in reading order:
//!
//! - [`signature`]: Standard Webhooks signatures, made and checked
//! - [`inbound`]: a webhook's body, one event or many, to interactions
//! - [`outbound`]: a message to an HTTP POST, and what the answer means
//!
//! In: the host hands a webhook over as it came; it is refused unless one of the channel's secrets signed it
//! at most five minutes ago. The webhook's id becomes the interaction's external id unless the event brings
//! its own, so a webhook that is delivered again, by its sender or by somebody who recorded it, is a
//! duplicate and changes nothing.
//!
//! Out: the receiver is told the idempotency key and must take a repeated one once. That is what lets this
//! connector try again after a timeout, so `features.idempotent` is true.

pub mod inbound;
pub mod outbound;
pub mod signature;

use regard_sdk::connector::{Channel, Features, Outbound, Outcome, Received, Webhook};
use regard_sdk::{Connector, Error};

/// The scheme of the identifiers by which customers are addressed: the other system's own. It is the same for
/// all channels, because a connector describes itself before it knows any channel.
pub const ADDRESS_SCHEME: &str = "external:webhook";

/// The connector.
pub struct WebhookConnector;

regard_sdk::plugin! { connector: WebhookConnector }

impl Connector for WebhookConnector {
    fn describe() -> Features {
        Features {
            receives: true,
            polls: false,
            sends: true,
            threads: true,
            receipts: false,
            idempotent: true,
            address_scheme: ADDRESS_SCHEME.into(),
            text_limit: None,
        }
    }

    fn receive(_channel: Channel, request: Webhook) -> Result<Received, Error> {
        inbound::receive(&request)
    }

    fn send(channel: Channel, message: Outbound) -> Outcome {
        outbound::send(&channel, &message)
    }
}
