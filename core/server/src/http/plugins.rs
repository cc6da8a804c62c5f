//! Installed plugins: `/api/v1/plugins`.
//!
//! - `parcel`: what a call that installs a plugin brings, read and verified
//! - `view`: a plugin as callers see it

mod parcel;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use regard_engine::{PluginError, StoreError};
use regard_host::{Grants, LoadError, PackageError};
use regard_model::{PluginRecord, PluginVersion};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Observer, Operator};
use super::body::Input;
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::{Problem, Trouble};
use super::query::Target;
use super::{Site, audit};
use crate::plugins::{self, Allow, Install, Installed, Refused};
use parcel::Parcel;
use view::PluginView;

/// Largest body that installs a plugin, in bytes: the largest component that the host takes, 64 MiB, grows by a third in
/// base 64, and there is a manifest beside it.
pub const PLUGIN_BODY_BYTES_MAX: usize = 96 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, remove))
        .routes(routes!(versions))
        .routes(routes!(disable))
        .routes(routes!(decline))
}

/// Apart from the others, because a component is compiled when it is loaded.
pub(super) fn loading() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new()
        .routes(routes!(install))
        .routes(routes!(enable))
        .routes(routes!(grant))
        .routes(routes!(roll_back))
}

/// A plugin to install or to upgrade: either `manifest` and `files`, or an `archive`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPlugin)]
struct PluginInput {
    /// `plugin.toml`, as text.
    manifest: Option<String>,
    /// The code: file names, with `/` between folders, and contents in base 64.
    files: Option<BTreeMap<String, String>>,
    /// A package, the bytes of a `.regard` file in base 64.
    archive: Option<String>,
    /// The archive's signature, the text of its `.minisig` file.
    signature: Option<String>,
    /// The id of the key that must have signed the archive; with any other, or with none, the call is refused.
    signed_by: Option<String>,
    /// Its configuration; left out, what an earlier version had.
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
    /// What it is allowed; left out, what an earlier version had, or else what its manifest asks for except private
    /// addresses.
    #[schema(value_type = Option<Object>)]
    grants: Option<Grants>,
}

/// What a plugin is to be allowed: `all`, or `grants`, or what it has with further `private_hosts`.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGrants)]
struct GrantsInput {
    /// All that the waiting version asks for, or else the one that serves, except private addresses.
    #[serde(default)]
    all: bool,
    /// Exactly what it is allowed from now on, with the keys of the manifest's `[permissions]`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    grants: Option<Grants>,
    /// Private or loopback addresses that it may call as well, as host:port.
    #[serde(default)]
    private_hosts: Vec<String>,
}

/// Which version to go back to.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RollBack)]
struct RollBackInput {
    /// An earlier version that is kept; left out, the one that served before.
    #[serde(default)]
    version: Option<String>,
}

/// Installed plugins, by id.
#[utoipa::path(
    get, path = "/plugins", tag = "plugins", operation_id = "listPlugins",
    params(PageParams),
    responses((status = 200, description = "A page of plugins", body = Page<PluginView>)),
)]
async fn list(
    _: Needs<Observer>,
    State(site): State<Arc<Site>>,
    listing: Listing<NoFilter, String>,
) -> Result<Json<Page<PluginView>>, Problem> {
    let mut records = site.store.list_plugins().await?;
    records.sort_by(|left, right| left.id.cmp(&right.id));
    records.retain(|record| listing.after.as_ref().is_none_or(|after| record.id > *after));
    let page = listing.page(records, |record| record.id.clone());
    let mut items = Vec::with_capacity(page.items.len());
    for record in page.items {
        items.push(PluginView::new(&site, record).await?);
    }
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

/// One installed plugin.
#[utoipa::path(
    get, path = "/plugins/{id}", tag = "plugins", operation_id = "getPlugin",
    params(("id" = String, Path, description = "The plugin")),
    responses((status = 200, description = "The plugin", body = PluginView)),
)]
async fn get(
    _: Needs<Observer>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
) -> Result<Json<PluginView>, Problem> {
    view(&site, &id).await
}

