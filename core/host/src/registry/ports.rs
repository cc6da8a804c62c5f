//! The engine's ports, implemented for all loaded plugins.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use regard_engine::ports::{
    Accumulator, Connectors, Effects, Evaluators, Event, Features, Handed, Hooks, Outbound, Outcome, Polled,
    Subscription, Webhook, WebhookReply,
};
use regard_engine::{Fault, PluginError};
use regard_model::{Channel, Metric, Schedule, schedule};
use serde_json::Value;

use super::loaded::named;
use super::{Host, Loaded};
use crate::call::{CallContext, Role};
use crate::kpi;
use crate::manifest::{Capability, CustomerFields, Manifest};
use crate::moved;
use crate::runtime::Failure;

impl Host {
    /// The plugin, when it has the capability and is in service, with a call that keeps this version of it in service.
    async fn serving(
        &self,
        plugin: &str,
        role: Role,
        call: &'static str,
    ) -> Result<(Arc<Loaded>, CallContext), PluginError> {
        let patience = self.0.limits.interactive.call;
        let lease = self.0.gates.pass(plugin, patience).await.ok_or_else(|| {
            let message = "another version is taking over what the plugin keeps";
            named(plugin, role, call, Failure::new(Fault::Throttled, message))
        })?;
        let out = |message: String| named(plugin, role, call, Failure::new(Fault::OutOfService, message));
        let loaded = self.find(plugin).ok_or_else(|| out("no plugin of this id is installed".to_owned()))?;
        let capability = match role {
            Role::Connector => Capability::Connector,
            Role::Hook => Capability::Hook,
            _ => Capability::Kpi,
        };
        if !loaded.package.manifest().can(capability) {
            return Err(out(format!("the plugin is no {capability}")));
        }
        loaded.admit(role, call)?;
        let context = CallContext::new(loaded.scope.clone(), role, call).leased(lease);
        Ok((loaded, context))
    }

    /// The connector of a channel, with a call in the channel's name, and the channel as this version of it sees it.
    async fn connector<'a>(
        &self,
        channel: &'a Channel,
        call: &'static str,
    ) -> Result<(Arc<Loaded>, CallContext, Cow<'a, Channel>), PluginError> {
        let plugin = channel.connector.as_deref().ok_or_else(|| {
            let message = format!("channel {} has no connector", channel.name);
            named("", Role::Connector, call, Failure::new(Fault::OutOfService, message))
        })?;
        let (loaded, context) = self.serving(plugin, Role::Connector, call).await?;
        let seen = loaded.package.manifest().channel.completed(channel);
        Ok((loaded, context.on(channel), seen))
    }

    fn evaluator(&self, metric: &str) -> Option<(Arc<Loaded>, Metric)> {
        self.0.plugins.read().values().find_map(|loaded| {
            let described = loaded.metrics.iter().find(|described| described.name == metric)?;
            Some((loaded.clone(), described.clone()))
        })
    }
}

/// Whether the hook's manifest wants the event: the streams narrow to single kinds, the manifest also to families.
fn wanted(manifest: &Manifest, event: &Event) -> bool {
    use crate::manifest::EventKind;
    // What is due is for the plugin whose schedule it is, and for no other one.
    if let Event::InteractionAppended(interaction) = event
        && interaction.kind.as_str() == schedule::DUE
    {
        return interaction.attributes.get("plugin").and_then(Value::as_str) == Some(&manifest.id);
    }
    manifest.subscribe.iter().any(|subscription| match event {
        Event::InteractionAppended(interaction) => subscription.wants_interaction(interaction.kind.as_str()),
        Event::CustomerChanged(_) => subscription.event == EventKind::CustomerChanged,
        Event::MetricObserved(observation) => subscription.wants_metric(&observation.metric),
    })
}

/// The event as a plugin sees it that may see these fields of customers.
fn shown(event: &Event, fields: &CustomerFields) -> Event {
    match event {
        Event::CustomerChanged(customer) => Event::CustomerChanged(fields.show(customer).into_owned()),
        event => event.clone(),
    }
}

#[async_trait]
impl Hooks for Host {
    fn subscribers(&self) -> Vec<(String, Vec<Subscription>)> {
        let plugins = self.0.plugins.read();
        let hooks =
            plugins.iter().filter(|(_, loaded)| !loaded.subscriptions.is_empty() && loaded.in_service());
        hooks.map(|(id, loaded)| (id.clone(), loaded.subscriptions.clone())).collect()
    }

    fn schedules(&self) -> Vec<(String, Vec<Schedule>)> {
        let plugins = self.0.plugins.read();
        let scheduled =
            plugins.iter().filter(|(_, loaded)| !loaded.schedules.is_empty() && loaded.in_service());
        scheduled.map(|(id, loaded)| (id.clone(), loaded.schedules.clone())).collect()
    }

