//! Records of declared types: `/api/v1/records/{type}`.
//!
//! One set of calls for all types: what a type takes is told by its declaration, and every record is checked against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ETAG, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use regard_engine::ports::{RecordPlace, RecordQuery, RecordSort};
use regard_model::record::{NewRecord, RecordFlaw, RecordType, merge_patch};
use regard_model::{CustomerId, Record, RecordId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Reader, Writer};
use super::body::Input;
use super::page::{Listing, Page, PageParams};
use super::problem::{Problem, Trouble, echo};
use super::query::Target;
use super::{Site, audit, record_types};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, change, delete))
}

/// A record to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRecord)]
struct RecordInput {
    /// The customer, where the type has one.
    customer_id: Option<CustomerId>,
    /// The object, valid against the type's schema.
    #[schema(value_type = Object)]
    data: Value,
}

/// A change of a record.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RecordChange)]
struct ChangeInput {
    /// The version that the change was made against; a newer one is there: 409. `If-Match` says the same. Left out:
    /// whatever is there is changed.
    version: Option<i64>,
    /// Merge patch (RFC 7396) of the object: `null` removes a member, objects are merged, everything else replaces.
    #[schema(value_type = Object)]
    data: Value,
}

/// Parameters of a list of records; besides these, any indexed field of the type is one.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the parameters; `query` reads them")]
struct RecordParams {
    /// Of this customer, merged ones included.
    customer: Option<CustomerId>,
    /// An indexed field to sort by, with `-` before it from the largest value down; newest first when left out.
    sort: Option<String>,
    /// An indexed field and the value that it must have, such as `state=open`; several must all fit.
    #[param(style = Form, explode = true)]
    fields: Option<BTreeMap<String, String>>,
}

/// Where a page of records ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    id: RecordId,
    value: Value,
}

/// Records of a type, newest first or sorted by an indexed field.
#[utoipa::path(
    get, path = "/records/{type}", tag = "records", operation_id = "listRecords",
    params(("type" = String, Path, description = "Name of the type"), RecordParams, PageParams),
    responses((status = 200, description = "A page of records", body = Page<Record>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(kind): Target<String>,
    listing: Listing<BTreeMap<String, String>, Place>,
) -> Result<Json<Page<Record>>, Problem> {
    let kind = record_types::find(&site, &kind).await?;
    let query = query(&kind, &listing.filter)?;
    let after = listing.after.as_ref().map(|place| RecordPlace { id: place.id, value: place.value.clone() });
    let records = site.store.list_records(&query, after.as_ref(), listing.probe()).await?;
    let value = |record: &Record| match &query.sort {
        Some(sort) => record.data.get(&sort.field).cloned().unwrap_or_default(),
        None => Value::Null,
    };
    Ok(Json(listing.page(records, |record| Place { id: record.id, value: value(record) })))
}

/// Makes a record.
#[utoipa::path(
    post, path = "/records/{type}", tag = "records", operation_id = "createRecord",
    params(("type" = String, Path, description = "Name of the type")),
    request_body = RecordInput,
    responses(
        (status = 201, description = "The record", body = Record, headers(
            ("location" = String, description = "Where it is"),
            ("etag" = String, description = "Its version"),
        )),
        (status = 409, description = "Another record has the value of a unique field"),
    ),
)]
async fn create(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target(kind): Target<String>,
    Input(input): Input<RecordInput>,
) -> Result<Response, Problem> {
    let kind = record_types::find(&site, &kind).await?;
    // The store checks again, but tells one flaw only.
    kind.check(input.customer_id, &input.data).map_err(refused)?;
    let fields = names_of(&input.data);
    let new = NewRecord { kind: kind.name().to_owned(), customer_id: input.customer_id, data: input.data };
    let record = site.store.create_record(new).await?;
    audit::record(&site, &who, "record.created", subject(&record), details(&record, fields)).await;
    let location = format!("/api/v1/records/{}/{}", record.kind, record.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], answer(record)).into_response())
}

/// One record.
#[utoipa::path(
    get, path = "/records/{type}/{id}", tag = "records", operation_id = "getRecord",
    params(
        ("type" = String, Path, description = "Name of the type"),
        ("id" = RecordId, Path, description = "The record"),
    ),
    responses((status = 200, description = "The record", body = Record, headers(("etag" = String, description = "Its version")))),
)]
async fn get(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target((kind, id)): Target<(String, RecordId)>,
) -> Result<Response, Problem> {
    let kind = record_types::find(&site, &kind).await?;
    Ok(answer(find(&site, &kind, id).await?).into_response())
}

/// Changes a record.
#[utoipa::path(
    patch, path = "/records/{type}/{id}", tag = "records", operation_id = "changeRecord",
    params(
        ("type" = String, Path, description = "Name of the type"),
        ("id" = RecordId, Path, description = "The record"),
        ("if-match" = Option<String>, Header, description = "The `ETag` that the change was made against"),
    ),
    request_body = ChangeInput,
    responses(
        (status = 200, description = "The record after the change", body = Record, headers(("etag" = String, description = "Its version"))),
        (status = 409, description = "The record has a newer version, or another one has the value of a unique field"),
    ),
)]
async fn change(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target((kind, id)): Target<(String, RecordId)>,
    headers: HeaderMap,
    Input(input): Input<ChangeInput>,
) -> Result<Response, Problem> {
    let kind = record_types::find(&site, &kind).await?;
    let version = version(input.version, &headers)?;
    if !input.data.is_object() {
        let told = "a merge patch of a record is an object";
        return Err(Problem::new(Trouble::Invalid, format!("data: {told}")).at("/data", told));
    }
    let before = find(&site, &kind, id).await?;
    let mut after = before.data.clone();
    merge_patch(&mut after, input.data.clone());
    // The store patches and checks again what is there by then, but tells one flaw only.
    kind.check(before.customer_id, &after).map_err(refused)?;
    let fields = names_of(&input.data);
    let record = site.store.patch_record(kind.name(), id, version, input.data).await?;
    audit::record(&site, &who, "record.changed", subject(&record), details(&record, fields)).await;
    Ok(answer(record).into_response())
}

