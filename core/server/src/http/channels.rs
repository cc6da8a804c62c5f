//! Connected endpoints: `/api/v1/channels`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use regard_engine::ports::Channels as _;
use regard_model::channel::{NewChannel, check_core_settings};
use regard_model::{Attributes, Channel, ChannelId, Invalid};
use regard_store::ChannelChange;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Needs, Operator, Reader};
use super::body::Input;
use super::page::{Listing, NoFilter, Page, PageParams};
use super::problem::{Problem, Trouble};
use super::query::Target;
use super::{Site, audit};

pub(super) fn routes() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, change))
}

/// A channel to connect.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewChannel)]
struct ChannelInput {
    /// Unique name, a slug such as `shop`; interactions name their channel by it.
    name: String,
    /// Kind, such as `email`, `web`, `shop`; consent speaks of kinds.
    kind: String,
    /// The connector plugin that serves it; left out for channels that are only imported or written by hand.
    connector: Option<String>,
    /// What the connector needs to know: addresses, options. No secrets.
    #[serde(default)]
    settings: Attributes,
    /// Secrets by name; sealed at rest and never shown again.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

/// A change of a channel; what is left out stays as it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChannelChange)]
struct ChannelChangeInput {
    /// Another connector plugin; `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    connector: Option<Option<String>>,
    /// Merge patch of one level: `null` removes a setting, everything else sets it.
    #[serde(default)]
    settings: Attributes,
    /// Secrets to set.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// Whether it takes in and sends out.
    enabled: Option<bool>,
}

/// Channels, by name. Secrets are never shown.
#[utoipa::path(
    get, path = "/channels", tag = "channels", operation_id = "listChannels",
    params(PageParams),
    responses((status = 200, description = "A page of channels", body = Page<Channel>)),
)]
async fn list(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    listing: Listing<NoFilter, String>,
) -> Result<Json<Page<Channel>>, Problem> {
    let mut channels = site.store.list_channels().await?;
    channels.sort_by(|left, right| left.name.cmp(&right.name));
    channels.retain(|channel| listing.after.as_ref().is_none_or(|after| channel.name > *after));
    Ok(Json(listing.page(channels, |channel| channel.name.clone())))
}

/// Connects a channel.
#[utoipa::path(
    post, path = "/channels", tag = "channels", operation_id = "createChannel",
    request_body = ChannelInput,
    responses(
        (status = 201, description = "The channel", body = Channel, headers(("location" = String, description = "Where it is"))),
        (status = 409, description = "There is a channel of this name"),
    ),
)]
async fn create(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Input(input): Input<ChannelInput>,
) -> Result<impl IntoResponse, Problem> {
    check_connector(&site, input.connector.as_deref())?;
    let settings = match input.connector.as_deref() {
        Some(connector) => complete(&site, connector, input.settings)?,
        None => input.settings,
    };
    let new = NewChannel {
        name: input.name,
        kind: input.kind,
        connector: input.connector,
        settings,
        secrets: input.secrets.into_iter().collect(),
    };
    let channel = site.store.create_channel(checked(new)?).await?;
    audit::record(&site, &who, "channel.created", subject(&channel), [("name", json!(channel.name))]).await;
    let location = format!("/api/v1/channels/{}", channel.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(channel)))
}

/// One channel.
#[utoipa::path(
    get, path = "/channels/{id}", tag = "channels", operation_id = "getChannel",
    params(("id" = String, Path, description = "The channel's id or its name")),
    responses((status = 200, description = "The channel", body = Channel)),
)]
async fn get(
    _: Needs<Reader>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
) -> Result<Json<Channel>, Problem> {
    find(&site, &id).await.map(Json)
}

