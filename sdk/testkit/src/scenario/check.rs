//! What the parts of a scenario file have to do with each other.

use std::collections::BTreeMap;
use std::ops::Range;

use regard_engine::ports::Webhook;
use serde_json::Value;
use toml::Spanned;

use super::parts::{
    Action, Answer, ChannelPart, CustomerPart, Ending, Exchange, HttpPart, Step, StepExpect, StepPart,
    TEST_CHANNEL, WebhookCall, WebhookPart,
};
use super::{File, SEED_DEFAULT, START_DEFAULT, Scenario, ScenarioError, Source};

/// Largest body in a file of its own, in bytes; the host takes no larger answers.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// What one of several keys gave as a body, and its type if that is known.
type Body = (Vec<u8>, Option<&'static str>);

pub(super) fn scenario(file: File, source: &Source<'_>) -> Result<Scenario, ScenarioError> {
    let name = source.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let customers = unlike(file.customers, source, |one: &CustomerPart| &one.key)?;
    let channels = unlike(file.channels, source, |one: &ChannelPart| &one.name)?;
    let http = file.http.into_iter().map(|part| exchange(part, source)).collect::<Result<_, _>>()?;
    let mut scenario = Scenario {
        name,
        file: source.file.to_owned(),
        description: file.description,
        start: file.start.unwrap_or(START_DEFAULT),
        seed: file.seed.unwrap_or(SEED_DEFAULT),
        config: file.config.unwrap_or(Value::Null),
        secrets: file.secrets,
        customers,
        channels,
        http,
        steps: Vec::new(),
        expect: Ending::default(),
    };
    for part in file.steps {
        let span = part.span();
        let step = step(part.into_inner(), &span, source)?;
        references(&scenario, &step).map_err(|problem| source.fault(&span, problem))?;
        scenario.steps.push(step);
    }
    if let Some(expect) = file.expect {
        let span = expect.span();
        scenario.expect = expect.into_inner();
        ending(&scenario).map_err(|problem| source.fault(&span, problem))?;
    }
    Ok(scenario)
}

/// The parts without their places; no two may have the same name.
fn unlike<T>(
    parts: Vec<Spanned<T>>,
    source: &Source<'_>,
    name: impl Fn(&T) -> &String,
) -> Result<Vec<T>, ScenarioError> {
    let mut all: Vec<T> = Vec::with_capacity(parts.len());
    for part in parts {
        let span = part.span();
        let part = part.into_inner();
        if all.iter().any(|known| name(known) == name(&part)) {
            return Err(source.fault(&span, format!("`{}` is described twice", name(&part))));
        }
        all.push(part);
    }
    Ok(all)
}

fn body(
    (json, text, file): (Option<Value>, Option<String>, Option<String>),
    span: &Range<usize>,
    source: &Source<'_>,
) -> Result<Body, ScenarioError> {
    match (json, text, file) {
        (None, None, None) => Ok((Vec::new(), None)),
        (Some(json), None, None) => Ok((json.to_string().into_bytes(), Some("application/json"))),
        (None, Some(text), None) => Ok((text.into_bytes(), None)),
        (None, None, Some(name)) => {
            let path = source.file.with_file_name(&name);
            let told = |why: String| source.fault(span, format!("{name}: {why}"));
            let bytes = std::fs::metadata(&path).map_err(|why| told(why.to_string()))?.len();
            if bytes > BODY_BYTES_MAX {
                return Err(told(format!("{bytes} bytes, at most {BODY_BYTES_MAX} are taken")));
            }
            let read = std::fs::read(&path).map_err(|why| told(why.to_string()))?;
            Ok((read, name.ends_with(".json").then_some("application/json")))
        }
        _ => Err(source.fault(span, "give one of `json`, `body` and `file`, not several")),
    }
}

/// Header names in lower case, with the body's type unless the file gives one.
fn headers(given: BTreeMap<String, String>, kind: Option<&str>) -> Vec<(String, String)> {
    let mut headers: BTreeMap<String, String> =
        given.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    if let Some(kind) = kind {
        headers.entry("content-type".to_owned()).or_insert_with(|| kind.to_owned());
    }
    headers.into_iter().collect()
}

fn exchange(part: Spanned<HttpPart>, source: &Source<'_>) -> Result<Exchange, ScenarioError> {
    let span = part.span();
    let part = part.into_inner();
    let answers = part.json.is_some() || part.body.is_some() || part.file.is_some() || part.status.is_some();
    if part.fails.is_some() && answers {
        return Err(source.fault(&span, "an exchange that fails has no answer: leave status and body out"));
    }
    let answer = match part.fails {
        Some(failing) => Answer::Fails(failing),
        None => {
            let (bytes, kind) = body((part.json, part.body, part.file), &span, source)?;
            Answer::Response(part.status.unwrap_or(200), headers(part.headers, kind), bytes)
        }
    };
    Ok(Exchange {
        line: source.at(&span).0,
        method: part.method.unwrap_or_else(|| "GET".to_owned()),
        url: part.url,
        body_contains: part.body_contains,
        request_headers: headers(part.request_headers, None),
        times: part.times.unwrap_or(1),
        answer,
    })
}

fn step(part: StepPart, span: &Range<usize>, source: &Source<'_>) -> Result<Step, ScenarioError> {
    let StepPart { interaction, observation, customer, wait, webhook, poll, send, evaluate, expect } = part;
    let webhook = webhook.map(|part| call(part, span, source)).transpose()?;
    let mut actions = [
        interaction.map(Action::Interaction),
        observation.map(Action::Observation),
        customer.map(Action::Customer),
        wait.map(Action::Wait),
        webhook.map(Action::Webhook),
        poll.map(Action::Poll),
        send.map(Action::Send),
        evaluate.map(Action::Evaluate),
    ]
    .into_iter()
    .flatten();
    let (Some(action), None) = (actions.next(), actions.next()) else {
        let told =
            "a step is one of interaction, observation, customer, wait, webhook, poll, send and evaluate";
        return Err(source.fault(span, told));
    };
    fits(&action, &expect).map_err(|problem| source.fault(span, problem))?;
    Ok(Step { line: source.at(span).0, action, expect })
}

fn call(part: WebhookPart, span: &Range<usize>, source: &Source<'_>) -> Result<WebhookCall, ScenarioError> {
    let (body, kind) = body((part.json, part.body, part.file), span, source)?;
    Ok(WebhookCall {
        channel: part.channel,
        webhook: Webhook {
            method: part.method.unwrap_or_else(|| "POST".to_owned()),
            path: part.path,
            query: part.query,
            headers: headers(part.headers, kind),
            body,
        },
    })
}

/// Whether what is expected can come of the step at all.
fn fits(action: &Action, expect: &StepExpect) -> Result<(), String> {
    let given = [
        ("status", expect.status.is_some(), "webhook"),
        ("received", expect.received.is_some(), "poll"),
        ("outcome", expect.outcome.is_some(), "send"),
        ("values", expect.values.is_some(), "evaluate"),
        ("value", expect.value.is_some(), "evaluate"),
        ("details", expect.details.is_some(), "evaluate"),
        ("tolerance", expect.tolerance.is_some(), "evaluate"),
    ];
    match given.into_iter().find(|&(_, is_given, of)| is_given && of != action.name()) {
        Some((name, _, of)) => Err(format!("`{name}` is expected of {of}, not of {}", action.name())),
        None => Ok(()),
    }
}

/// Whether everybody and everything that a step names was described.
fn references(scenario: &Scenario, step: &Step) -> Result<(), String> {
    match &step.action {
        Action::Interaction(part) => part.customer.iter().try_for_each(|key| known(scenario, key)),
        Action::Observation(part) => part.customer.iter().try_for_each(|key| known(scenario, key)),
        Action::Customer(part) => known(scenario, &part.customer),
        Action::Webhook(call) => channel(scenario, &call.channel),
        Action::Poll(part) => channel(scenario, &part.channel),
        Action::Send(part) => channel(scenario, &part.channel),
        Action::Evaluate(_) => {
            let values = step.expect.values.iter().flat_map(BTreeMap::keys);
            let details = step.expect.details.iter().flat_map(BTreeMap::keys);
            values.chain(details).try_for_each(|key| known(scenario, key))
        }
        Action::Wait(_) => Ok(()),
    }
}

fn known(scenario: &Scenario, key: &str) -> Result<(), String> {
    if scenario.customers.iter().any(|customer| customer.key == key) {
        return Ok(());
    }
    let keys: Vec<&str> = scenario.customers.iter().map(|customer| customer.key.as_str()).collect();
    Err(match keys.as_slice() {
        [] => format!("nobody is called `{key}`: describe the customer in a [[customers]]"),
        keys => format!("nobody is called `{key}`; there is {}", keys.join(", ")),
    })
}

fn channel(scenario: &Scenario, name: &str) -> Result<(), String> {
    let names: Vec<&str> = match scenario.channels.as_slice() {
        [] => vec![TEST_CHANNEL],
        channels => channels.iter().map(|channel| channel.name.as_str()).collect(),
    };
    if names.contains(&name) {
        return Ok(());
    }
    Err(format!("no channel is called `{name}`; there is {}", names.join(", ")))
}

fn ending(scenario: &Scenario) -> Result<(), String> {
    let Ending { customers, messages, records, .. } = &scenario.expect;
    let of_messages = messages.iter().flatten().filter_map(|message| message.customer.as_ref());
    let of_records = records.values().flatten().filter_map(|record| record.customer.as_ref());
    customers.keys().chain(of_messages).chain(of_records).try_for_each(|key| known(scenario, key))
}
