//! Customers: `/api/v1/customers`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use regard_model::customer::{CustomerChange, NewCustomer};
use regard_model::{Attributes, Customer, CustomerId, CustomerKind, Identifier, LifecycleStage};
use regard_store::CustomerFilter as StoredFilter;
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Reader, Writer};
use super::body::Input;
use super::page::{Listing, Page, PageParams};
use super::problem::Problem;
use super::query::Target;
use super::{Site, audit};

/// Source of customers that a caller adds without naming one.
const SOURCE_DEFAULT: &str = "api";

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, change))
}

/// A customer to add.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCustomer)]
struct CustomerInput {
    /// Person or organisation; a person when left out.
    kind: Option<CustomerKind>,
    /// As the customer is addressed.
    #[serde(default)]
    name: String,
    /// Where the customer stands in the relationship; a prospect when left out.
    stage: Option<LifecycleStage>,
    /// Short marks.
    #[serde(default)]
    tags: BTreeSet<String>,
    /// Everything else that is known.
    #[serde(default)]
    attributes: Attributes,
    /// Names by which sources know the customer; none of them may belong to another customer.
    #[serde(default)]
    identifiers: Vec<Identifier>,
    /// The system that the customer comes from; `api` when left out.
    source: Option<String>,
}

/// A change of a customer; what is left out stays as it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CustomerChange)]
struct ChangeInput {
    /// The version that the change was made against; a newer one is there: 409. Left out: whatever is there is changed.
    version: Option<i64>,
    /// New name.
    name: Option<String>,
    /// New kind.
    kind: Option<CustomerKind>,
    /// New stage.
    stage: Option<LifecycleStage>,
    /// Merge patch (RFC 7396) of one level: `null` removes a name, everything else sets it.
    #[serde(default)]
    attributes: Attributes,
    /// Tags to add.
    #[serde(default)]
    add_tags: BTreeSet<String>,
    /// Tags to take away.
    #[serde(default)]
    remove_tags: BTreeSet<String>,
    /// Identifiers to add; none of them may belong to another customer.
    #[serde(default)]
    identifiers: Vec<Identifier>,
}

/// What narrows the list of customers.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CustomerFilter {
    /// Part of a name in any case, or the whole value of an identifier.
    q: Option<String>,
    /// Exactly this identifier, as `scheme:value`, such as `email:ada@example.com`.
    identifier: Option<String>,
}

/// Customers, the longest known first, as seen after all merges.
#[utoipa::path(
    get, path = "/customers", tag = "customers", operation_id = "listCustomers",
    params(CustomerFilter, PageParams),
    responses((status = 200, description = "A page of customers", body = Page<Customer>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    listing: Listing<CustomerFilter, CustomerId>,
) -> Result<Json<Page<Customer>>, Problem> {
    let filter = StoredFilter {
        text: listing.filter.q.clone(),
        identifier: listing.filter.identifier.as_deref().map(Identifier::parse).transpose()?,
    };
    let customers = site.store.list_customers(&filter, listing.after, listing.probe()).await?;
    Ok(Json(listing.page(customers, |customer| customer.id)))
}

/// Adds a customer.
#[utoipa::path(
    post, path = "/customers", tag = "customers", operation_id = "createCustomer",
    request_body = CustomerInput,
    responses(
        (status = 201, description = "The customer", body = Customer, headers(("location" = String, description = "Where it is"))),
        (status = 409, description = "An identifier belongs to another customer"),
    ),
)]
async fn create(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Input(input): Input<CustomerInput>,
) -> Result<impl IntoResponse, Problem> {
    let new = NewCustomer {
        kind: input.kind.unwrap_or(CustomerKind::Person),
        name: input.name,
        stage: input.stage.unwrap_or(LifecycleStage::Prospect),
        tags: input.tags,
        attributes: input.attributes,
        identifiers: input.identifiers,
        source: input.source.unwrap_or_else(|| SOURCE_DEFAULT.to_owned()),
    };
    let customer = site.store.create_customer(new.checked()?).await?;
    site.pipeline.wake();
    audit::record(&site, &who, "customer.created", subject(customer.id), []).await;
    let location = format!("/api/v1/customers/{}", customer.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(customer)))
}

/// One customer, as seen after all merges.
#[utoipa::path(
    get, path = "/customers/{id}", tag = "customers", operation_id = "getCustomer",
    params(("id" = CustomerId, Path, description = "The customer")),
    responses((status = 200, description = "The customer", body = Customer)),
)]
async fn get(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<CustomerId>,
) -> Result<Json<Customer>, Problem> {
    find(&site, id).await.map(Json)
}

/// Changes a customer.
#[utoipa::path(
    patch, path = "/customers/{id}", tag = "customers", operation_id = "changeCustomer",
    params(("id" = CustomerId, Path, description = "The customer")),
    request_body = ChangeInput,
    responses(
        (status = 200, description = "The customer after the change", body = Customer),
        (status = 409, description = "The customer has a newer version, or an identifier belongs to another customer"),
    ),
)]
async fn change(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target(id): Target<CustomerId>,
    Input(input): Input<ChangeInput>,
) -> Result<Json<Customer>, Problem> {
    let changed = changed_fields(&input);
    let change = CustomerChange {
        version: input.version,
        name: input.name,
        kind: input.kind,
        stage: input.stage,
        attributes: input.attributes,
        add_tags: input.add_tags,
        remove_tags: input.remove_tags,
        add_identifiers: input.identifiers,
    };
    let customer = site.store.change_customer(id, change.checked()?).await?;
    site.pipeline.wake();
    audit::record(&site, &who, "customer.changed", subject(customer.id), [("fields", json!(changed))]).await;
    Ok(Json(customer))
}

/// The customer that `id` is read as.
pub(super) async fn find(site: &Site, id: CustomerId) -> Result<Customer, Problem> {
    site.store.find_customer(id).await?.ok_or_else(|| Problem::not_found("customer", id))
}

/// How the audit log names a customer.
pub(super) fn subject(id: CustomerId) -> String {
    format!("customer:{id}")
}

/// Names of the fields that a change touches; values stay out of the audit log, which outlives an erasure.
fn changed_fields(input: &ChangeInput) -> Vec<&'static str> {
    let touched = [
        ("name", input.name.is_some()),
        ("kind", input.kind.is_some()),
        ("stage", input.stage.is_some()),
        ("attributes", !input.attributes.is_empty()),
        ("tags", !input.add_tags.is_empty() || !input.remove_tags.is_empty()),
        ("identifiers", !input.identifiers.is_empty()),
    ];
    touched.into_iter().filter(|(_, is_touched)| *is_touched).map(|(name, _)| name).collect()
}
