//! Types of records that plugins declare: `/api/v1/record-types`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regard_model::RecordType;
use regard_model::record::RecordDeclaration;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Site;
use super::auth::{Needs, Reader};
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A type of records.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RecordType)]
struct TypeView {
    #[serde(flatten)]
    declaration: RecordDeclaration,
    /// The plugin that declares it, or did before it was removed.
    plugin: String,
}

/// Types of records, by name; those of removed plugins as long as there are records of them.
#[utoipa::path(
    get, path = "/record-types", tag = "records", operation_id = "listRecordTypes",
    params(PageParams),
    responses((status = 200, description = "A page of types", body = Page<TypeView>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    listing: Listing<NoFilter, String>,
) -> Result<Json<Page<TypeView>>, Problem> {
    let mut kinds = site.store.list_record_types().await?;
    kinds.sort_by(|left, right| left.name().cmp(right.name()));
    kinds.retain(|kind| listing.after.as_deref().is_none_or(|after| kind.name() > after));
    let page = listing.page(kinds, |kind| kind.name().to_owned());
    let view = |kind: &Arc<RecordType>| TypeView {
        declaration: kind.declaration().clone(),
        plugin: kind.plugin().to_owned(),
    };
    Ok(Json(Page { items: page.items.iter().map(view).collect(), next_cursor: page.next_cursor }))
}

/// The type called `name`.
pub(super) async fn find(site: &Site, name: &str) -> Result<Arc<RecordType>, Problem> {
    site.store.find_record_type(name).await?.ok_or_else(|| Problem::not_found("record type", name))
}
