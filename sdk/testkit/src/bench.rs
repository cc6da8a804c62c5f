//! How fast a plugin is, warm, in the host that serves it later.

use std::time::{Duration, Instant};

use anyhow::Result;
use regard_engine::ports::{Connectors as _, Evaluators as _, Event, Hooks as _};
use regard_host::manifest::Capability;
use serde_json::{Value, json};

use crate::Trial;
use crate::laws::kpi::parameters;
use crate::rows::Rows;
use crate::run;
use crate::run::connector::message;
use crate::scenario::Scenario;
use crate::scenario::parts::Action;
use crate::world::World;

/// How long each subject is measured: long enough for a steady mean, short enough to be run after every change.
const SUBJECT_MS: u64 = 2_000;
/// Calls before the measuring begins: instances are made and caches are filled.
const WARM_UP_CALLS: usize = 3;
/// Events in a full batch; the dispatcher hands over no more.
const BATCH_EVENTS: usize = 256;
/// Generated rows for evaluators.
const ROWS: usize = 100_000;
/// Their customers.
const CUSTOMERS: u64 = 10_000;
/// Rows of one batch, as the warehouse hands them over.
const BATCH_ROWS: usize = regard_warehouse::frame::BATCH_ROWS_MAX;

/// The figures of one subject.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub subject: String,
    /// Calls, or whole runs of an evaluator.
    pub calls: u64,
    /// How long they took altogether.
    pub elapsed: Duration,
    /// Events or rows in each.
    pub items: usize,
    /// What the items are.
    pub unit: &'static str,
}

/// All figures of a plugin.
#[derive(Debug, Clone, Default)]
pub struct Bench {
    /// The plugin's id.
    pub plugin: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// What could not be measured, and what to add.
    pub missing: Vec<String>,
    /// The most memory that one instance has had, in bytes.
    pub memory_peak_bytes: u64,
}

/// Measures everything that the plugin can do and the scenarios give the material for.
pub async fn bench(trial: &Trial) -> Result<Bench> {
    let manifest = trial.package.manifest();
    let mut bench = Bench { plugin: manifest.id.clone(), ..Bench::default() };
    if manifest.can(Capability::Hook) {
        hook(trial, &mut bench).await?;
    }
    if manifest.can(Capability::Connector) {
        connector(trial, &mut bench).await?;
    }
    if manifest.can(Capability::Kpi) {
        kpi(trial, &mut bench).await?;
    }
    Ok(bench)
}

/// Calls until the time is over. A call that fails ends the measuring: figures of failures mislead.
async fn measured<E: std::fmt::Display>(
    mut call: impl AsyncFnMut() -> Result<(), E>,
) -> Result<(u64, Duration), String> {
    for _ in 0..WARM_UP_CALLS {
        call().await.map_err(|error| error.to_string())?;
    }
    let (started, most) = (Instant::now(), Duration::from_millis(SUBJECT_MS));
    let mut calls = 0;
    while started.elapsed() < most {
        call().await.map_err(|error| error.to_string())?;
        calls += 1;
    }
    Ok((calls, started.elapsed()))
}

impl Bench {
    fn add(
        &mut self,
        subject: &str,
        items: usize,
        unit: &'static str,
        found: Result<(u64, Duration), String>,
    ) {
        let subject = subject.to_owned();
        match found {
            Ok((calls, elapsed)) => self.figures.push(Figure { subject, calls, elapsed, items, unit }),
            Err(why) => self.missing.push(format!("{subject}: {why}")),
        }
    }

    fn note(&mut self, world: &World) {
        let peak = world.stats().map_or(0, |stats| stats.memory_peak_bytes);
        self.memory_peak_bytes = self.memory_peak_bytes.max(peak);
    }

    /// One document.
    pub fn json(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            json!({
                "subject": figure.subject,
                "calls": figure.calls,
                "calls_per_second": figure.calls_per_second(),
                "us_per_call": figure.us_per_call(),
                "items_per_call": figure.items,
                "items_per_second": figure.items_per_second(),
                "unit": figure.unit,
            })
        });
        json!({
            "plugin": self.plugin,
            "figures": figures.collect::<Vec<_>>(),
            "missing": self.missing,
            "memory_peak_bytes": self.memory_peak_bytes,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut lines = vec![self.plugin.clone()];
        for figure in &self.figures {
            lines.push(format!(
                "{:36} {:>12.0} calls/s {:>12.1} us/call {:>14.0} {}/s",
                figure.subject,
                figure.calls_per_second(),
                figure.us_per_call(),
                figure.items_per_second(),
                figure.unit
            ));
        }
        lines.extend(self.missing.iter().map(|why| format!("not measured  {why}")));
        lines.push(format!("peak memory of an instance: {} KiB", self.memory_peak_bytes / 1024));
        lines.join("\n")
    }
}

