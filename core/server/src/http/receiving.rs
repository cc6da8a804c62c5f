//! Interactions handed in, one at a time or thousands at once: `POST /api/v1/interactions`.
//!
//! The call takes one object, an array, or a line per object. Each item gets its own outcome; a broken one never hurts
//! its neighbours. The answer comes when everything accepted is durable. [`items`] reads the body.

mod items;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use regard_engine::inbound::Submission;
use regard_engine::ports::Appended;
use regard_model::{CustomerId, InteractionId, Kind, Timestamp};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Site;
use super::auth::{Collector, Needs};
use super::body::{BodyFormat, read_body};
use super::problem::{Flaw, Problem, Trouble, pointer};
use items::{read_json, read_lines};

/// Most items of one call. With the log's groups of thousands of rows, one call holds up others for a few commits.
pub const ITEMS_MAX: usize = 10_000;
/// Largest body of one call, in bytes: about a kilobyte for each of the most items.
const INTERACTIONS_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// What became of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum ItemStatus {
    /// Stored.
    Accepted,
    /// The channel has an interaction of this external id already; nothing changed.
    Duplicate,
    /// Not stored, for the reason given.
    Rejected,
}

/// The outcome of one item, at the item's place.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ItemOutcome {
    /// What became of it.
    status: ItemStatus,
    /// The interaction, unless it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<InteractionId>,
    /// Its customer after merges, when it was accepted and is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerId>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What is wrong, as a JSON pointer into the call: `/3/amount/currency` is in the fourth item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
}

impl ItemOutcome {
    fn rejected(reason: String, pointer: String) -> Self {
        Self {
            status: ItemStatus::Rejected,
            id: None,
            customer: None,
            reason: Some(reason),
            pointer: Some(pointer),
        }
    }
}

/// Outcomes in the order of the items.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Received {
    /// One outcome per item.
    items: Vec<ItemOutcome>,
    /// Items that are stored now.
    accepted: u64,
    /// Items that were there already.
    duplicates: u64,
    /// Items that are not stored.
    rejected: u64,
}

/// An interaction to hand in.
#[derive(Debug, utoipa::ToSchema)]
#[schema(as = Submission)]
#[allow(dead_code, reason = "describes what `regard_engine::inbound::Submission` reads")]
struct SubmissionSchema {
    /// Name of the channel.
    #[schema(example = "shop")]
    channel: String,
    /// The source's own name for it, unique on the channel; a repeat is a duplicate.
    #[schema(example = "order-4711")]
    external_id: String,
    /// The customer, when the caller knows the id.
    customer_id: Option<CustomerId>,
    /// By what the source knows the customer; an unknown one makes a customer.
    identifier: Option<regard_model::Identifier>,
    /// Further names of the same customer.
    identifiers: Option<Vec<regard_model::Identifier>>,
    /// What happened.
    kind: Kind,
    /// When.
    occurred_at: Timestamp,
    /// Conversation.
    thread: Option<String>,
    /// Value that changed hands.
    amount: Option<regard_model::Money>,
    /// Everything else.
    #[schema(required = false)]
    attributes: regard_model::Attributes,
    /// Whose information it is; told from the kind when left out.
    provenance: Option<regard_model::Provenance>,
    /// The interaction that brought it about.
    causation_id: Option<InteractionId>,
}

/// One interaction, or many.
#[derive(Debug, utoipa::ToSchema)]
#[schema(as = Submissions)]
#[allow(dead_code, reason = "describes what the call reads")]
#[serde(untagged)]
enum SubmissionsSchema {
    /// One.
    One(Box<SubmissionSchema>),
    /// Many.
    Many(Vec<SubmissionSchema>),
}

/// Hands in interactions.
///
/// One object, an array of at most 10000, or as many lines of `application/x-ndjson`. The answer comes when everything
/// accepted is durable. Items of a list are judged one by one; a single object that is rejected is a problem.
#[utoipa::path(
    post, path = "/interactions", tag = "interactions", operation_id = "receiveInteractions",
    request_body(content((SubmissionsSchema = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "One outcome per item; accepted ones are durable", body = Received)),
)]
async fn receive(
    _: Needs<Collector>,
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Json<Received>, Problem> {
    let format = BodyFormat::of(request.headers());
    let body = match format {
        BodyFormat::Json | BodyFormat::NdJson => {
            read_body(request.into_body(), INTERACTIONS_BYTES_MAX).await?
        }
        BodyFormat::Other(_) => return Err(format.refused("application/json or application/x-ndjson")),
    };
    let items = if format == BodyFormat::NdJson { read_lines(&body) } else { read_json(&body)? };
    drop(body);
    if items.read.len() > ITEMS_MAX {
        return Err(Problem::new(
            Trouble::Invalid,
            format!(
                "{} items, at most {ITEMS_MAX} are taken at once; nothing was stored, so split the call",
                items.read.len()
            ),
        ));
    }
    let single = items.single;
    let received = append(&site, items.read).await?;
    site.telemetry.received(received.accepted, received.duplicates, received.rejected);
    match received.items.first() {
        Some(ItemOutcome { reason: Some(reason), pointer, .. }) if single => {
            let pointer = pointer.clone().unwrap_or_default();
            // A single object stands at the top of the body, not at a place in a list.
            let pointer = pointer.strip_prefix("/0").unwrap_or(&pointer);
            let place = if pointer.is_empty() { String::new() } else { format!("{pointer}: ") };
            Err(Problem::new(Trouble::Invalid, format!("{place}{reason}")).at(pointer, reason.clone()))
        }
        _ => Ok(Json(received)),
    }
}

/// Hands what could be read to the pipeline and puts each outcome at its item's place.
async fn append(site: &Site, read: Vec<Result<Submission, Flaw>>) -> Result<Received, Problem> {
    let mut submissions = Vec::with_capacity(read.len());
    let refused: Vec<Option<Flaw>> = read
        .into_iter()
        .map(|item| match item {
            Ok(submission) => {
                submissions.push(submission);
                None
            }
            Err(flaw) => Some(flaw),
        })
        .collect();
    let mut outcomes = site.pipeline.receive(submissions, None).await?.into_iter();
    let mut received =
        Received { items: Vec::with_capacity(refused.len()), accepted: 0, duplicates: 0, rejected: 0 };
    for (at, refused) in refused.into_iter().enumerate() {
        let outcome = match refused {
            Some(Flaw { pointer, detail }) => ItemOutcome::rejected(detail, format!("/{at}{pointer}")),
            None => outcomes.next().map(|outcome| told(at, outcome)).ok_or_else(|| {
                Problem::internal("the pipeline answered for fewer items than it was given")
            })?,
        };
        match outcome.status {
            ItemStatus::Accepted => received.accepted += 1,
            ItemStatus::Duplicate => received.duplicates += 1,
            ItemStatus::Rejected => received.rejected += 1,
        }
        received.items.push(outcome);
    }
    Ok(received)
}

fn told(at: usize, outcome: Appended) -> ItemOutcome {
    match outcome {
        Appended::Accepted { id, customer } => {
            ItemOutcome { status: ItemStatus::Accepted, id: Some(id), customer, reason: None, pointer: None }
        }
        Appended::Duplicate { id } => ItemOutcome {
            status: ItemStatus::Duplicate,
            id: Some(id),
            customer: None,
            reason: None,
            pointer: None,
        },
        Appended::Rejected(invalid) => {
            ItemOutcome::rejected(invalid.reason, format!("/{at}{}", pointer(&invalid.field)))
        }
    }
}