/// Installs a plugin, or replaces an earlier version, and puts it into service. A version that asks for more than was
/// granted waits for consent instead, while the earlier one goes on serving.
#[utoipa::path(
    post, path = "/plugins", tag = "plugins", operation_id = "installPlugin",
    request_body = PluginInput,
    responses(
        (status = 201, description = "The plugin, which serves now", body = PluginView),
        (status = 202, description = "The plugin; the new version waits for consent", body = PluginView),
        (status = 409, description = "Another plugin declares a record type of the same name, or a stored record does not fit; nothing was changed"),
        (status = 422, description = "Manifest, code, grants and signature do not agree, or the migration failed; nothing was changed"),
    ),
)]
async fn install(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Input(input): Input<PluginInput, PLUGIN_BODY_BYTES_MAX>,
) -> Result<(StatusCode, Json<PluginView>), Problem> {
    let PluginInput { manifest, files, archive, signature, signed_by, .. } = input;
    let parcel = Parcel { manifest, files, archive, signature, signed_by };
    let (package, signed_by) = parcel.open(&site, &who).await?;
    let install = Install { package, config: input.config, grants: input.grants, signed_by };
    let installed = plugins::install(&site.app, install, &who.actor()).await.map_err(load_problem)?;
    let (status, record) = match installed {
        Installed::Serves(record) => (StatusCode::CREATED, record),
        Installed::Waits(record) => (StatusCode::ACCEPTED, record),
    };
    Ok((status, Json(PluginView::new(&site, record).await?)))
}

/// Sets what a plugin is allowed. A waiting version whose request is covered now comes into service.
#[utoipa::path(
    post, path = "/plugins/{id}/grants", tag = "plugins", operation_id = "grantPlugin",
    params(("id" = String, Path, description = "The plugin")),
    request_body = GrantsInput,
    responses((status = 200, description = "The plugin", body = PluginView)),
)]
async fn grant(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
    Input(input): Input<GrantsInput>,
) -> Result<Json<PluginView>, Problem> {
    let allow = match (input.all, input.grants) {
        (true, Some(_)) => {
            let told = "`all` and `grants` exclude each other";
            return Err(Problem::new(Trouble::Invalid, told).at("/grants", told));
        }
        (true, None) => Allow::All,
        (false, Some(grants)) => Allow::Exactly(grants),
        (false, None) if input.private_hosts.is_empty() => {
            let told = "says nothing: give `all`, `grants` or `private_hosts`";
            return Err(Problem::new(Trouble::Invalid, told));
        }
        (false, None) => Allow::AsBefore,
    };
    let actor = who.actor();
    let granted = plugins::grant(&site.app, &id, allow, &input.private_hosts, &actor);
    let record = granted.await.map_err(load_problem)?;
    Ok(Json(PluginView::new(&site, record).await?))
}

/// Forgets the version that waits for consent.
#[utoipa::path(
    post, path = "/plugins/{id}/decline", tag = "plugins", operation_id = "declinePlugin",
    params(("id" = String, Path, description = "The plugin")),
    responses(
        (status = 200, description = "The plugin", body = PluginView),
        (status = 409, description = "No version waits"),
    ),
)]
async fn decline(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
) -> Result<Json<PluginView>, Problem> {
    let record = plugins::decline(&site.app, &id, &who.actor()).await.map_err(load_problem)?;
    Ok(Json(PluginView::new(&site, record).await?))
}

/// Puts an earlier version back into service, with the configuration that it had.
#[utoipa::path(
    post, path = "/plugins/{id}/rollback", tag = "plugins", operation_id = "rollBackPlugin",
    params(("id" = String, Path, description = "The plugin")),
    request_body = RollBackInput,
    responses(
        (status = 200, description = "The plugin", body = PluginView),
        (status = 409, description = "There is no such earlier version"),
        (status = 422, description = "The version that serves cannot leave what it keeps as the earlier one expects it; nothing was changed"),
    ),
)]
async fn roll_back(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
    Input(input): Input<RollBackInput>,
) -> Result<Json<PluginView>, Problem> {
    let to = input.version.as_deref();
    let record = plugins::roll_back(&site.app, &id, to, &who.actor()).await.map_err(load_problem)?;
    Ok(Json(PluginView::new(&site, record).await?))
}

/// The versions of a plugin that are kept: one that waits first, then the one that serves, then earlier ones.
#[utoipa::path(
    get, path = "/plugins/{id}/versions", tag = "plugins", operation_id = "listPluginVersions",
    params(("id" = String, Path, description = "The plugin")),
    responses((status = 200, description = "The versions", body = Page<PluginVersion>)),
)]
async fn versions(
    _: Needs<Observer>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
) -> Result<Json<Page<PluginVersion>>, Problem> {
    find(&site, &id).await?;
    // So few are kept that they are one page.
    Ok(Json(Page { items: site.store.plugin_versions(&id).await?, next_cursor: None }))
}

