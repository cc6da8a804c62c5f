//! Installed plugins: `/api/v1/plugins`.
//!
//! - `parcel`: what a call that installs a plugin brings, read and verified

mod parcel;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use regard_engine::StoreError;
use regard_host::{Grants, LoadError, PackageError, PluginStatus, Service};
use regard_model::{Metric, PluginRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Observer, Operator};
use super::body::Input;
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::{Problem, Trouble};
use super::query::Target;
use super::{Site, audit};
use crate::plugins::{self, Install};
use parcel::Parcel;

/// Largest body that installs a plugin, in bytes: the largest component that the host takes, 64 MiB, grows by a third in
/// base 64, and there is a manifest beside it.
pub const PLUGIN_BODY_BYTES_MAX: usize = 96 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, remove)).routes(routes!(disable))
}

/// Apart from the others, because a component is compiled when it is loaded.
pub(super) fn loading() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(install)).routes(routes!(enable))
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

/// An installed plugin and how it does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PluginView {
    #[serde(flatten)]
    record: PluginRecord,
    /// Whether it is called: `enabled`, `disabled`, `quarantined`, or `not-loaded` when it could not be loaded.
    service: String,
    /// Why it is in quarantine.
    quarantine: Option<String>,
    /// Whether its manifest asks for more than was granted, as after an upgrade.
    asks_for_more: bool,
    /// JSON Schema of its configuration.
    #[schema(value_type = Option<Object>)]
    config_schema: Option<Value>,
    /// The metrics that it evaluates.
    metrics: Vec<Metric>,
}

impl PluginView {
    fn new(record: PluginRecord, status: Option<PluginStatus>) -> Self {
        let Some(status) = status else {
            let service = if record.enabled { "not-loaded" } else { "disabled" }.to_owned();
            return Self {
                record,
                service,
                quarantine: None,
                asks_for_more: false,
                config_schema: None,
                metrics: Vec::new(),
            };
        };
        let (service, quarantine) = match status.service {
            Service::Enabled => ("enabled", None),
            Service::Disabled => ("disabled", None),
            Service::Quarantined(reason) => ("quarantined", Some(reason)),
        };
        Self {
            record,
            service: service.to_owned(),
            quarantine,
            asks_for_more: status.asks_for_more,
            config_schema: Some(status.config_schema),
            metrics: status.metrics,
        }
    }
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
    let view = |record: PluginRecord| {
        let status = site.host.status(&record.id);
        PluginView::new(record, status)
    };
    Ok(Json(Page { items: page.items.into_iter().map(view).collect(), next_cursor: page.next_cursor }))
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

/// Installs a plugin, or replaces an earlier version, and puts it into service.
#[utoipa::path(
    post, path = "/plugins", tag = "plugins", operation_id = "installPlugin",
    request_body = PluginInput,
    responses(
        (status = 201, description = "The plugin", body = PluginRecord),
        (status = 422, description = "Manifest, code, grants and signature do not agree; nothing was changed"),
    ),
)]
async fn install(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Input(input): Input<PluginInput, PLUGIN_BODY_BYTES_MAX>,
) -> Result<(StatusCode, Json<PluginRecord>), Problem> {
    let PluginInput { manifest, files, archive, signature, signed_by, .. } = input;
    let parcel = Parcel { manifest, files, archive, signature, signed_by };
    let (package, signed_by) = parcel.open(&site, &who).await?;
    let install = Install { package, config: input.config, grants: input.grants, signed_by };
    let record = plugins::install(&site.app, install, &who.actor()).await.map_err(load_problem)?;
    Ok((StatusCode::CREATED, Json(record)))
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

/// Removes a plugin. What it observed and sent stays.
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
    Ok(Json(PluginView::new(find(site, id).await?, site.host.status(id))))
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
