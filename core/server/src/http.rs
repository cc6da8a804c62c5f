//! The HTTP API, and its description.
//!
//! In the order in which a request meets them:
//!
//! - [`listen`]: connections, and how long a caller may take
//! - [`watch`]: an id, a span, a measurement, a time limit, and an answer even when a handler panics
//! - [`auth`]: who calls, and whether the role allows it
//! - [`idempotency`]: a POST that is sent again happens once
//! - [`body`], [`query`] and [`page`]: what a request carries, read strictly
//! - the resources, one file each: [`customers`], [`merges`], [`relationships`], [`consents`], [`export`],
//!   [`receiving`] and [`interactions`], [`channels`], [`messages`], [`inbound`], [`outbox`], [`metrics`],
//!   [`observations`], [`record_types`], [`records`], [`plugins`], [`tokens`], [`audit`]
//! - [`problem`]: what a caller is told when something cannot be done
//! - [`telemetry`] and [`health`]: for those who run the server
//!
//! What a request carries that cannot be read (no JSON, a wrong type, an unknown field or parameter) is answered with
//! 400; what can be read but breaks a rule, with 422.
//!
//! Architecture invariant: a handler names the roles it needs in its signature, and no handler parses a body or a
//! query but through [`body`], [`query`] and [`page`].

mod audit;
mod auth;
mod body;
mod channels;
mod consents;
mod customers;
mod export;
mod health;
mod idempotency;
mod inbound;
mod interactions;
mod listen;
mod merges;
mod messages;
mod metrics;
mod observations;
mod outbox;
mod page;
mod plugins;
mod problem;
mod query;
mod receiving;
mod record_types;
mod records;
mod relationships;
mod telemetry;
mod tokens;
mod watch;

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use regard_model::outbox::KEY_BYTES_MAX;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use auth::Principal;
pub use listen::serve;

use crate::app::App;
use idempotency::InFlight;
use problem::{PROBLEM_JSON, ProblemDocument};
use telemetry::Telemetry;
use watch::Watch;

/// Where the API begins.
const API: &str = "/api/v1";
/// Where the description is served.
const DESCRIPTION: &str = "/openapi.json";
/// Name of the security scheme in the description.
const BEARER: &str = "bearer";
/// Calls that need no token: the connector checks a webhook's signature, a supervisor has no token.
const OPEN_CALLS: [&str; 3] = ["/api/v1/inbound/{channel}", "/healthz", "/readyz"];

/// What handlers work with: the app, and what only HTTP needs.
pub(crate) struct Site {
    app: Arc<App>,
    telemetry: Arc<Telemetry>,
    in_flight: InFlight,
}

impl Deref for Site {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

/// The routes over `app`.
///
/// A caller in the same process may put a [`Principal`] into a request's extensions instead of sending a token.
pub fn router(app: Arc<App>) -> Router {
    let site = Arc::new(Site { app, telemetry: Arc::new(Telemetry::new()), in_flight: InFlight::default() });
    let (router, description) = assemble(&site).split_for_parts();
    let description = complete(description);
    let document: Arc<str> = serde_json::to_string_pretty(&description).unwrap_or_default().into();
    let describe = get(move || {
        let document = document.clone();
        async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], document.to_string()) }
    });
    router
        .route(&format!("{API}{DESCRIPTION}"), describe)
        .merge(SwaggerUi::new("/docs").url(DESCRIPTION, description))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(from_fn_with_state(Arc::new(Watch::new(site.telemetry.clone(), long_routes())), watch::watch))
        .with_state(site)
}

/// The description of the API, in OpenAPI 3.1.
pub fn openapi() -> OpenApi {
    complete(routes_of_api().into_openapi())
}

/// The routes with what stands around them.
fn assemble(site: &Arc<Site>) -> OpenApiRouter<Arc<Site>> {
    let once = || from_fn_with_state(site.clone(), idempotency::once);
    outside(quick().layer(once()), slow().layer(once()), unkeyed())
}