/// Changes a channel.
#[utoipa::path(
    patch, path = "/channels/{id}", tag = "channels", operation_id = "changeChannel",
    params(("id" = String, Path, description = "The channel's id or its name")),
    request_body = ChannelChangeInput,
    responses((status = 200, description = "The channel after the change", body = Channel)),
)]
async fn change(
    who: Needs<Operator>,
    State(site): State<Arc<Site>>,
    Target(id): Target<String>,
    Input(input): Input<ChannelChangeInput>,
) -> Result<Json<Channel>, Problem> {
    check_connector(&site, input.connector.as_ref().and_then(Option::as_deref))?;
    let channel = find(&site, &id).await?;
    let details = [
        ("connector", json!(input.connector)),
        ("settings", json!(input.settings.0.keys().collect::<Vec<_>>())),
        ("secrets", json!(input.secrets.keys().collect::<Vec<_>>())),
        ("enabled", json!(input.enabled)),
    ];
    let change = ChannelChange {
        settings: changed_settings(&site, &channel, input.connector.as_ref(), input.settings)?,
        enabled: input.enabled,
        connector: input.connector,
        secrets: input.secrets.into_iter().collect(),
    };
    let changed = site.store.change_channel(channel.id, change).await?;
    audit::record(&site, &who, "channel.changed", subject(&changed), details).await;
    Ok(Json(changed))
}

/// The channel of this id or name.
pub(super) async fn find(site: &Site, id_or_name: &str) -> Result<Channel, Problem> {
    let found = match id_or_name.parse::<ChannelId>() {
        Ok(id) => site.store.find_channel(id).await?,
        Err(_) => site.store.by_name(id_or_name).map(|channel| Channel::clone(&channel)),
    };
    found.ok_or_else(|| Problem::not_found("channel", id_or_name))
}

/// A connector that is not there would leave every message waiting without a word.
fn check_connector(site: &Site, connector: Option<&str>) -> Result<(), Problem> {
    use regard_engine::ports::Connectors as _;
    match connector {
        Some(plugin) if site.host.features(plugin).is_none() => {
            let told = format!(
                "there is no connector `{plugin}` in service; GET /api/v1/plugins lists what is installed"
            );
            Err(Problem::new(Trouble::Invalid, told.clone()).at("/connector", told))
        }
        _ => Ok(()),
    }
}

/// Settings as the connector's manifest describes them, its defaults filled in.
fn complete(site: &Site, connector: &str, settings: Attributes) -> Result<Attributes, Problem> {
    let Some(status) = site.host.status(connector) else { return Ok(settings) };
    status.manifest.channel.complete_channel(settings).map_err(|faults| {
        let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let told = format!("connector `{connector}` does not take these settings: {}", words.join("; "));
        faults.into_iter().fold(Problem::new(Trouble::Invalid, told), |problem, fault| {
            problem.at(format!("/settings{}", fault.pointer), fault.problem)
        })
    })
}

/// The settings to change, so that what comes of it is complete again for the connector that serves the channel then.
fn changed_settings(
    site: &Site,
    channel: &Channel,
    connector: Option<&Option<String>>,
    mut settings: Attributes,
) -> Result<Attributes, Problem> {
    let serves = connector.unwrap_or(&channel.connector);
    if let Some(serves) = serves.as_deref().filter(|_| connector.is_some() || !settings.is_empty()) {
        let mut after = channel.settings.clone();
        for (name, value) in &settings.0 {
            match value.is_null() {
                true => drop(after.0.remove(name)),
                false => after.set(name, value.clone()),
            }
        }
        let complete = complete(site, serves, after.clone())?;
        settings.0.extend(complete.0.into_iter().filter(|(name, _)| !after.0.contains_key(name)));
    }
    check_core_settings(&settings)?;
    Ok(settings)
}

/// The model calls every set of names attributes; a channel's are called settings.
fn checked(new: NewChannel) -> Result<NewChannel, Invalid> {
    new.checked()
        .map_err(|invalid| Invalid { field: invalid.field.replacen("attributes", "settings", 1), ..invalid })
}

/// Tells a field that is `null` from one that is left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn subject(channel: &Channel) -> String {
    format!("channel:{}", channel.id)
}
