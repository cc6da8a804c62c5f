//! A channel's way in and out: what a connector plugin implements.

use crate::bindings::connector::exports::regard::connector::connector as wit;
use crate::{Attributes, Error, Identifier, Inbound, Value};

pub use crate::bindings::connector::exports::regard::connector::connector::{
    Channel, Features, Outbound, Outcome, Page, Received, Reply, Webhook,
};

/// A plugin that connects channels. Each method has a default that says the connector does not do it;
/// [`Features`] must say the same.
pub trait Connector: 'static {
    /// What this connector can do; asked once per instance.
    fn describe() -> Features;

    /// A webhook call from outside. `denied` for a wrong signature (the host answers 401), `invalid` for a
    /// body that cannot be read (400). The reply goes out after every item is durable.
    fn receive(channel: Channel, request: Webhook) -> Result<Received, Error> {
        let _ = request;
        Err(Error::unsupported(format!("channel `{}` does not receive webhooks", channel.name)))
    }

    /// The next page of items after `cursor`, at most `limit` of them.
    fn poll(channel: Channel, cursor: Option<Vec<u8>>, limit: u32) -> Result<Page, Error> {
        let _ = (cursor, limit);
        Err(Error::unsupported(format!("channel `{}` is not polled", channel.name)))
    }

    /// Hands a message to the provider. Whoever cannot tell whether the provider took it answers
    /// [`Outcome::Uncertain`], never [`Outcome::Retry`].
    fn send(channel: Channel, message: Outbound) -> Outcome {
        let _ = message;
        Outcome::Rejected(Error::unsupported(format!("channel `{}` does not send", channel.name)))
    }
}

impl Inbound {
    /// Something that happened, under the source's own name for it.
    pub fn new(external_id: impl Into<String>, kind: impl Into<String>, occurred_at_ms: i64) -> Self {
        Self {
            external_id: external_id.into(),
            sender: None,
            aliases: Vec::new(),
            sender_name: None,
            kind: kind.into(),
            occurred_at_ms,
            thread: None,
            amount: None,
            attributes: Vec::new(),
        }
    }

    /// Whom it came from. Said again, it is a further name of the same sender.
    #[must_use]
    pub fn sent_by(mut self, scheme: impl Into<String>, value: impl Into<String>) -> Self {
        let identifier = Identifier { scheme: scheme.into(), value: value.into() };
        match self.sender {
            None => self.sender = Some(identifier),
            Some(_) => self.aliases.push(identifier),
        }
        self
    }

    /// How the sender is called, for a customer who has to be made.
    #[must_use]
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.sender_name = Some(name.into());
        self
    }

    /// The conversation that it belongs to.
    #[must_use]
    pub fn in_thread(mut self, thread: impl Into<String>) -> Self {
        self.thread = Some(thread.into());
        self
    }

    /// An attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }
}

impl Channel {
    /// A text setting of the channel, if it is set.
    pub fn text(&self, name: &str) -> Option<&str> {
        match find(&self.settings, name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text setting of the channel; `invalid` when it is absent or no text.
    pub fn required_text(&self, name: &str) -> Result<&str, Error> {
        self.text(name)
            .ok_or_else(|| Error::invalid(format!("channel `{}` lacks the text setting `{name}`", self.name)))
    }

    /// A whole number among the settings of the channel, if it is set.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match find(&self.settings, name) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }
}

impl Webhook {
    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

fn find<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a Value> {
    attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value)
}

/// A connector behind the contract's interface; [`plugin!`](crate::plugin!) exports it.
#[doc(hidden)]
pub struct Exported<C>(std::marker::PhantomData<C>);

impl<C: Connector> wit::Guest for Exported<C> {
    fn describe() -> Features {
        C::describe()
    }

    fn receive(channel: Channel, request: Webhook) -> Result<Received, Error> {
        C::receive(channel, request)
    }

    fn poll(channel: Channel, cursor: Option<Vec<u8>>, limit: u32) -> Result<Page, Error> {
        C::poll(channel, cursor, limit)
    }

    fn send(channel: Channel, message: Outbound) -> Outcome {
        C::send(channel, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Mute;

    impl Connector for Mute {
        fn describe() -> Features {
            Features {
                receives: false,
                polls: false,
                sends: false,
                threads: false,
                receipts: false,
                idempotent: false,
                address_scheme: "none".into(),
                text_limit: None,
            }
        }
    }

    fn channel() -> Channel {
        let settings =
            vec![("url".into(), Value::Text("https://a.example".into())), ("n".into(), Value::Integer(3))];
        Channel { id: "1".into(), name: "shop".into(), settings }
    }

    #[test]
    fn defaults_say_what_is_not_done() {
        let error = Mute::poll(channel(), None, 10).expect_err("not polled");
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("unsupported", "channel `shop` is not polled")
        );
    }

    #[test]
    fn settings_are_read_by_name_and_type() {
        assert_eq!(channel().text("url"), Some("https://a.example"));
        assert_eq!(channel().integer("n"), Some(3));
        assert!(channel().required_text("n").is_err());
    }
}
