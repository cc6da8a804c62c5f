//! Questions about customers and the business, and their observed answers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::customer::words;
use crate::{Attributes, CustomerId, EvaluationId, Invalid, ObservationId, Timestamp};

/// What a metric is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// One value per customer.
    Customer,
    /// One value for the whole business.
    Business,
}
words!(SubjectKind, "subject_kind": Customer = "customer", Business = "business");

/// Of whom or what an observation speaks: `customer:<id>` or `business`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One customer.
    Customer(CustomerId),
    /// The whole business.
    Business,
}

impl Subject {
    /// Which kind of subject it is.
    pub const fn kind(self) -> SubjectKind {
        match self {
            Self::Customer(_) => SubjectKind::Customer,
            Self::Business => SubjectKind::Business,
        }
    }

    /// The number kept in a database row: the customer's, 0 for the business.
    pub const fn as_i64(self) -> i64 {
        match self {
            Self::Customer(id) => id.as_i64(),
            Self::Business => 0,
        }
    }

    /// The subject of a database row.
    pub const fn from_row(kind: SubjectKind, number: i64) -> Self {
        match kind {
            SubjectKind::Customer => Self::Customer(CustomerId::from_i64(number)),
            SubjectKind::Business => Self::Business,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(id) => write!(f, "customer:{id}"),
            Self::Business => f.write_str("business"),
        }
    }
}

impl FromStr for Subject {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "business" {
            return Ok(Self::Business);
        }
        match text.strip_prefix("customer:") {
            Some(id) => id.parse().map(Self::Customer).map_err(|invalid: Invalid| invalid.within("subject")),
            None => Err(Invalid::new(
                "subject",
                format!("`{text}` is neither `business` nor of the form customer:<id>"),
            )),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Subject {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .examples(["customer:cus_01jd3q7xk2v8m", "business"])
            .into()
    }
}
impl utoipa::ToSchema for Subject {}

/// A span of time that ends before `end`; open at the start when there is no `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Window {
    /// First instant inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// First instant after.
    pub end: Timestamp,
}

/// A named question that an evaluator plugin answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Metric {
    /// Unique name, such as `clv`.
    pub name: String,
    /// Goes up when the same name begins to mean something else.
    pub version: u32,
    /// What it answers, in a sentence.
    pub description: String,
    /// Unit of the value: `minor` for minor units of a currency, `score`, `share`, `orders`, ...
    pub unit: String,
    /// What it is about.
    pub subject: SubjectKind,
    /// Kinds of interactions that count; empty for all.
    pub kinds: Vec<String>,
    /// Columns that it reads.
    pub inputs: Vec<MetricInput>,
    /// JSON Schema of its parameters.
    pub parameters: serde_json::Value,
    /// The plugin that evaluates it.
    pub evaluator: String,
}

/// A column that an evaluator reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricInput {
    /// `occurred-at`, `amount`, `kind` or `channel`.
    pub column: String,
    /// Whether rows without a value are left out.
    pub required: bool,
}

/// One run of an evaluator: what it read, with what, and what it found about the population.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evaluation {
    /// Names the run.
    pub id: EvaluationId,
    /// The metric.
    pub metric: String,
    /// Version of the metric.
    pub metric_version: u32,
    /// Plugin id and version.
    pub evaluator: String,
    /// SHA-256 of the evaluator's code, in hex.
    pub evaluator_digest: String,
    /// Parameters, defaults filled in.
    #[schema(value_type = Object)]
    pub parameters: serde_json::Value,
    /// Interactions that occurred within it were read.
    pub window: Window,
    /// Currency of every amount that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Interactions that were read.
    pub rows: u64,
    /// Interactions left out because their amount is in another currency.
    pub rows_other_currency: u64,
    /// Subjects with at least one row.
    pub subjects: u64,
    /// Last interaction that was stored when the run began: what came later is not in it.
    pub watermark: Option<crate::InteractionId>,
    /// Fitted parameters and fit quality, when the metric fits a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub model: Option<serde_json::Value>,
    /// Mean, extremes and the count per word of each text column.
    #[schema(value_type = Object)]
    pub summary: serde_json::Value,
    /// When it ran.
    pub evaluated_at: Timestamp,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// The value of a metric for one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Observation {
    /// Names the observation.
    pub id: ObservationId,
    /// The run that it came from.
    pub evaluation: EvaluationId,
    /// The metric.
    pub metric: String,
    /// Of whom it speaks.
    pub subject: Subject,
    /// What was looked at.
    pub window: Window,
    /// The value; none where the metric is undefined for the subject.
    pub value: Option<f64>,
    /// Unit of the value.
    pub unit: String,
    /// Further columns that the metric documents.
    pub details: Attributes,
    /// Value of the same metric for the same subject before, whatever its window.
    pub previous: Option<f64>,
}