    async fn handle(&self, plugin: &str, events: &[Event]) -> Result<Effects, PluginError> {
        let (loaded, call) = self.serving(plugin, Role::Hook, "handle").await?;
        let manifest = loaded.package.manifest();
        let fields = loaded.scope.permissions.fields_of_events();
        let kept: Vec<Event>;
        let events = if fields.is_all() && events.iter().all(|event| wanted(manifest, event)) {
            events
        } else {
            let wanted = events.iter().filter(|event| wanted(manifest, event));
            kept = wanted.map(|event| shown(event, &fields)).collect();
            &kept
        };
        if events.is_empty() {
            return Ok(Effects { origin: plugin.to_owned(), ..Effects::default() });
        }
        let started = Instant::now();
        let ended = loaded.program.handle(call, events).await;
        loaded.moved("handle", moved::events(events), ended.as_ref().map_or(0, moved::effects));
        loaded.ended(Role::Hook, "handle", started, ended)
    }
}

#[async_trait]
impl Connectors for Host {
    fn features(&self, plugin: &str) -> Option<Features> {
        self.find(plugin).filter(|loaded| loaded.in_service())?.features.clone()
    }

    async fn receive(
        &self,
        channel: &Channel,
        webhook: Webhook,
    ) -> Result<(Vec<Handed>, WebhookReply, Effects), PluginError> {
        let (loaded, call, channel) = self.connector(channel, "receive").await?;
        let started = Instant::now();
        let given = moved::channel(&channel) + moved::webhook(&webhook);
        let ended = loaded.program.receive(call, &channel, webhook).await;
        let answered = ended.as_ref().map_or(0, |((items, reply), effects)| {
            moved::handed(items) + moved::reply(reply) + moved::effects(effects)
        });
        loaded.moved("receive", given, answered);
        let ((items, reply), effects) = loaded.ended(Role::Connector, "receive", started, ended)?;
        Ok((items, reply, effects))
    }

    async fn poll(
        &self,
        channel: &Channel,
        cursor: Option<Vec<u8>>,
        limit: u32,
    ) -> Result<(Polled, Effects), PluginError> {
        let (loaded, call, channel) = self.connector(channel, "poll").await?;
        let started = Instant::now();
        let given = moved::channel(&channel) + cursor.as_ref().map_or(0, Vec::len);
        let ended = loaded.program.poll(call, &channel, cursor, limit).await;
        let answered = ended.as_ref().map_or(0, |(page, effects)| {
            let cursor = page.cursor.as_ref().map_or(0, Vec::len);
            moved::handed(&page.items) + cursor + moved::effects(effects)
        });
        loaded.moved("poll", given, answered);
        loaded.ended(Role::Connector, "poll", started, ended)
    }

    async fn send(&self, channel: &Channel, message: Outbound) -> Result<(Outcome, Effects), PluginError> {
        let (loaded, call, channel) = self.connector(channel, "send").await?;
        let started = Instant::now();
        let given = moved::channel(&channel) + moved::outbound(&message);
        let ended = loaded.program.send(call, &channel, message).await;
        let answered =
            ended.as_ref().map_or(0, |(outcome, effects)| moved::outcome(outcome) + moved::effects(effects));
        loaded.moved("send", given, answered);
        loaded.ended(Role::Connector, "send", started, ended)
    }
}

#[async_trait]
impl Evaluators for Host {
    fn metrics(&self) -> Vec<Metric> {
        let plugins = self.0.plugins.read();
        let serving = plugins.values().filter(|loaded| loaded.in_service());
        let mut metrics: Vec<Metric> = serving.flat_map(|loaded| loaded.metrics.iter().cloned()).collect();
        metrics.sort_by(|a, b| a.name.cmp(&b.name));
        metrics
    }

    fn lineage(&self, metric: &str) -> Option<(String, String)> {
        let (loaded, _) = self.evaluator(metric)?;
        let manifest = loaded.package.manifest();
        Some((loaded.package.digest().to_owned(), format!("{}@{}", manifest.id, manifest.version)))
    }

    async fn open(
        &self,
        metric: &str,
        parameters: Value,
    ) -> Result<(Box<dyn Accumulator>, Value), PluginError> {
        let (loaded, described) = self.evaluator(metric).ok_or_else(|| {
            let message = format!("no plugin evaluates the metric `{metric}`");
            named("", Role::Kpi, "open", Failure::new(Fault::OutOfService, message))
        })?;
        loaded.admit(Role::Kpi, "open")?;
        let started = Instant::now();
        let call = CallContext::new(loaded.scope.clone(), Role::Kpi, "open");
        let ended = match kpi::complete(&described, parameters) {
            Ok(checked) => {
                loaded.moved("open", moved::json(&checked), 0);
                let opened = loaded.program.open(call, metric, &checked.to_string()).await;
                opened.map(|session| (session, checked))
            }
            Err(failure) => Err(failure),
        };
        let (session, checked) = loaded.ended(Role::Kpi, "open", started, ended)?;
        Ok((Box::new(kpi::Running::new(loaded, session, described.subject)), checked))
    }
}
