//! Evaluators: the answer depends on the rows and on nothing else: not on how they are cut into batches, not on their
//! order, not on who added them up.
//!
//! The rows are generated from the seed, and those of the scenarios come beside them. [`same`] compares two answers.

mod same;

use anyhow::Result;
use regard_engine::PluginError;
use regard_engine::columns::Batch;
use regard_engine::ports::{Accumulator, Evaluators as _};
use regard_model::Metric;
use serde_json::{Value, json};

use super::{broke, verdict};
use crate::Trial;
use crate::report::{Report, Verdict};
use crate::rows::{Random, Row, Rows};
use crate::scenario::parts::Action;
use crate::world::World;

/// Generated rows: enough for a model to be fitted, few enough for a test.
const ROWS: usize = 4_000;
/// Their customers.
const CUSTOMERS: u64 = 400;
/// How far two answers may be apart where sums are made in another order, relative to their size.
const TOLERANCE: f64 = 1e-6;
/// Bytes of a state that is noise.
const NOISE_BYTES: usize = 256;

/// A metric with the parameters that it is tried with.
struct Tried<'a> {
    world: &'a World,
    metric: Metric,
    parameters: Value,
}

type Answered = Result<Batch, PluginError>;
type Opened = Result<Box<dyn Accumulator>, PluginError>;

pub(super) async fn tried(trial: &Trial, report: &mut Report) -> Result<()> {
    let world = trial.world(&trial.ground()).await?;
    for metric in world.status.metrics.clone() {
        let tried = Tried { world: &world, parameters: parameters(trial, &metric), metric };
        tried.all(trial, report).await;
        world.forgive();
    }
    report.cost(&world);
    Ok(())
}

/// The parameters of the first scenario that evaluates the metric, or none.
pub(crate) fn parameters(trial: &Trial, metric: &Metric) -> Value {
    let steps = trial.scenarios.iter().flat_map(|scenario| &scenario.steps);
    let mut found = steps.filter_map(|step| match &step.action {
        Action::Evaluate(part) if part.metric == metric.name && step.expect.fails.is_none() => {
            Some(Value::Object(part.parameters.clone()))
        }
        _ => None,
    });
    found.next().unwrap_or_else(|| json!({}))
}

const LAWS: [&str; 4] = ["batches", "order of rows", "merging", "state"];

