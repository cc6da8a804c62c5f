//! `[permissions]`: what a plugin asks the operator for.
//!
//! Everything is absent by default. Hosts are named, not addresses: an address of a private network or of
//! the machine itself is refused even when its name matches, unless it stands in `private_hosts`.

use std::collections::BTreeMap;
use std::fmt;

use regard_model::record::declaration::check_name;
use serde::{Deserialize, Serialize};

use super::fields::CustomerFields;
use super::{Fault, records};

/// The most hosts, private hosts, secrets, fields or types of records a manifest may name; a longer list cannot be
/// reviewed by a person.
pub const NAMES_MAX: usize = 64;

/// What a plugin may reach, once granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Permissions {
    /// Hosts for outbound HTTP.
    pub hosts: Vec<HostPattern>,
    /// `host:port` pairs on loopback or private networks, each named exactly.
    pub private_hosts: Vec<String>,
    /// Names of secrets the plugin may read with `config.secret`.
    pub secrets: Vec<String>,
    /// Access to customers.
    pub customers: CustomerAccess,
    /// The fields of customers to which that access is; all of them where none are named.
    #[serde(skip_serializing_if = "CustomerFields::is_all")]
    pub customer_fields: CustomerFields,
    /// Access to the interaction log.
    pub interactions: InteractionAccess,
    /// Access to observations of metrics.
    pub metrics: MetricAccess,
    /// Whether messages may be enqueued; consent is checked at delivery all the same.
    pub messages: bool,
    /// Whether the plugin may keep bytes between calls.
    pub kv: bool,
    /// Access to records of other plugins' types, by the type's name; its own are its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub records: BTreeMap<String, RecordAccess>,
}

/// Access to customers, from nothing to everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CustomerAccess {
    /// No calls to `regard:core/customers`.
    #[default]
    None,
    /// `get` and `find`.
    Read,
    /// `update` as well.
    Write,
}

/// Access to the interaction log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InteractionAccess {
    /// No calls to `regard:core/interactions`.
    #[default]
    None,
    /// `query`.
    Read,
}

/// Access to observations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricAccess {
    /// No calls to `regard:core/metrics`.
    #[default]
    None,
    /// `latest`.
    Read,
}

/// Access to the records of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordAccess {
    /// `get` and `query`.
    Read,
    /// `create`, `update` and `delete` as well.
    Write,
}

impl Permissions {
    /// Whether `self` asks for nothing beyond `granted`; a wider request after an upgrade waits for consent.
    pub fn within(&self, granted: &Self) -> bool {
        self.beyond(granted).is_empty()
    }

    /// What `self` asks for beyond `granted`, one line of the manifest each, as the operator reads it.
    pub fn beyond(&self, granted: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let hosts =
            self.hosts.iter().filter(|host| !granted.hosts.iter().any(|pattern| pattern.covers(host)));
        lines.extend(hosts.map(|host| format!("hosts: {host}")));
        let missing = |asked: &[String], granted: &[String]| -> Vec<String> {
            asked.iter().filter(|name| !granted.contains(name)).cloned().collect()
        };
        let private = missing(&self.private_hosts, &granted.private_hosts);
        lines.extend(private.iter().map(|host| format!("private_hosts: {host}")));
        let secrets = missing(&self.secrets, &granted.secrets);
        lines.extend(secrets.iter().map(|secret| format!("secrets: {secret}")));
        if self.customers > granted.customers {
            lines.push(format!(
                "customers: {}",
                if self.customers == CustomerAccess::Write { "write" } else { "read" }
            ));
        }
        let fields = self.customer_fields.beyond(&granted.customer_fields);
        lines.extend(fields.iter().map(|field| format!("customer_fields: {field}")));
        let switches = [
            ("interactions: read", self.interactions > granted.interactions),
            ("metrics: read", self.metrics > granted.metrics),
            ("messages", self.messages && !granted.messages),
            ("kv", self.kv && !granted.kv),
        ];
        let records = self.records.iter().filter(|(name, asked)| granted.records.get(*name) < Some(asked));
        lines.extend(records.map(|(name, asked)| {
            format!("records: {name} = {}", if *asked == RecordAccess::Write { "write" } else { "read" })
        }));
        lines.extend(switches.iter().filter(|(_, missing)| *missing).map(|(name, _)| (*name).to_owned()));
        lines
    }

