//! `regard metric`.

use anyhow::{Context as _, Result, bail};
use axum::http::Method;
use regard_model::{Horizon, Subject, Timestamp};
use serde_json::{Map, Value, json};

use super::{Output, cell, table};
use crate::client::Client;
use crate::config::Reach;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the metrics that installed evaluators compute.
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Evaluate a metric over the interactions and keep the observations.
    Evaluate {
        /// Its name, such as clv.
        metric: String,
        #[command(flatten)]
        run: Run,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show a metric's value for one subject, with what led to it. Evaluates it when there is no observation with these parameters.
    Show {
        /// Its name, such as clv.
        metric: String,
        /// customer:<id>, or business.
        #[arg(long)]
        subject: Subject,
        #[command(flatten)]
        run: Run,
        #[command(flatten)]
        reach: Reach,
    },
    /// Explain an observation: window, evaluator, parameters and the interactions that led to it.
    Explain {
        /// Its id, such as obs_01jd3q7xk2v8m.
        observation: String,
        #[command(flatten)]
        reach: Reach,
    },
}

/// How a metric is evaluated.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// How far to look ahead, for metrics that forecast: 39w, 90d.
    #[arg(long)]
    horizon: Option<Horizon>,
    /// Further parameters of the metric, as name=value.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// First day or instant that counts.
    #[arg(long)]
    since: Option<Timestamp>,
    /// First day or instant that no longer counts; now when left out.
    #[arg(long)]
    until: Option<Timestamp>,
    /// Currency of the amounts that count; the most frequent one when left out.
    #[arg(long)]
    currency: Option<String>,
}

impl Run {
    fn body(&self) -> Result<Value> {
        let mut parameters = Map::new();
        for pair in &self.parameters {
            let (name, text) =
                pair.split_once('=').with_context(|| format!("--param {pair}: write NAME=VALUE"))?;
            // A number, a boolean or a list is what it looks like; everything else is text.
            parameters.insert(name.to_owned(), serde_json::from_str(text).unwrap_or_else(|_| text.into()));
        }
        if let Some(horizon) = self.horizon {
            let weeks = horizon.as_weeks();
            // A whole number is written as one: metrics may ask for integers.
            let weeks = if weeks.fract() == 0.0 { json!(weeks as i64) } else { json!(weeks) };
            parameters.insert("horizon_weeks".into(), weeks);
        }
        let mut body = json!({ "parameters": parameters });
        for (name, value) in [
            ("since", self.since.map(|at| json!(at))),
            ("until", self.until.map(|at| json!(at))),
            ("currency", self.currency.as_ref().map(|code| json!(code))),
        ] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        Ok(body)
    }

    /// Whether an evaluation was run the way these flags ask for.
    fn matches(&self, evaluation: &Value) -> Result<bool> {
        let wanted = self.body()?;
        let parameters = wanted["parameters"].as_object().into_iter().flatten();
        let same_number = |left: &Value, right: &Value| {
            left == right || left.as_f64().is_some_and(|left| Some(left) == right.as_f64())
        };
        Ok(parameters.into_iter().all(|(name, value)| same_number(&evaluation["parameters"][name], value))
            && (self.since.is_none() || evaluation["window"]["start"] == wanted["since"])
            && (self.until.is_none() || evaluation["window"]["end"] == wanted["until"])
            && (self.currency.is_none() || evaluation["currency"] == wanted["currency"]))
    }
}

impl Command {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        match self {
            Self::List { reach } => {
                let items = Client::open(&reach).await?.list("/metrics").await?;
                output.print(&json!({ "items": items }), || {
                    if items.is_empty() {
                        return "no metrics yet: install a plugin with the capability kpi, see regard plugin --help".to_owned();
                    }
                    let rows: Vec<_> = items.iter().map(|one| ["name", "unit", "subject", "evaluator", "description"].map(|field| cell(one, field)).to_vec()).collect();
                    table(&["metric", "unit", "subject", "evaluator", "answers"], &rows)
                });
            }
            Self::Evaluate { metric, run, reach } => {
                let client = Client::open(&reach).await?;
                let evaluation = evaluate(&client, &metric, &run).await?;
                output.print(&evaluation, || {
                    format!(
                        "{metric}: {} subjects from {} interactions in {} ms\n{}",
                        evaluation["subjects"],
                        evaluation["rows"],
                        evaluation["elapsed_ms"],
                        pretty(&evaluation["summary"])
                    )
                });
            }
            Self::Show { metric, subject, run, reach } => {
                let client = Client::open(&reach).await?;
                let mut shown = find(&client, &metric, subject, &run).await?;
                if shown.is_none() {
                    output.say(&format!("no observation of {metric} with these parameters yet: evaluating"));
                    evaluate(&client, &metric, &run).await?;
                    shown = find(&client, &metric, subject, &run).await?;
                }
                let Some(shown) = shown else {
                    bail!(
                        "{metric} says nothing about {subject}: it has no interactions that the metric counts"
                    )
                };
                output.print(&shown, || told(&metric, &shown));
            }
            Self::Explain { observation, reach } => {
                let explained = Client::open(&reach)
                    .await?
                    .call(Method::GET, &format!("/observations/{observation}/explain"), None)
                    .await?;
                output.print(&explained, || pretty(&explained));
            }
        }
        Ok(())
    }
}

async fn evaluate(client: &Client, metric: &str, run: &Run) -> Result<Value> {
    client.call(Method::POST, &format!("/metrics/{metric}/evaluate"), Some(run.body()?)).await
}

/// The newest observation that fits, with its explanation.
async fn find(client: &Client, metric: &str, subject: Subject, run: &Run) -> Result<Option<Value>> {
    let page = client
        .call(Method::GET, &format!("/metrics/{metric}/observations?subject={subject}&limit=500"), None)
        .await?;
    for observation in page["items"].as_array().into_iter().flatten() {
        let explained = client
            .call(Method::GET, &format!("/observations/{}/explain", cell(observation, "id")), None)
            .await?;
        if run.matches(&explained["evaluation"])? {
            let mut shown = observation.clone();
            for (name, value) in observation["details"].as_object().into_iter().flatten() {
                shown[name] = value.clone();
            }
            shown["explain"] =
                json!({ "evaluation": explained["evaluation"], "inputs": explained["inputs"] });
            return Ok(Some(shown));
        }
    }
    Ok(None)
}

fn told(metric: &str, shown: &Value) -> String {
    let evaluation = &shown["explain"]["evaluation"];
    let mut lines =
        vec![format!("{metric} of {}: {} {}", cell(shown, "subject"), shown["value"], cell(shown, "unit"))];
    for (name, value) in shown["details"].as_object().into_iter().flatten() {
        lines.push(format!("  {name}: {value}"));
    }
    lines.push(format!(
        "window: {} to {}",
        cell(&evaluation["window"], "start"),
        cell(&evaluation["window"], "end")
    ));
    lines.push(format!(
        "evaluator: {} (digest {})",
        cell(evaluation, "evaluator"),
        cell(evaluation, "evaluator_digest")
    ));
    lines.push(format!("parameters: {}", evaluation["parameters"]));
    lines.push(format!("inputs: {}", shown["explain"]["inputs"]["count"]));
    lines.join("\n")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}