/// Puts a plugin into service, and ends a quarantine.
#[utoipa::path(
    post, path = "/plugins/{id}/enable", tag = "plugins", operation_id = "enablePlugin",
    params(("id" = String, Path, description = "The plugin")),
    responses((status = 200, description = "The plugin", body = PluginView)),
)]
async fn enable(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
) -> Result<Json<PluginView>, Problem> {
    let record = find(&site, &id).await?;
    if !site.host.set_enabled(&id, true) {
        plugins::load(&site.app, &record).await.map_err(load_problem)?;
    }
    site.store.set_plugin_enabled(&id, true).await?;
    site.store.set_plugin_fault(&id, None).await?;
    site.pipeline.wake();
    audit::record(&site, &who, "plugin.enabled", subject(&id), []).await;
    view(&site, &id).await
}

/// Takes a plugin out of service; nothing of it is lost.
#[utoipa::path(
    post, path = "/plugins/{id}/disable", tag = "plugins", operation_id = "disablePlugin",
    params(("id" = String, Path, description = "The plugin")),
    responses((status = 200, description = "The plugin", body = PluginView)),
)]
async fn disable(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
) -> Result<Json<PluginView>, Problem> {
    find(&site, &id).await?;
    site.store.set_plugin_enabled(&id, false).await?;
    site.host.set_enabled(&id, false);
    audit::record(&site, &who, "plugin.disabled", subject(&id), []).await;
    view(&site, &id).await
}

/// Removes a plugin. What it observed and sent stays, and so do the records of its types.
#[utoipa::path(
    delete, path = "/plugins/{id}", tag = "plugins", operation_id = "removePlugin",
    params(("id" = String, Path, description = "The plugin")),
    responses((status = 204, description = "The plugin is gone")),
)]
async fn remove(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
) -> Result<StatusCode, Problem> {
    let record = find(&site, &id).await?;
    site.store.remove_plugin(&id).await?;
    site.host.remove(&id);
    let details = [("version", json!(record.version)), ("digest", json!(record.digest))];
    audit::record(&site, &who, "plugin.removed", subject(&id), details).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(site: &Site, id: &str) -> Result<PluginRecord, Problem> {
    site.store.find_plugin(id).await?.ok_or_else(|| Problem::not_found("plugin", id))
}

async fn view(site: &Site, id: &str) -> Result<Json<PluginView>, Problem> {
    Ok(Json(PluginView::new(site, find(site, id).await?).await?))
}

fn subject(id: &str) -> String {
    format!("plugin:{id}")
}

impl From<PackageError> for Problem {
    fn from(error: PackageError) -> Self {
        let told = error.to_string();
        let pointer = match error {
            PackageError::Manifest(_) => "/manifest",
            PackageError::File { .. } => "/files",
        };
        Self::new(Trouble::Invalid, told.clone()).at(pointer, told)
    }
}

/// Why a plugin could not be loaded. Whatever is wrong with the plugin is the caller's to know; the rest is not.
fn load_problem(error: anyhow::Error) -> Problem {
    let error = match error.downcast::<StoreError>() {
        Ok(error) => return error.into(),
        Err(error) => error,
    };
    let error = match error.downcast::<PackageError>() {
        Ok(error) => return error.into(),
        Err(error) => error,
    };
    let error = match error.downcast::<Refused>() {
        Ok(refused) => return Problem::new(Trouble::Conflict, refused.to_string()),
        Err(error) => error,
    };
    let error = match error.downcast::<PluginError>() {
        Ok(error) => return Problem::new(Trouble::Invalid, error.to_string()),
        Err(error) => error,
    };
    match error.downcast::<LoadError>() {
        Ok(error) => {
            let told = error.to_string();
            let pointer = match error {
                LoadError::Manifest(_) => "/manifest",
                LoadError::Config { .. } => "/config",
                LoadError::Code { .. } | LoadError::Call(_) => "/files",
            };
            Problem::new(Trouble::Invalid, told.clone()).at(pointer, told)
        }
        Err(error) => Problem::internal(format!("{error:#}")),
    }
}