    /// What an event shows of a customer who changed: nothing but who it is when customers may not be read.
    pub(crate) fn fields_of_events(&self) -> CustomerFields {
        match self.customers {
            CustomerAccess::None => CustomerFields::only([]),
            CustomerAccess::Read | CustomerAccess::Write => self.customer_fields.clone(),
        }
    }

    /// Whether outbound HTTP to this public host and port was asked for.
    pub fn allows_host(&self, host: &str, port: u16) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host, port))
    }

    /// Whether outbound HTTP to this loopback or private host and port was asked for.
    pub fn allows_private_host(&self, host: &str, port: u16) -> bool {
        self.private_hosts.iter().any(|granted| {
            granted.rsplit_once(':').is_some_and(|(name, number)| {
                name.trim_matches(['[', ']']).eq_ignore_ascii_case(host.trim_matches(['[', ']']))
                    && number.parse() == Ok(port)
            })
        })
    }

    /// The access to records of the type `kind` that was asked for.
    pub fn record_access(&self, kind: &str) -> Option<RecordAccess> {
        self.records.get(kind).copied()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let lengths = [
            ("hosts", self.hosts.len()),
            ("private_hosts", self.private_hosts.len()),
            ("secrets", self.secrets.len()),
            ("customer_fields", self.customer_fields.len()),
            ("records", self.records.len()),
        ];
        for (key, length) in lengths {
            if length > NAMES_MAX {
                return Err(Fault::new(key, format!("names {length}"), format!("name at most {NAMES_MAX}")));
            }
        }
        for (at, host) in self.hosts.iter().enumerate() {
            if !host.is_well_formed() {
                return Err(Fault::new(
                    format!("hosts[{at}]"),
                    format!("`{host}` is not a host"),
                    "write a lower-case name such as `api.example.com`, `*.example.com`, `*` or `name:port`",
                ));
            }
        }
        for (at, host) in self.private_hosts.iter().enumerate() {
            let port = host.rsplit_once(':').and_then(|(name, port)| {
                port.parse::<u16>()
                    .ok()
                    .filter(|port| *port > 0 && !name.is_empty() && !name.contains(['*', '/']))
            });
            if port.is_none() {
                return Err(Fault::new(
                    format!("private_hosts[{at}]"),
                    format!("`{host}` is not a host with its port"),
                    "write `127.0.0.1:8080`, `[::1]:8080` or `name:8080`, without a wildcard",
                ));
            }
        }
        for (at, secret) in self.secrets.iter().enumerate() {
            if secret.is_empty()
                || !secret.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            {
                return Err(Fault::new(
                    format!("secrets[{at}]"),
                    format!("`{secret}` is not the name of a secret"),
                    "use lower-case letters, digits and hyphens, such as `signing-secret`",
                ));
            }
        }
        self.customer_fields.check()?;
        for kind in self.records.keys() {
            if let Err(invalid) = check_name(kind) {
                return Err(records::fault(invalid).under("records"));
            }
        }
        Ok(())
    }
}

/// A host that outbound HTTP may reach: `api.example.com`, `*.example.com` (any name below it, not itself),
/// `*` (any public host, for connectors whose address the operator chooses), each with an optional `:port`.
/// Without a port, only 443 and 80 match.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(transparent)]
pub struct HostPattern(String);

/// The ports that a pattern without port stands for.
const DEFAULT_PORTS: [u16; 2] = [443, 80];

