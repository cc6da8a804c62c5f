//! What must be so when the last step is over.

use std::collections::BTreeMap;

use regard_model::{Attributes, LifecycleStage};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What must be so at the end; what is not named is not compared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// How many interactions are stored.
    pub interactions: Option<u64>,
    /// Customers by key.
    #[serde(default)]
    pub customers: BTreeMap<String, CustomerEnding>,
    /// All messages that were enqueued, in order.
    pub messages: Option<Vec<MessageEnding>>,
    /// All records of the types that are named, in the order in which they were made.
    #[serde(default)]
    pub records: BTreeMap<String, Vec<RecordEnding>>,
}

/// A customer at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerEnding {
    /// The name.
    pub name: Option<String>,
    /// Where in the life cycle.
    pub stage: Option<LifecycleStage>,
    /// All tags, in any order.
    pub tags: Option<Vec<String>>,
    /// The attributes that are named.
    #[serde(default)]
    pub attributes: Attributes,
}

/// A message at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageEnding {
    /// Key of the customer.
    pub customer: Option<String>,
    /// What for.
    pub purpose: Option<String>,
    /// The channel that was asked for.
    pub channel: Option<String>,
    /// The text.
    pub body: Option<String>,
    /// `pending`, `delivered`, ...
    pub state: Option<String>,
    /// The parameters that are named.
    #[serde(default)]
    pub parameters: Attributes,
}

/// A record at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordEnding {
    /// Key of the customer.
    pub customer: Option<String>,
    /// The fields that are named.
    #[serde(default)]
    pub data: Map<String, Value>,
}
