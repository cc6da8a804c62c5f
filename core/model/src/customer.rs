//! Customers, how they relate to each other, and how two of them turn out to be one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::invalid::{check_slug, check_text};
use crate::{Attributes, CustomerId, Identifier, Invalid, MergeId, Timestamp};

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 512;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 64;
/// Most tags on one customer; more are a sign that an attribute is meant.
pub const TAGS_MAX: usize = 64;
/// Most identifiers given with one new customer.
pub const IDENTIFIERS_MAX: usize = 32;

/// Whether a customer is one human being or a group of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CustomerKind {
    /// One human being.
    Person,
    /// A company, an office, a club.
    Organisation,
}

/// Where a customer stands in the relationship.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleStage {
    /// Known, has not bought.
    Prospect,
    /// Bought for the first time.
    Acquired,
    /// Buys again.
    Retained,
    /// Buys more, or more kinds of things.
    Expanded,
    /// Stopped buying.
    Lapsed,
    /// Deliberately no longer served.
    Deselected,
}

macro_rules! words {
    ($type:ident, $what:literal: $($variant:ident = $word:literal),* $(,)?) => {
        impl $type {
            /// The word used in the API and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $type {
            type Err = $crate::Invalid;
            fn from_str(text: &str) -> Result<Self, $crate::Invalid> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err($crate::Invalid::new($what, format!(
                        "`{}` is none of {}", text.escape_debug(), [$($word),*].join(", ")
                    ))),
                }
            }
        }
    };
}
pub(crate) use words;

words!(CustomerKind, "kind": Person = "person", Organisation = "organisation");
words!(LifecycleStage, "stage": Prospect = "prospect", Acquired = "acquired", Retained = "retained",
    Expanded = "expanded", Lapsed = "lapsed", Deselected = "deselected");

/// A person or an organisation, as seen after all merges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Customer {
    /// Names the customer for ever; after a merge the id of the customer that it was merged into.
    pub id: CustomerId,
    /// Person or organisation.
    pub kind: CustomerKind,
    /// As the customer is addressed; may be empty when only an identifier is known.
    pub name: String,
    /// Where the customer stands in the relationship.
    pub stage: LifecycleStage,
    /// Short marks set by people and plugins.
    pub tags: BTreeSet<String>,
    /// Everything else that is known.
    pub attributes: Attributes,
    /// All names by which sources know the customer.
    pub identifiers: Vec<Identifier>,
    /// The system that the customer first came from.
    pub source: String,
    /// Goes up with every change; a change that names an older version is refused.
    pub version: i64,
    /// When the customer was first stored.
    pub created_at: Timestamp,
    /// When the customer was last changed.
    pub updated_at: Timestamp,
}

/// A customer to store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCustomer {
    /// Person or organisation.
    pub kind: CustomerKind,
    /// As the customer is addressed; may be empty.
    pub name: String,
    /// Where the customer stands in the relationship.
    pub stage: LifecycleStage,
    /// Short marks.
    pub tags: BTreeSet<String>,
    /// Everything else that is known.
    pub attributes: Attributes,
    /// Names by which sources know the customer; none of them may belong to another customer.
    pub identifiers: Vec<Identifier>,
    /// The system that the customer came from.
    pub source: String,
}

impl NewCustomer {
    /// A person of whom nothing is known yet.
    pub fn unknown(source: &str) -> Self {
        Self {
            kind: CustomerKind::Person,
            name: String::new(),
            stage: LifecycleStage::Prospect,
            tags: BTreeSet::new(),
            attributes: Attributes::new(),
            identifiers: Vec::new(),
            source: source.to_owned(),
        }
    }

    /// Refuses bad names, tags, attributes and too many identifiers.
    pub fn checked(mut self) -> Result<Self, Invalid> {
        check_name(&self.name)?;
        check_tags(&self.tags)?;
        check_slug("source", &self.source, TAG_BYTES_MAX)?;
        self.attributes = self.attributes.checked()?;
        if self.identifiers.len() > IDENTIFIERS_MAX {
            let found = self.identifiers.len();
            return Err(Invalid::new(
                "identifiers",
                format!("{found} given, at most {IDENTIFIERS_MAX} are allowed"),
            ));
        }
        Ok(self)
    }
}

/// A change of a customer; what is `None` or empty stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CustomerChange {
    /// The version the change was made against; `None` changes whatever is there.
    pub version: Option<i64>,
    /// New name.
    pub name: Option<String>,
    /// New kind.
    pub kind: Option<CustomerKind>,
    /// New stage.
    pub stage: Option<LifecycleStage>,
    /// Attributes to set; `null` removes one.
    pub attributes: Attributes,
    /// Tags to add.
    pub add_tags: BTreeSet<String>,
    /// Tags to take away.
    pub remove_tags: BTreeSet<String>,
    /// Identifiers to add.
    pub add_identifiers: Vec<Identifier>,
}

impl CustomerChange {
    /// Refuses bad names, tags and attributes.
    pub fn checked(mut self) -> Result<Self, Invalid> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        check_tags(&self.add_tags)?;
        self.attributes = self.attributes.checked()?;
        if self.add_identifiers.len() > IDENTIFIERS_MAX {
            return Err(Invalid::new(
                "identifiers",
                format!("at most {IDENTIFIERS_MAX} are allowed at once"),
            ));
        }
        Ok(self)
    }
}

fn check_name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() { Ok(()) } else { check_text("name", name, NAME_BYTES_MAX) }
}

fn check_tags(tags: &BTreeSet<String>) -> Result<(), Invalid> {
    if tags.len() > TAGS_MAX {
        return Err(Invalid::new("tags", format!("{} given, at most {TAGS_MAX} are allowed", tags.len())));
    }
    tags.iter().try_for_each(|tag| check_slug("tags", tag, TAG_BYTES_MAX))
}

/// A typed tie from one customer to another: works for, referred by, partner of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Relationship {
    /// Who has the tie.
    pub from: CustomerId,
    /// The kind of tie, a slug such as `works-for`.
    pub kind: String,
    /// To whom.
    pub to: CustomerId,
    /// Since when it is known here.
    pub created_at: Timestamp,
}

/// A line of the merge ledger: two customers that turned out to be one.
///
/// Nothing is rewritten: interactions and identifiers stay with the customer they were recorded under, and reading
/// resolves through the ledger. So undoing a merge restores exactly what was there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Merge {
    /// Names the merge.
    pub id: MergeId,
    /// The customer that is now read as the other one.
    pub from: CustomerId,
    /// The customer that goes on.
    pub into: CustomerId,
    /// Why, in words.
    pub reason: String,
    /// What spoke for it: scores, matching fields.
    pub evidence: Attributes,
    /// Who decided.
    pub actor: String,
    /// When.
    pub merged_at: Timestamp,
    /// When it was undone, if it was.
    pub undone_at: Option<Timestamp>,
}