impl HostPattern {
    /// A pattern from its text; the text is checked when the manifest is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as the manifest has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request to `host` and `port` is meant by this pattern. Case and a final dot do not matter.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let (name, wanted) = self.parts();
        let port_fits = match wanted {
            Some(wanted) => wanted.parse() == Ok(port),
            None => name == "*" || DEFAULT_PORTS.contains(&port),
        };
        port_fits && name_matches(name, &host.trim_end_matches('.').to_ascii_lowercase())
    }

    /// Whether everything that `other` matches is matched by `self` too.
    pub fn covers(&self, other: &Self) -> bool {
        let ((name, port), (other_name, other_port)) = (self.parts(), other.parts());
        let names =
            name == other_name || name == "*" || (other_name != "*" && name_matches(name, other_name));
        let other_is_default =
            || other_port.and_then(|p| p.parse().ok()).is_some_and(|p| DEFAULT_PORTS.contains(&p));
        let ports = port == other_port || (port.is_none() && (name == "*" || other_is_default()));
        names && ports
    }

    fn parts(&self) -> (&str, Option<&str>) {
        match self.0.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (&self.0, None),
        }
    }

    fn is_well_formed(&self) -> bool {
        let (name, port) = self.parts();
        let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let plain = name.strip_prefix("*.").unwrap_or(name);
        let label = |label: &str| {
            !label.is_empty()
                && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        };
        port_fits && (name == "*" || plain.split('.').all(label))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `*.example.com` matches names below `example.com`, never the name itself and never `badexample.com`.
fn name_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        _ if pattern == "*" => true,
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str, port: u16) -> bool {
        HostPattern::new(pattern).matches(host, port)
    }

    #[test]
    fn patterns_match_names_and_ports() {
        assert!(matches("api.example.com", "API.example.com.", 443));
        assert!(!matches("api.example.com", "api.example.com", 8443));
        assert!(matches("api.example.com:8443", "api.example.com", 8443));
        assert!(matches("*.example.com", "a.b.example.com", 443));
        assert!(!matches("*.example.com", "example.com", 443));
        assert!(!matches("*.example.com", "badexample.com", 443));
        assert!(!matches("*.example.com", ".example.com", 443));
        assert!(matches("*", "anything.example", 9000));
    }

    #[test]
    fn a_narrower_request_is_within_a_wider_grant() {
        let asks = |host: &str| Permissions { hosts: vec![HostPattern::new(host)], ..Permissions::default() };
        assert!(asks("a.example.com").within(&asks("*.example.com")));
        assert!(asks("a.example.com:443").within(&asks("a.example.com")));
        assert!(!asks("*.example.com").within(&asks("a.example.com")));
        assert!(!asks("*").within(&asks("*.example.com")));
        assert!(!asks("a.example.com:9").within(&asks("a.example.com")));
        let writes = Permissions { customers: CustomerAccess::Write, ..Permissions::default() };
        let reads = Permissions { customers: CustomerAccess::Read, ..Permissions::default() };
        assert!(reads.within(&writes) && !writes.within(&reads));
        let cases =
            |access| Permissions { records: [("case".to_owned(), access)].into(), ..Permissions::default() };
        let (reads, writes) = (cases(RecordAccess::Read), cases(RecordAccess::Write));
        assert!(reads.within(&writes) && !writes.within(&reads) && !reads.within(&Permissions::default()));
    }

    #[test]
    fn what_is_asked_beyond_a_grant_is_listed() {
        let asked = Permissions {
            hosts: vec![HostPattern::new("a.example.com"), HostPattern::new("b.example.com")],
            customers: CustomerAccess::Write,
            kv: true,
            ..Permissions::default()
        };
        let granted = Permissions {
            hosts: vec![HostPattern::new("a.example.com")],
            customers: CustomerAccess::Read,
            kv: true,
            ..Permissions::default()
        };
        assert_eq!(asked.beyond(&granted), ["hosts: b.example.com", "customers: write"]);
        assert!(asked.beyond(&asked).is_empty());
    }

    #[test]
    fn private_hosts_are_named_exactly() {
        let permissions = Permissions {
            private_hosts: vec!["127.0.0.1:9000".into(), "[::1]:9000".into()],
            ..Permissions::default()
        };
        assert!(permissions.check().is_ok());
        assert!(permissions.allows_private_host("127.0.0.1", 9000));
        assert!(permissions.allows_private_host("::1", 9000));
        assert!(!permissions.allows_private_host("127.0.0.1", 9001));
        let wild = Permissions { private_hosts: vec!["*:80".into()], ..Permissions::default() };
        assert!(wild.check().is_err());
    }
}
