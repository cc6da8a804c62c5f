//! Which fields of a customer a plugin may see and change.

use std::borrow::Cow;
use std::collections::BTreeSet;

use regard_model::{Attributes, Customer};
use serde::{Deserialize, Serialize};

use super::Fault;

/// The fields that may be named; `id`, `kind` and `version` are always there.
const FIELDS: [&str; 5] = ["name", "stage", "tags", "identifiers", "attributes"];
/// Those of them that have parts: `identifiers.email`, `attributes.city`.
const WITH_PARTS: [&str; 2] = ["identifiers", "attributes"];

/// Fields of a customer by name; `None` for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct CustomerFields(Option<BTreeSet<String>>);

impl CustomerFields {
    /// Exactly these fields.
    pub fn only<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(Some(names.into_iter().map(str::to_owned).collect()))
    }

    /// Whether this is all fields, those to come included.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// How many are named.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, BTreeSet::len)
    }

    /// Whether `field` is among them, by its own name or by that of the whole of which it is a part.
    pub fn has(&self, field: &str) -> bool {
        let Some(named) = &self.0 else { return true };
        named.contains(field) || field.split_once('.').is_some_and(|(whole, _)| named.contains(whole))
    }

    /// Whether a part of `field` is among them, or all of it.
    fn has_some(&self, field: &str) -> bool {
        let Some(named) = &self.0 else { return true };
        let part = |name: &String| name.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
        named.contains(field) || named.iter().any(part)
    }

    /// Those of `self` that `granted` lacks, by name; `all` when `self` is everything and `granted` is not.
    pub(super) fn beyond(&self, granted: &Self) -> Vec<String> {
        match &self.0 {
            None if granted.is_all() => Vec::new(),
            None => vec!["all".to_owned()],
            Some(named) => named.iter().filter(|name| !granted.has(name)).cloned().collect(),
        }
    }

    /// Those that both sides have.
    pub(crate) fn narrower(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (None, fields) | (fields, None) => Self(fields.clone()),
            (Some(ours), Some(theirs)) => {
                let mut both: BTreeSet<_> = ours.iter().filter(|name| other.has(name)).cloned().collect();
                both.extend(theirs.iter().filter(|name| self.has(name)).cloned());
                Self(Some(both))
            }
        }
    }

    /// The customer with these fields; the others are as empty as those of a customer of whom nothing is known.
    pub(crate) fn show<'a>(&self, customer: &'a Customer) -> Cow<'a, Customer> {
        if self.is_all() {
            return Cow::Borrowed(customer);
        }
        let mut shown = customer.clone();
        if !self.has("name") {
            shown.name.clear();
        }
        if !self.has("stage") {
            shown.stage = regard_model::LifecycleStage::Prospect;
        }
        if !self.has("tags") {
            shown.tags.clear();
        }
        shown.identifiers.retain(|identifier| self.has(&format!("identifiers.{}", identifier.scheme)));
        if self.has_some("attributes") {
            shown.attributes.0.retain(|name, _| self.has(&format!("attributes.{name}")));
        } else {
            shown.attributes = Attributes::new();
        }
        Cow::Owned(shown)
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        for name in self.0.iter().flatten() {
            let is_known = match name.split_once('.') {
                None => FIELDS.contains(&name.as_str()),
                Some((whole, part)) => WITH_PARTS.contains(&whole) && !part.is_empty(),
            };
            if !is_known {
                return Err(Fault::new(
                    "customer_fields",
                    format!("`{name}` is not a field of a customer"),
                    "write name, stage, tags, identifiers, attributes, or a part such as identifiers.email or \
                     attributes.city",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_covers_its_parts() {
        let fields = CustomerFields::only(["tags", "identifiers", "attributes.city"]);
        for (field, is_there) in [
            ("tags", true),
            ("name", false),
            ("identifiers.email", true),
            ("attributes.city", true),
            ("attributes.street", false),
            ("attributes", false),
        ] {
            assert_eq!(fields.has(field), is_there, "{field}");
            assert!(CustomerFields::default().has(field), "{field}");
        }
    }

    #[test]
    fn both_sides_narrow() {
        let asked = CustomerFields::only(["name", "attributes", "identifiers.email"]);
        let granted = CustomerFields::only(["attributes.city", "identifiers", "tags"]);
        let both = CustomerFields::only(["attributes.city", "identifiers.email"]);
        assert_eq!((asked.narrower(&granted), granted.narrower(&asked)), (both.clone(), both));
        let all = CustomerFields::default();
        assert_eq!((asked.narrower(&all), all.narrower(&asked)), (asked.clone(), asked.clone()));
        assert_eq!(asked.beyond(&granted), ["attributes", "name"]);
        assert_eq!((all.beyond(&granted), granted.beyond(&all)), (vec!["all".to_owned()], vec![]));
    }

    #[test]
    fn unknown_fields_are_named() {
        assert!(CustomerFields::only(["attributes.city", "identifiers.external:shop"]).check().is_ok());
        for name in ["city", "name.first", "attributes."] {
            assert!(CustomerFields::only([name]).check().is_err(), "{name}");
        }
    }
}
