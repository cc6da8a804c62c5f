//! Inbound: what comes from outside becomes a valid [`Incoming`], or a reason why not.

use regard_model::customer::NAME_BYTES_MAX;
use regard_model::interaction::{AHEAD_MS_MAX, Provenance, check_external_id};
use regard_model::invalid::check_text;
use regard_model::schedule::DUE;
use regard_model::{
    Attributes, Channel, CustomerId, Identifier, InteractionId, Invalid, Kind, Money, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::ports::{Channels, Handed, Incoming};
use crate::schedule::CHANNEL;

/// Longest name of a conversation, in bytes.
const THREAD_BYTES_MAX: usize = 256;

/// An interaction as a caller hands it in: each field is of the right form, nothing is checked against the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Name of the channel.
    pub channel: String,
    /// The source's own name for it, unique on the channel.
    pub external_id: String,
    /// The customer, when the caller knows the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<CustomerId>,
    /// By what the source knows the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Identifier>,
    /// Further names of the same customer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identifiers: Vec<Identifier>,
    /// The name of a customer who has to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// What happened.
    pub kind: Kind,
    /// When.
    pub occurred_at: Timestamp,
    /// Conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Value that changed hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// Everything else.
    #[serde(default)]
    pub attributes: Attributes,
    /// Whose information it is; told from the kind when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// What brought it about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<InteractionId>,
}

/// Checks a submission against the channels and the clock.
pub fn check(submission: Submission, channels: &dyn Channels, now: Timestamp) -> Result<Incoming, Invalid> {
    let channel =
        channels.by_name(&submission.channel).ok_or_else(|| unknown_channel(&submission.channel))?;
    check_external_id(&submission.external_id)?;
    // What stands there under the name of an instant would be taken for it.
    if submission.channel == CHANNEL {
        return Err(Invalid::new(
            "channel",
            format!("`{CHANNEL}` is for what schedules make, and nothing else"),
        ));
    }
    if submission.kind.as_str() == DUE {
        return Err(Invalid::new("kind", format!("`{DUE}` is what schedules make, and nobody else")));
    }
    if submission.occurred_at > now.plus_millis(AHEAD_MS_MAX) {
        return Err(Invalid::new(
            "occurred_at",
            format!("{} lies more than a day ahead of this server's clock ({now})", submission.occurred_at),
        ));
    }
    if let Some(thread) = &submission.thread {
        check_text("thread", thread, THREAD_BYTES_MAX)?;
    }
    let customer_name = submission.customer_name.unwrap_or_default().trim().to_owned();
    if !customer_name.is_empty() {
        check_text("customer_name", &customer_name, NAME_BYTES_MAX)?;
    }
    let mut identifiers = submission.identifiers;
    if let Some(first) = submission.identifier {
        identifiers.insert(0, first);
    }
    let provenance = submission.provenance.unwrap_or_else(|| told_by_kind(&submission.kind));
    Ok(Incoming {
        channel: channel.id,
        external_id: submission.external_id,
        customer: submission.customer_id,
        identifiers,
        customer_name,
        kind: submission.kind,
        occurred_at: submission.occurred_at,
        thread: submission.thread,
        amount: submission.amount,
        attributes: submission.attributes.checked()?,
        provenance,
        causation_id: submission.causation_id,
        source: submission.channel,
    })
}

/// Reads what a connector handed in, which is input from outside like any other.
pub fn read_handed(handed: Handed, channel: &Channel) -> Result<Submission, Invalid> {
    let read = |(scheme, value): (String, String), of: &str| {
        Identifier::new(&scheme, &value).map_err(|invalid| invalid.within(of))
    };
    let identifier = handed.sender.map(|sender| read(sender, "sender")).transpose()?;
    let aliases = handed.aliases.into_iter().map(|alias| read(alias, "aliases"));
    let amount = match handed.amount {
        Some((minor, code)) => Some(Money {
            minor,
            currency: code.parse().map_err(|invalid: Invalid| invalid.within("amount"))?,
        }),
        None => None,
    };
    Ok(Submission {
        channel: channel.name.clone(),
        external_id: handed.external_id,
        customer_id: None,
        identifier,
        identifiers: aliases.collect::<Result<_, _>>()?,
        customer_name: handed.sender_name,
        kind: handed.kind.parse()?,
        occurred_at: Timestamp::from_millis(handed.occurred_at_ms)
            .checked()
            .map_err(|invalid| invalid.within("occurred_at"))?,
        thread: handed.thread,
        amount,
        attributes: handed.attributes,
        provenance: None,
        causation_id: None,
    })
}