impl Tried<'_> {
    async fn all(&self, trial: &Trial, report: &mut Report) {
        let name = |law: &str| format!("kpi: {law} ({})", self.metric.name);
        if let Err(error) = self.open().await {
            let add =
                format!("it does not open without parameters, add a scenario that evaluates it: {error}");
            report.add(&name("all laws"), Verdict::NotTried(add));
            return;
        }
        let until = trial.ground().start;
        let generated = Rows::generated(trial.seed(), ROWS, CUSTOMERS, until, &self.metric);
        let mut sets = vec![("generated rows".to_owned(), generated.clone())];
        for scenario in &trial.scenarios {
            let rows = Rows::of_scenario(scenario, &self.metric);
            if !rows.rows.is_empty() {
                sets.push((format!("rows of {}", scenario.name), rows));
            }
        }
        let mut complaints: [Vec<String>; LAWS.len()] = Default::default();
        let mut refusals = Vec::new();
        for (what, rows) in &sets {
            let whole = match self.whole(rows).await {
                Ok(whole) => whole,
                Err(error) if error.fault.breaks_instance() => {
                    complaints[0].push(format!("{what}: {error}"));
                    continue;
                }
                // A model that cannot be fitted to these rows says so, and there is nothing to compare.
                Err(error) => {
                    refusals.push(format!("{what}: {error}"));
                    continue;
                }
            };
            let seed = trial.seed();
            complaints[0].extend(judged(what, &whole, self.cut(rows, seed).await));
            complaints[1].extend(judged(what, &whole, self.shuffled(rows, seed).await));
            complaints[2].extend(self.merged(what, &whole, rows).await);
            complaints[3].extend(judged(what, &whole, self.carried(rows).await));
        }
        let is_tried = refusals.len() < sets.len();
        for (law, complaints) in LAWS.iter().zip(complaints) {
            let add = || {
                format!(
                    "it takes none of the rows, add a scenario that it can evaluate: {}",
                    refusals.join("; ")
                )
            };
            report.add(&name(law), if is_tried { verdict(complaints) } else { Verdict::NotTried(add()) });
        }
        report.add(&name("reruns are identical"), verdict(self.reruns(&generated).await));
        report.add(&name("no rows, no amounts, extreme values"), verdict(self.edges(&generated).await));
        report
            .add(&name("damaged and foreign states"), verdict(self.foreign(&generated, trial.seed()).await));
    }

    async fn open(&self) -> Opened {
        self.world.forgive();
        let (accumulator, _) = self.world.host.open(&self.metric.name, self.parameters.clone()).await?;
        Ok(accumulator)
    }

    async fn add(
        &self,
        to: &mut Box<dyn Accumulator>,
        rows: &Rows,
        some: &[Row],
        known: u32,
    ) -> Result<(), PluginError> {
        let (groups, batch) = rows.batch(&self.metric, some);
        to.update(&groups, known, &batch).await
    }

    /// Everything at once.
    async fn whole(&self, rows: &Rows) -> Answered {
        let mut accumulator = self.open().await?;
        self.add(&mut accumulator, rows, &rows.rows, rows.groups).await?;
        accumulator.finish(rows.until).await
    }

    /// Batch by batch, cut anywhere, with the groups that are known by then.
    async fn cut(&self, rows: &Rows, seed: u64) -> Answered {
        let mut accumulator = self.open().await?;
        let mut random = Random::new(seed);
        let (mut rest, mut known) = (rows.rows.as_slice(), 0);
        while !rest.is_empty() {
            let size = 1 + usize::try_from(random.below(rows.rows.len() as u64 / 3 + 1)).unwrap_or(0);
            let (some, more) = rest.split_at(size.min(rest.len()));
            known = some.iter().fold(known, |known, row| known.max(row.group + 1));
            self.add(&mut accumulator, rows, some, known).await?;
            rest = more;
        }
        accumulator.finish(rows.until).await
    }

    async fn shuffled(&self, rows: &Rows, seed: u64) -> Answered {
        self.whole(&rows.shuffled(seed)).await
    }

    /// The state of some rows as another machine would send it, with its groups.
    async fn state_of(&self, rows: &Rows, some: &[Row]) -> Result<(Vec<u8>, Vec<u32>), PluginError> {
        let part = rows.part(&self.metric, some);
        let mut accumulator = self.open().await?;
        accumulator.update(&part.groups, part.group_count, &part.batch).await?;
        Ok((accumulator.state().await?, part.remap))
    }

    async fn added_up(&self, rows: &Rows, parts: &[&(Vec<u8>, Vec<u32>)]) -> Answered {
        let mut accumulator = self.open().await?;
        for (state, remap) in parts {
            accumulator.merge(state, remap).await?;
        }
        accumulator.finish(rows.until).await
    }

    /// Three parts, added up from the left, from the right and backwards.
    async fn merged(&self, what: &str, whole: &Batch, rows: &Rows) -> Vec<String> {
        let third = rows.rows.len().div_ceil(3).max(1);
        let mut parts = Vec::new();
        for some in rows.rows.chunks(third) {
            match self.state_of(rows, some).await {
                Ok(part) => parts.push(part),
                Err(error) => return vec![format!("{what}: {error}")],
            }
        }
        let forwards: Vec<_> = parts.iter().collect();
        let backwards: Vec<_> = parts.iter().rev().collect();
        let mut told = judged(&format!("{what}: a + b + c"), whole, self.added_up(rows, &forwards).await);
        told.extend(judged(&format!("{what}: c + b + a"), whole, self.added_up(rows, &backwards).await));
        told.extend(judged(&format!("{what}: a + (b + c)"), whole, self.grouped(rows, &parts).await));
        told
    }

    /// The first part and the sum of the others.
    async fn grouped(&self, rows: &Rows, parts: &[(Vec<u8>, Vec<u32>)]) -> Answered {
        let Some((first, others)) = parts.split_first() else { return self.whole(rows).await };
        let mut sum = self.open().await?;
        // The sum has groups of its own, in the order in which they come.
        let mut names: Vec<u32> = Vec::new();
        for (state, remap) in others {
            let own = remap.iter().map(|group| {
                let at = names.iter().position(|known| known == group).unwrap_or_else(|| {
                    names.push(*group);
                    names.len() - 1
                });
                u32::try_from(at).unwrap_or(u32::MAX)
            });
            let own: Vec<u32> = own.collect();
            sum.merge(state, &own).await?;
        }
        let sum = (sum.state().await?, names);
        if others.is_empty() {
            return self.added_up(rows, &[first]).await;
        }
        self.added_up(rows, &[first, &sum]).await
    }

    /// The state goes into another accumulator, which goes on.
    async fn carried(&self, rows: &Rows) -> Answered {
        let (early, late) = rows.rows.split_at(rows.rows.len() / 2);
        let (state, remap) = self.state_of(rows, early).await?;
        let mut accumulator = self.open().await?;
        accumulator.merge(&state, &remap).await?;
        if !late.is_empty() {
            self.add(&mut accumulator, rows, late, rows.groups).await?;
        }
        accumulator.finish(rows.until).await
    }

    /// State and answer of the same rows, bit by bit.
    async fn reruns(&self, rows: &Rows) -> Vec<String> {
        let once = async || -> Result<(Vec<u8>, Result<Batch, String>), PluginError> {
            let mut accumulator = self.open().await?;
            self.add(&mut accumulator, rows, &rows.rows, rows.groups).await?;
            let state = accumulator.state().await?;
            Ok((state, accumulator.finish(rows.until).await.map_err(|error| error.message)))
        };
        match (once().await, once().await) {
            (Ok((first, answer)), Ok((second, again))) => {
                let mut told = Vec::new();
                if first != second {
                    told.push("the state: wanted the same bytes, found others".to_owned());
                }
                match (answer, again) {
                    (Ok(answer), Ok(again)) => told.extend(same::different(&answer, &again, 0.0)),
                    (answer, again) if answer != again => told.push("the answer differs".to_owned()),
                    _ => {}
                }
                told
            }
            (Err(error), _) | (_, Err(error)) => vec![error.to_string()],
        }
    }

    async fn edges(&self, rows: &Rows) -> Vec<String> {
        let reads = |name: &str| self.metric.inputs.iter().any(|input| input.column == name);
        let requires_amount =
            self.metric.inputs.iter().any(|input| input.column == "amount" && input.required);
        let one = |change: &dyn Fn(&mut Row)| {
            let mut some: Vec<Row> = rows.rows.iter().take(3).copied().collect();
            some.iter_mut().for_each(change);
            some
        };
        let mut cases = vec![("no rows", Vec::new()), ("one row", one(&|_| {})[..1].to_vec())];
        if reads("amount") && !requires_amount {
            cases.push(("no amounts", one(&|row| row.amount = None)));
        }
        if reads("amount") {
            cases.push(("the largest amounts", one(&|row| row.amount = Some(i64::MAX))));
            cases.push(("the smallest amounts", one(&|row| row.amount = Some(i64::MIN))));
            cases.push(("amounts of 0", one(&|row| row.amount = Some(0))));
        }
        if reads("occurred-at") {
            let (first, last) = (regard_model::time::EARLIEST, regard_model::time::LATEST);
            cases.push(("the first instant", one(&|row| row.occurred_at_ms = first.as_millis())));
            cases.push(("the last instant", one(&|row| row.occurred_at_ms = last.as_millis() - 1)));
            cases.push(("one instant", one(&|row| row.occurred_at_ms = 0)));
        }
        let mut told = Vec::new();
        for (what, some) in cases {
            let small = rows.with(some);
            told.extend(broke(what, &self.whole(&small).await));
        }
        let unopened = async {
            let mut accumulator = self.open().await?;
            let state = accumulator.state().await?;
            let mut other = self.open().await?;
            other.merge(&state, &[]).await?;
            other.finish(rows.until).await
        };
        told.extend(broke("the state of nothing", &unopened.await));
        told
    }

    /// States that this version did not write.
    async fn foreign(&self, rows: &Rows, seed: u64) -> Vec<String> {
        let (state, remap) = match self.state_of(rows, &rows.rows).await {
            Ok(state) => state,
            Err(error) => return vec![error.to_string()],
        };
        let mut random = Random::new(seed);
        let noise: Vec<u8> = (0..NOISE_BYTES).map(|_| random.draw() as u8).collect();
        let mut other_version = state.clone();
        if let Some(first) = other_version.first_mut() {
            *first ^= 0x55;
        }
        let cut = state[..state.len().saturating_sub(1)].to_vec();
        let refused = [("another version's", other_version), ("a truncated", cut), ("a noisy", noise)];
        let mut told = Vec::new();
        for (what, damaged) in refused {
            let ended = self.taken(&damaged, &remap).await;
            told.extend(broke(&format!("{what} state"), &ended));
            if ended.is_ok() {
                told.push(format!("{what} state: wanted a reported error, found that it was taken"));
            }
        }
        // These may be taken by chance, and must do no harm.
        let mut longer = state.clone();
        longer.extend_from_slice(&[0; 7]);
        let mut cases =
            vec![("an empty state".to_owned(), Vec::new()), ("a longer state".to_owned(), longer)];
        for _ in 0..FLIPS {
            let mut flipped = state.clone();
            let at = usize::try_from(random.below(flipped.len() as u64)).unwrap_or(0);
            if let Some(byte) = flipped.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
            cases.push((format!("a state with a flipped bit in byte {at}"), flipped));
        }
        for (what, damaged) in cases {
            told.extend(broke(&what, &self.taken(&damaged, &remap).await));
        }
        told
    }

    async fn taken(&self, state: &[u8], remap: &[u32]) -> Result<(), PluginError> {
        let mut accumulator = self.open().await?;
        accumulator.merge(state, remap).await
    }
}

/// States with a single wrong bit that are tried.
const FLIPS: usize = 16;

fn judged(what: &str, whole: &Batch, found: Answered) -> Vec<String> {
    match found {
        Ok(found) => same::different(whole, &found, TOLERANCE)
            .into_iter()
            .map(|one| format!("{what}: {one}"))
            .collect(),
        Err(error) => vec![format!("{what}: {error}")],
    }
}