/// Deletes a record.
#[utoipa::path(
    delete, path = "/records/{type}/{id}", tag = "records", operation_id = "deleteRecord",
    params(
        ("type" = String, Path, description = "Name of the type"),
        ("id" = RecordId, Path, description = "The record"),
        ("if-match" = Option<String>, Header, description = "The `ETag` of the version that is meant"),
    ),
    responses(
        (status = 204, description = "The record is gone"),
        (status = 409, description = "The record has a newer version"),
    ),
)]
async fn delete(
    who: Needs<Writer>,
    State(site): State<Arc<Site>>,
    Target((kind, id)): Target<(String, RecordId)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let kind = record_types::find(&site, &kind).await?;
    let record = find(&site, &kind, id).await?;
    site.store.delete_record(kind.name(), id, version(None, &headers)?).await?;
    audit::record(&site, &who, "record.deleted", subject(&record), details(&record, Vec::new())).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(site: &Site, kind: &RecordType, id: RecordId) -> Result<Record, Problem> {
    site.store.find_record(kind.name(), id).await?.ok_or_else(|| Problem::not_found(kind.name(), id))
}

/// Reads the parameters as the type has them: each is `customer`, `sort` or an indexed field.
fn query(kind: &RecordType, parameters: &BTreeMap<String, String>) -> Result<RecordQuery, Problem> {
    let malformed = |name: &str, told: String| {
        let told: String = told.chars().filter(|c| !c.is_control()).collect();
        Problem::new(Trouble::Malformed, format!("the query parameter `{}`: {told}", echo(name)))
            .at(name, told)
    };
    let mut query = RecordQuery { kind: kind.name().to_owned(), ..RecordQuery::default() };
    for (name, text) in parameters {
        match name.as_str() {
            "customer" => {
                let customer =
                    text.parse().map_err(|why: regard_model::Invalid| malformed(name, why.reason))?;
                query.customer = Some(customer);
            }
            "sort" => {
                let (field, descending) =
                    text.strip_prefix('-').map_or((text.as_str(), false), |rest| (rest, true));
                kind.field(field)
                    .map_err(|why| malformed(name, format!("`{}`: {}", echo(field), why.reason)))?;
                query.sort = Some(RecordSort { field: field.to_owned(), descending });
            }
            field => {
                let shown: String = text.chars().take(64).collect();
                let value = kind.field_value(field, text);
                let value =
                    value.map_err(|why| malformed(name, why.reason.replace(text.as_str(), &shown)))?;
                query.equal.insert(field.to_owned(), value);
            }
        }
    }
    Ok(query)
}

/// The version that the caller means, from the body or from `If-Match`.
fn version(stated: Option<i64>, headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(header) = headers.get(IF_MATCH) else { return Ok(stated) };
    let text = header.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(stated);
    }
    let told = "If-Match takes the ETag of a record, such as \"3\", or *";
    let number =
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    let number: i64 = number.ok_or_else(|| Problem::new(Trouble::Malformed, told).at("if-match", told))?;
    if stated.is_some_and(|stated| stated != number) {
        let told = "version and If-Match name different versions";
        return Err(Problem::new(Trouble::Invalid, told).at("/version", told));
    }
    Ok(Some(number))
}

/// The record with its version as `ETag`.
fn answer(record: Record) -> impl IntoResponse {
    ([(ETAG, format!("\"{}\"", record.version))], Json(record))
}

/// Every flaw with its place in the body.
fn refused(flaws: Vec<RecordFlaw>) -> Problem {
    let words: Vec<_> = flaws.iter().map(ToString::to_string).collect();
    let problem = Problem::new(Trouble::Invalid, words.join("; "));
    flaws.into_iter().fold(problem, |problem, flaw| problem.at(flaw.pointer, flaw.problem))
}

/// How the audit log names a record.
fn subject(record: &Record) -> String {
    format!("record:{}", record.id)
}

/// Names of members, but no values: the audit log outlives an erasure.
fn details(record: &Record, fields: Vec<String>) -> [(&'static str, Value); 2] {
    [("kind", json!(record.kind)), ("fields", json!(fields))]
}

fn names_of(data: &Value) -> Vec<String> {
    data.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_either_place_but_not_from_both() {
        let with = |text: &str| HeaderMap::from_iter([(IF_MATCH, text.parse().expect("a header"))]);
        let read = |stated, headers: &HeaderMap| version(stated, headers).ok();
        assert_eq!(read(Some(2), &HeaderMap::new()), Some(Some(2)));
        assert_eq!(read(None, &HeaderMap::new()), Some(None));
        assert_eq!(read(None, &with("\"3\"")), Some(Some(3)));
        assert_eq!(read(Some(3), &with("\"3\"")), Some(Some(3)));
        assert_eq!(read(None, &with("*")), Some(None));
        for wrong in ["3", "\"x\"", "W/\"3\"", "\"1\", \"2\"", ""] {
            assert_eq!(read(None, &with(wrong)), None, "{wrong}");
        }
        assert_eq!(read(Some(2), &with("\"3\"")), None);
    }
}