fn unknown_channel(name: &str) -> Invalid {
    let shown: String = name.chars().take(64).collect();
    Invalid::new(
        "channel",
        format!("there is no channel `{}`: make it with POST /api/v1/channels", shown.escape_debug()),
    )
}

/// Messages, ratings and complaints come from the customer; what we sent was for the customer; the rest is observed.
fn told_by_kind(kind: &Kind) -> Provenance {
    match kind.as_str() {
        "message.received" | "rating.given" | "complaint.opened" | "form.submitted" | "survey.answered" => {
            Provenance::By
        }
        "message.sent" | "message.delivered" | "offer.made" => Provenance::For,
        _ => Provenance::Of,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use regard_model::ChannelId;
    use serde_json::{from_value, json};

    struct OneChannel;

    #[async_trait::async_trait]
    impl Channels for OneChannel {
        fn by_name(&self, name: &str) -> Option<Arc<Channel>> {
            (name == "shop").then(|| {
                Arc::new(Channel {
                    id: ChannelId::from_i64(1),
                    name: "shop".into(),
                    kind: "shop".into(),
                    connector: None,
                    settings: Attributes::new(),
                    enabled: true,
                    created_at: Timestamp::default(),
                })
            })
        }

        fn all(&self) -> Vec<Arc<Channel>> {
            self.by_name("shop").into_iter().collect()
        }

        async fn make(&self, name: &str) -> Result<Arc<Channel>, crate::StoreError> {
            Err(crate::StoreError::NotFound(name.to_owned()))
        }
    }

    fn try_with(field: &str, value: serde_json::Value) -> Result<Incoming, String> {
        let mut body = json!({
            "channel": "shop", "external_id": "1", "identifier": {"scheme": "email", "value": "Ada@Example.com"},
            "kind": "order.placed", "occurred_at": "1997-01-01T00:00:00Z", "amount": {"minor": 1177, "currency": "USD"},
        });
        body[field] = value;
        let submission: Submission = from_value(body).map_err(|why| why.to_string())?;
        check(submission, &OneChannel, "2020-01-01".parse().expect("a day"))
            .map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn a_good_one_is_normalised() {
        let incoming = try_with("thread", json!("t1")).expect("valid");
        assert_eq!(incoming.identifiers[0].value, "ada@example.com");
        assert_eq!(incoming.provenance, Provenance::Of);
    }

    #[test]
    fn each_bad_field_is_named() {
        for (field, value, says) in [
            ("channel", json!("nowhere"), "no channel `nowhere`"),
            ("external_id", json!(""), "external_id: must not be empty"),
            ("occurred_at", json!("2020-01-03T00:00:00Z"), "ahead of this server's clock"),
            ("occurred_at", json!("0001-01-01T00:00:00Z"), "out of range"),
            ("amount", json!({"minor": 1, "currency": "XYZ"}), "no currency of ISO 4217"),
            ("amount", json!({"minor": 1.5, "currency": "USD"}), "expected i64"),
            ("kind", json!("Order"), "is no kind"),
            ("identifier", json!({"scheme": "email", "value": "nobody"}), "no e-mail address"),
            ("surprise", json!(1), "unknown field `surprise`"),
        ] {
            let message = try_with(field, value).expect_err(field);
            assert!(message.contains(says), "{field}: {message}");
        }
    }
}
