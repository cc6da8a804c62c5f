//! Connectors: what comes twice is stored once, what is sent twice is sent alike, a provider that asks for patience gets
//! it, and no call from outside breaks anything.

use std::collections::BTreeSet;

use anyhow::Result;
use regard_engine::ports::{Connectors as _, InteractionFilter, Webhook};
use regard_host::http::Request;

use super::{broke, verdict};
use crate::Trial;
use crate::report::{Report, Verdict};
use crate::run;
use crate::run::connector::{message, sent, status_of, word};
use crate::scenario::Scenario;
use crate::scenario::parts::{Action, Answer, Failing, OutcomeWord, SendPart, Step, WebhookCall};
use crate::world::World;

/// Most pages that polling may take before it counts as endless.
const PAGES_MAX: usize = 1_000;
/// Items asked for at a time, as the engine does.
const PAGE_ITEMS: u32 = 200;
/// Largest hostile body, in bytes; the server takes no larger ones.
const BODY_BYTES: usize = 1 << 20;
/// Nesting of the deep hostile body, far beyond what a recursive reader survives without a bound.
const DEPTH: usize = 100_000;
/// Seconds that the provider asks to wait.
const RETRY_AFTER_S: &str = "7";

pub(super) async fn tried(trial: &Trial, report: &mut Report) -> Result<()> {
    let features = trial.world(&trial.ground()).await?.status.features;
    let Some(features) = features else { return Ok(()) };
    if features.receives {
        let same = same_webhook(trial, report).await?;
        report.add("connector: the same webhook twice", same);
        let hostile = hostile(trial, report).await?;
        report.add("connector: hostile webhooks", hostile);
    }
    if features.polls {
        let ends = polling(trial, report).await?;
        report.add("connector: polling ends", ends);
    }
    if features.sends {
        let same = same_key(trial, report, features.idempotent).await?;
        report.add("connector: the same message twice", same);
        let headers = vec![("retry-after".to_owned(), RETRY_AFTER_S.to_owned())];
        let busy = Answer::Response(429, headers, b"slow down".to_vec());
        let patient = answered(trial, report, busy, &[OutcomeWord::Retry]).await?;
        report.add("connector: 429 with retry-after is tried again", patient);
        let allowed = [OutcomeWord::Retry, OutcomeWord::Uncertain];
        let lost = answered(trial, report, Answer::Fails(Failing::Timeout), &allowed).await?;
        report.add("connector: a timeout is neither sent nor given up", lost);
    }
    Ok(())
}

/// The scenarios that have such a step, each played up to it, with the step's place.
async fn before(trial: &Trial, wanted: impl Fn(&Step) -> bool) -> Result<Vec<(World, Scenario, usize)>> {
    let mut found = Vec::new();
    for scenario in &trial.scenarios {
        let Some(at) = scenario.find(&wanted) else { continue };
        let Ok(mut world) = trial.world(scenario).await else { continue };
        run::steps(&mut world, scenario, at).await?;
        world.recorded.take_requests();
        found.push((world, scenario.clone(), at));
    }
    Ok(found)
}

/// A call that the scenario expects to be taken.
fn is_good_webhook(step: &Step) -> bool {
    let is_good = step.expect.status.is_none_or(|status| (200..300).contains(&status));
    matches!(step.action, Action::Webhook(_)) && is_good && step.expect.fails.is_none()
}