/// The routes alone, which is all that the description needs.
fn routes_of_api() -> OpenApiRouter<Arc<Site>> {
    outside(quick(), slow(), unkeyed())
}

fn outside(
    quick: OpenApiRouter<Arc<Site>>,
    slow: OpenApiRouter<Arc<Site>>,
    unkeyed: OpenApiRouter<Arc<Site>>,
) -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new()
        .nest(API, quick.merge(slow).merge(unkeyed))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(telemetry::scrape))
}

/// Calls that answer within the time that people wait.
fn quick() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new()
        .merge(customers::routes())
        .merge(merges::routes())
        .merge(relationships::routes())
        .merge(consents::routes())
        .merge(interactions::routes())
        .merge(channels::routes())
        .merge(messages::routes())
        .merge(outbox::routes())
        .merge(metrics::routes())
        .merge(observations::routes())
        .merge(record_types::routes())
        .merge(records::routes())
        .merge(plugins::routes())
        .merge(tokens::routes())
        .merge(audit::routes())
}

/// The routes of [`slow`], as requests match them.
fn long_routes() -> HashSet<String> {
    slow().into_openapi().paths.paths.keys().map(|path| format!("{API}{path}")).collect()
}

/// Calls that work for as long as there is something to do.
fn slow() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().merge(metrics::evaluating()).merge(plugins::loading()).merge(export::routes())
}

/// Calls for which `Idempotency-Key` means nothing: items and webhooks carry their own keys, and a secret is not kept.
fn unkeyed() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::new().merge(receiving::routes()).merge(inbound::routes()).merge(tokens::creating())
}

/// Adds what holds for every call: the title, the token, the form of a refusal.
fn complete(collected: OpenApi) -> OpenApi {
    let mut description = OpenApiBuilder::from(collected)
        .info(
            InfoBuilder::new()
                .title("Regard")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(concat!(
                    "Customers, channels, interactions and metrics. Lists take `limit` and `cursor` and answer with ",
                    "`items` and `next_cursor`. Refusals are problem details (RFC 9457). A POST with `Idempotency-Key` ",
                    "happens once.",
                )))
                .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()))
                .build(),
        )
        .build();
    let components = description.components.get_or_insert_default();
    let mut schemas = vec![(ProblemDocument::name().into_owned(), ProblemDocument::schema())];
    ProblemDocument::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.add_security_scheme(
        BEARER,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("A token made with `regard token create` or POST /api/v1/tokens"))
                .build(),
        ),
    );
    let unkeyed = unkeyed().into_openapi().paths.paths;
    for (path, item) in &mut description.paths.paths {
        let is_open = OPEN_CALLS.contains(&path.as_str());
        let is_unkeyed = path.strip_prefix(API).is_none_or(|path| unkeyed.contains_key(path));
        if let (Some(post), false) = (&mut item.post, is_unkeyed) {
            post.parameters.get_or_insert_default().push(key_parameter().into());
        }
        for operation in operations(item) {
            if !is_open {
                operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]);
            }
            refuse_with_problems(operation);
        }
    }
    description
}

/// The header of calls that can be sent again.
fn key_parameter() -> Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some("Sent again under the same key, the call is answered as before and happens once"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(KEY_BYTES_MAX)).build()))
        .build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().filter_map(Option::as_mut)
}

/// Every refusal of `operation` is a problem document, those that it names and all others.
fn refuse_with_problems(operation: &mut Operation) {
    let problem =
        || ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDocument::name()))).build();
    for (status, response) in &mut operation.responses.responses {
        if let (true, utoipa::openapi::RefOr::T(response)) = (status.starts_with('4'), response) {
            response.content.insert(PROBLEM_JSON.to_owned(), problem().into());
        }
    }
    let refusal = ResponseBuilder::new()
        .description("Why the call was refused")
        .content(PROBLEM_JSON, problem())
        .build();
    operation.responses.responses.insert("default".to_owned(), refusal.into());
}
