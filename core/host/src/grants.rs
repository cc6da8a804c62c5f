//! What the operator allows a plugin.
//!
//! A manifest asks, a grant answers, and what counts is what both say. Installing a plugin grants what its manifest asks
//! for, except addresses of private networks and of the machine itself: each of those needs the operator's own word, as
//! `host:port`. A channel's settings never grant anything.

use serde::{Deserialize, Serialize};

use crate::manifest::{HostPattern, Permissions, RecordAccess};

/// Permissions that the operator granted; kept as JSON with the installed plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants(pub Permissions);

impl Grants {
    /// What installing a plugin grants without asking: all that its manifest asks for but private addresses.
    pub fn by_default(asked: &Permissions) -> Self {
        Self(Permissions { private_hosts: Vec::new(), ..asked.clone() })
    }

    /// The same grant with the private address `host:port`.
    #[must_use]
    pub fn with_private_host(mut self, host_and_port: &str) -> Self {
        if !self.0.private_hosts.iter().any(|known| known == host_and_port) {
            self.0.private_hosts.push(host_and_port.to_owned());
        }
        self
    }

    /// What the plugin may do: what its manifest asks for and the operator granted, the narrower of both.
    ///
    /// A private address that the operator granted counts when the manifest names it, or when its `hosts` cover it: a
    /// connector that asks for `*` leaves the choice of the address to the operator.
    pub fn effective(&self, asked: &Permissions) -> Permissions {
        let granted = &self.0;
        let narrower = |ours: &[HostPattern], theirs: &[HostPattern]| -> Vec<HostPattern> {
            ours.iter().filter(|host| theirs.iter().any(|wider| wider.covers(host))).cloned().collect()
        };
        let mut hosts = narrower(&asked.hosts, &granted.hosts);
        hosts.extend(narrower(&granted.hosts, &asked.hosts));
        hosts.sort();
        hosts.dedup();
        let asked_for = |address: &&String| {
            asked.private_hosts.contains(address)
                || address.rsplit_once(':').is_some_and(|(host, port)| {
                    port.parse().is_ok_and(|port| asked.allows_host(host.trim_matches(['[', ']']), port))
                })
        };
        let narrower_records = |(kind, access): (&String, &RecordAccess)| {
            Some((kind.clone(), granted.record_access(kind)?.min(*access)))
        };
        Permissions {
            hosts,
            private_hosts: granted.private_hosts.iter().filter(asked_for).cloned().collect(),
            secrets: asked.secrets.iter().filter(|name| granted.secrets.contains(name)).cloned().collect(),
            customers: asked.customers.min(granted.customers),
            customer_fields: asked.customer_fields.narrower(&granted.customer_fields),
            interactions: asked.interactions.min(granted.interactions),
            metrics: asked.metrics.min(granted.metrics),
            messages: asked.messages && granted.messages,
            kv: asked.kv && granted.kv,
            records: asked.records.iter().filter_map(narrower_records).collect(),
        }
    }

    /// What the manifest asks for and was not granted, one line each; private addresses apart, since those are granted one
    /// by one.
    pub fn missing(&self, asked: &Permissions) -> Vec<String> {
        Self::by_default(asked).0.beyond(&self.0)
    }

    /// Whether nothing that the manifest asks for is missing, private addresses apart. When something is, an upgrade has
    /// widened the request and waits for the operator.
    pub fn covers(&self, asked: &Permissions) -> bool {
        Self::by_default(asked).0.within(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::CustomerAccess;

    fn hosts(names: &[&str]) -> Vec<HostPattern> {
        names.iter().map(|name| HostPattern::new(*name)).collect()
    }

    #[test]
    fn the_narrower_side_holds() {
        let asked = Permissions {
            hosts: hosts(&["*.example.com", "other.example"]),
            customers: CustomerAccess::Write,
            kv: true,
            secrets: vec!["token".into(), "key".into()],
            records: [("case".into(), RecordAccess::Write), ("coupon".into(), RecordAccess::Read)].into(),
            ..Permissions::default()
        };
        let granted = Grants(Permissions {
            hosts: hosts(&["api.example.com", "unasked.example"]),
            customers: CustomerAccess::Read,
            messages: true,
            secrets: vec!["token".into()],
            records: [("case".into(), RecordAccess::Read), ("visit".into(), RecordAccess::Write)].into(),
            ..Permissions::default()
        });
        let effective = granted.effective(&asked);
        assert_eq!(effective.hosts, hosts(&["api.example.com"]));
        assert_eq!(effective.customers, CustomerAccess::Read);
        assert_eq!(effective.secrets, ["token"]);
        assert_eq!(effective.records, [("case".to_owned(), RecordAccess::Read)].into());
        assert!(!effective.kv && !effective.messages);
        assert!(!granted.covers(&asked));
    }

    #[test]
    fn private_addresses_need_the_operators_word() {
        let asked = Permissions {
            hosts: hosts(&["*"]),
            private_hosts: vec!["10.0.0.1:80".into()],
            ..Permissions::default()
        };
        let default = Grants::by_default(&asked);
        assert!(default.effective(&asked).private_hosts.is_empty());
        assert!(default.covers(&asked), "a missing private address does not stop an upgrade");
        let told = default.with_private_host("127.0.0.1:9000").with_private_host("10.0.0.1:80");
        assert_eq!(told.effective(&asked).private_hosts, ["127.0.0.1:9000", "10.0.0.1:80"]);
        let narrow = Permissions { hosts: hosts(&["api.example.com"]), ..Permissions::default() };
        assert!(
            told.effective(&narrow).private_hosts.is_empty(),
            "the manifest never asked for this address"
        );
    }
}