impl Figure {
    fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }

    fn us_per_call(&self) -> f64 {
        self.elapsed.as_secs_f64() * 1e6 / self.calls.max(1) as f64
    }

    fn items_per_second(&self) -> f64 {
        self.calls_per_second() * self.items as f64
    }
}

async fn hook(trial: &Trial, bench: &mut Bench) -> Result<()> {
    for scenario in &trial.scenarios {
        let mut world = trial.world(scenario).await?;
        let mark = world.recorded.mark();
        let played = run::raw(&mut world, scenario).await?;
        let Some(event) = played.batches.into_iter().flatten().next() else { continue };
        for (subject, size) in [("handle, one event", 1), ("handle, a full batch", BATCH_EVENTS)] {
            let events: Vec<Event> = vec![event.clone(); size];
            let call = async || {
                world.recorded.rewind(&mark);
                world.host.handle(world.plugin(), &events).await.map(drop)
            };
            bench.add(subject, size, "events", measured(call).await);
        }
        bench.note(&world);
        return Ok(());
    }
    bench.missing.push("handle: add a scenario with an event that the manifest subscribes to".to_owned());
    Ok(())
}

async fn connector(trial: &Trial, bench: &mut Bench) -> Result<()> {
    let world = trial.world(&trial.ground()).await?;
    let Some(features) = world.status.features.clone() else { return Ok(()) };
    for (name, is_wanted) in
        [("webhook", features.receives), ("poll", features.polls), ("send", features.sends)]
    {
        if !is_wanted {
            continue;
        }
        let place = trial.scenarios.iter().find_map(|scenario| {
            let is_good = |step: &crate::scenario::parts::Step| {
                step.action.name() == name
                    && step.expect.fails.is_none()
                    && step.expect.status.is_none_or(|status| (200..300).contains(&status))
            };
            Some((scenario, scenario.find(is_good)?))
        });
        let Some((scenario, at)) = place else {
            bench.missing.push(format!("{name}: add a scenario with a {name} that goes well"));
            continue;
        };
        calls(trial, scenario, at, bench).await?;
    }
    Ok(())
}

async fn calls(trial: &Trial, scenario: &Scenario, at: usize, bench: &mut Bench) -> Result<()> {
    let mut world = trial.world(scenario).await?;
    run::steps(&mut world, scenario, at).await?;
    let mark = world.recorded.mark();
    let found = match &scenario.steps[at].action {
        Action::Webhook(call) => {
            let channel = world.channel(&call.channel)?;
            measured(async || {
                world.recorded.rewind(&mark);
                world.host.receive(&channel, call.webhook.clone()).await.map(drop)
            })
            .await
        }
        Action::Poll(part) => {
            let channel = world.channel(&part.channel)?;
            measured(async || {
                world.recorded.rewind(&mark);
                world.host.poll(&channel, None, 200).await.map(drop)
            })
            .await
        }
        Action::Send(part) => {
            let channel = world.channel(&part.channel)?;
            measured(async || {
                world.recorded.rewind(&mark);
                world.host.send(&channel, message(part, at)).await.map(drop)
            })
            .await
        }
        _ => return Ok(()),
    };
    bench.add(scenario.steps[at].action.name(), 1, "calls", found);
    bench.note(&world);
    Ok(())
}

async fn kpi(trial: &Trial, bench: &mut Bench) -> Result<()> {
    let world = trial.world(&trial.ground()).await?;
    for metric in world.status.metrics.clone() {
        let rows = Rows::generated(trial.seed(), ROWS, CUSTOMERS, trial.ground().start, &metric);
        let batches: Vec<_> = rows.rows.chunks(BATCH_ROWS).map(|some| rows.batch(&metric, some)).collect();
        let parameters = parameters(trial, &metric);
        let open = async || {
            let opened = world.host.open(&metric.name, parameters.clone()).await;
            opened.map(|(accumulator, _)| accumulator)
        };
        let added = async || {
            let mut accumulator = open().await?;
            for (groups, batch) in &batches {
                accumulator.update(groups, rows.groups, batch).await?;
            }
            Ok::<_, regard_engine::PluginError>(accumulator)
        };
        let update = measured(async || added().await.map(drop)).await;
        bench.add(&format!("{}: update", metric.name), ROWS, "rows", update);
        let whole = measured(async || added().await?.finish(rows.until).await.map(drop)).await;
        bench.add(&format!("{}: update and finish", metric.name), ROWS, "rows", whole);
    }
    bench.note(&world);
    Ok(())
}