async fn same_webhook(trial: &Trial, report: &mut Report) -> Result<Verdict> {
    let (mut complaints, mut has_stored) = (Vec::new(), false);
    for (world, scenario, at) in before(trial, is_good_webhook).await? {
        let Action::Webhook(WebhookCall { channel, webhook }) = &scenario.steps[at].action else { continue };
        let channel = world.channel(channel)?;
        let mut rounds = Vec::new();
        let mark = world.recorded.mark();
        for _ in 0..2 {
            world.recorded.rewind(&mark);
            let ended = world.pipeline.receive_webhook(&channel, webhook.clone()).await;
            let stored = world.store.count_interactions(&InteractionFilter::default()).await?;
            let ids: BTreeSet<String> = world.watched.take().received.into_iter().flatten().collect();
            rounds.push((status_of(&ended), ids, stored));
        }
        report.cost(&world);
        let [(first, ids, stored), (second, ids_again, stored_again)] = rounds.as_slice() else { continue };
        has_stored |= !ids.is_empty();
        let name = &scenario.name;
        if ids != ids_again {
            let words = |ids: &BTreeSet<String>| format!("{ids:?}");
            complaints.push(format!(
                "{name}: {}",
                run::different("external ids the second time", words(ids), words(ids_again))
            ));
        }
        if stored != stored_again {
            complaints.push(format!(
                "{name}: {}",
                run::different("interactions after the second time", stored, stored_again)
            ));
        }
        if (200..300).contains(first) && !(200..300).contains(second) {
            // A provider that gets an error goes on calling.
            complaints.push(format!("{name}: {}", run::different("status the second time", first, second)));
        }
    }
    if !has_stored {
        return Ok(Verdict::NotTried("add a scenario with a webhook that brings an interaction".to_owned()));
    }
    Ok(verdict(complaints))
}

async fn hostile(trial: &Trial, report: &mut Report) -> Result<Verdict> {
    // The headers of a good call get further in than none.
    let good = trial.scenarios.iter().find_map(|scenario| {
        let at = scenario.find(is_good_webhook)?;
        let Action::Webhook(call) = &scenario.steps[at].action else { return None };
        Some((scenario.clone(), call.clone()))
    });
    let Some((scenario, call)) = good else {
        return Ok(Verdict::NotTried("add a scenario with a webhook that is taken".to_owned()));
    };
    let world = trial.world(&scenario).await?;
    let channel = world.channel(&call.channel)?;
    let text = |text: &str| text.as_bytes().to_vec();
    let bodies = [
        ("nothing", Vec::new()),
        ("garbage", text("\u{0}\u{1}{[\"%%%")),
        ("invalid UTF-8", vec![b'"', 0xc3, 0x28, 0xff, 0xfe, b'"']),
        ("deep JSON", text(&"[".repeat(DEPTH))),
        ("deep objects", text(&"{\"a\":".repeat(DEPTH))),
        ("1 MB", vec![b'a'; BODY_BYTES]),
        ("1 MB of JSON", text(&format!("\"{}\"", "a".repeat(BODY_BYTES - 2)))),
        ("null", text("null")),
        ("a list", text("[null, 1, {}, []]")),
        ("numbers", text("{\"id\": 1e400, \"a\": -0, \"b\": 99999999999999999999999}")),
        ("half of a good body", call.webhook.body[..call.webhook.body.len() / 2].to_vec()),
    ];
    let bare = Webhook { headers: Vec::new(), ..call.webhook.clone() };
    let odd = Webhook {
        method: "\u{0}".to_owned(),
        path: "/../..".to_owned(),
        query: "%ff&&=&a".to_owned(),
        headers: vec![("content-type".to_owned(), "\u{fffd}".repeat(10_000))],
        ..call.webhook.clone()
    };
    let with = bodies.into_iter().flat_map(|(what, body)| {
        let signed = Webhook { body: body.clone(), ..call.webhook.clone() };
        let unsigned = Webhook { body, headers: Vec::new(), ..call.webhook.clone() };
        [(what.to_owned(), signed), (format!("{what}, no headers"), unsigned)]
    });
    let rest = [("no headers".to_owned(), bare), ("odd method, path and headers".to_owned(), odd)];
    let mut complaints = Vec::new();
    for (what, webhook) in with.chain(rest) {
        let ended = world.host.receive(&channel, webhook).await;
        complaints.extend(broke(&what, &ended));
        world.forgive();
    }
    report.cost(&world);
    Ok(verdict(complaints))
}

