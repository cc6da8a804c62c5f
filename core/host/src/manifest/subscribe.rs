//! `[[subscribe]]`: the events that a hook wants.

use serde::{Deserialize, Serialize};

use super::Fault;

/// One kind of event, narrowed to an interaction kind or a metric where that applies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// What happened.
    pub event: EventKind,
    /// Only interactions of this kind (`order.placed`), or of a family of kinds (`message.*`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only observations of this metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
}

/// The events that the contract's hooks know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub enum EventKind {
    /// An interaction was appended to the log.
    #[serde(rename = "interaction.appended")]
    InteractionAppended,
    /// A customer's name, stage, tags, attributes or identifiers changed.
    #[serde(rename = "customer.changed")]
    CustomerChanged,
    /// A metric was observed for a subject.
    #[serde(rename = "metric.observed")]
    MetricObserved,
}

impl Subscription {
    /// Whether an interaction of `kind` is wanted.
    pub fn wants_interaction(&self, kind: &str) -> bool {
        self.event == EventKind::InteractionAppended
            && self.kind.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
                Some(family) => kind.starts_with(family),
                None => kind == wanted,
            })
    }

    /// Whether an observation of `metric` is wanted.
    pub fn wants_metric(&self, metric: &str) -> bool {
        self.event == EventKind::MetricObserved
            && self.metric.as_deref().is_none_or(|wanted| metric == wanted)
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.kind.is_some() && self.event != EventKind::InteractionAppended {
            return Err(Fault::new(
                "kind",
                "only narrows interactions",
                "use it with event = \"interaction.appended\"",
            ));
        }
        if self.metric.is_some() && self.event != EventKind::MetricObserved {
            return Err(Fault::new(
                "metric",
                "only narrows observations",
                "use it with event = \"metric.observed\"",
            ));
        }
        if let Some(kind) = &self.kind {
            let plain = kind.strip_suffix(".*").unwrap_or(kind);
            if plain.is_empty() || plain.contains('*') {
                return Err(Fault::new(
                    "kind",
                    format!("`{kind}` is not an interaction kind"),
                    "write `order.placed`, or `order.*` for all kinds of the family",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interactions(kind: Option<&str>) -> Subscription {
        Subscription { event: EventKind::InteractionAppended, kind: kind.map(Into::into), metric: None }
    }

    #[test]
    fn kinds_and_families_narrow() {
        assert!(interactions(None).wants_interaction("order.placed"));
        assert!(interactions(Some("order.*")).wants_interaction("order.placed"));
        assert!(!interactions(Some("order.*")).wants_interaction("orders.placed"));
        assert!(!interactions(Some("order.placed")).wants_interaction("order.placed.late"));
        assert!(!interactions(None).wants_metric("clv"));
    }

    #[test]
    fn filters_must_fit_their_event() {
        assert!(interactions(Some("*")).check().is_err());
        let metric = |event| Subscription { event, kind: None, metric: Some("clv".into()) };
        assert!(metric(EventKind::MetricObserved).check().is_ok());
        assert!(metric(EventKind::CustomerChanged).check().is_err());
        assert!(metric(EventKind::MetricObserved).wants_metric("clv"));
    }
}