async fn polling(trial: &Trial, report: &mut Report) -> Result<Verdict> {
    let is_poll = |step: &Step| matches!(step.action, Action::Poll(_)) && step.expect.fails.is_none();
    let (mut complaints, mut has_polled) = (Vec::new(), false);
    for (world, scenario, at) in before(trial, is_poll).await? {
        let Action::Poll(part) = &scenario.steps[at].action else { continue };
        let channel = world.channel(&part.channel)?;
        let mut cursor: Option<Vec<u8>> = None;
        let mut pages = 0;
        let told = loop {
            let (page, _) = match world.host.poll(&channel, cursor.clone(), PAGE_ITEMS).await {
                Ok(page) => page,
                Err(error) => break Some(error.to_string()),
            };
            has_polled = true;
            pages += 1;
            if !page.more {
                break None;
            }
            if page.cursor.is_none() || page.cursor == cursor {
                break Some(format!(
                    "page {pages} says that there is more: wanted another cursor, found the same"
                ));
            }
            if pages == PAGES_MAX {
                break Some(format!("wanted an end, found {PAGES_MAX} pages and more"));
            }
            cursor = page.cursor;
        };
        complaints.extend(told.map(|told| format!("{}: {told}", scenario.name)));
        report.cost(&world);
    }
    if !has_polled && complaints.is_empty() {
        return Ok(Verdict::NotTried("add a scenario with a poll".to_owned()));
    }
    Ok(verdict(complaints))
}

fn is_send(step: &Step) -> bool {
    matches!(step.action, Action::Send(_))
}

/// A request as it is compared.
fn shown(request: &Request) -> String {
    let Request { method, url, headers, body, .. } = request;
    format!("{method} {url} {headers:?} {}", String::from_utf8_lossy(body))
}

async fn same_key(trial: &Trial, report: &mut Report, is_idempotent: bool) -> Result<Verdict> {
    let wanted = |step: &Step| is_send(step) && step.expect.outcome == Some(OutcomeWord::Sent);
    let (mut complaints, mut has_sent) = (Vec::new(), false);
    for (world, scenario, at) in before(trial, wanted).await? {
        let Action::Send(part) = &scenario.steps[at].action else { continue };
        let mark = world.recorded.mark();
        let mut rounds = Vec::new();
        for _ in 0..2 {
            world.recorded.rewind(&mark);
            let (outcome, _) = sent(&world, &part.channel, message(part, at)).await?;
            let requests: Vec<String> = world.recorded.take_requests().iter().map(shown).collect();
            rounds.push((word(&outcome).0, requests));
        }
        report.cost(&world);
        let [(first, requests), (second, requests_again)] = rounds.as_slice() else { continue };
        has_sent |= *first == OutcomeWord::Sent;
        let name = &scenario.name;
        if *second == OutcomeWord::Rejected {
            complaints.push(format!("{name}: wanted the second try to be sent or held, found rejected"));
        }
        // Without a request the connector itself remembers the key.
        if is_idempotent && !requests_again.is_empty() && requests != requests_again {
            complaints.push(format!(
                "{name}: {}",
                run::different(
                    "the request of the second try",
                    requests.join("; "),
                    requests_again.join("; ")
                )
            ));
        }
    }
    if !has_sent {
        return Ok(Verdict::NotTried(
            "add a scenario with a send that expects outcome = \"sent\"".to_owned(),
        ));
    }
    Ok(verdict(complaints))
}

async fn answered(
    trial: &Trial,
    report: &mut Report,
    answer: Answer,
    allowed: &[OutcomeWord],
) -> Result<Verdict> {
    let (mut complaints, mut has_asked) = (Vec::new(), false);
    for (world, scenario, at) in before(trial, is_send).await? {
        let Action::Send(part) = &scenario.steps[at].action else { continue };
        world.recorded.always(Some(answer.clone()));
        let part: &SendPart = part;
        let (outcome, _) = sent(&world, &part.channel, message(part, at)).await?;
        report.cost(&world);
        if world.recorded.take_requests().is_empty() {
            continue;
        }
        has_asked = true;
        let (found, why) = word(&outcome);
        if !allowed.contains(&found) {
            let wanted: Vec<&str> = allowed.iter().map(|word| word.as_str()).collect();
            let told = run::different("outcome", wanted.join(" or "), format!("{} ({why})", found.as_str()));
            complaints.push(format!("{}: {told}", scenario.name));
        }
    }
    if !has_asked {
        return Ok(Verdict::NotTried("add a scenario with a send that makes a request".to_owned()));
    }
    Ok(verdict(complaints))
}
