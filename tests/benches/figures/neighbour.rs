//! What a plugin that misbehaves costs everybody else: the time in which a sale is accepted, with it in service and
//! without it, under the same load.
//!
//! The load does not wait: every sale has its time, and how long it took counts from that time, so that a server that
//! stalls is not let off. A switch by way of the API ends what rest or quarantine the plugin has earned, so it is at its
//! worst all the time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use regard_tests::server::{Server, regard, source};
use reqwest::Method;
use tokio::net::TcpStream;

use super::ingest::request;
use super::print_ratio;

/// Connections that send.
const CONNECTIONS: u32 = 16;
/// Sales of each connection in a second: together about a tenth of what the server can take.
const RATE: u32 = 50;
/// How long one side is measured in one round.
const SPAN: Duration = Duration::from_secs(2);
/// Rounds of each pair: the hundredth part that is slowest varies more than a mean.
const ROUNDS: usize = 9;
/// What the plugins do, as their fixtures call it.
const WAYS: [&str; 4] = ["loop", "memory", "log-flood", "host-calls"];
/// The part of the requests that is as fast as what is printed, or faster.
const PART: f64 = 0.99;

/// Prints the p99 with the plugin against the p99 without it.
pub fn measure() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for (fixture, name) in [("hostile", "WebAssembly"), ("hostile-luau", "Luau")] {
        let server = Server::start()?;
        let token = server.token("admin")?;
        server.make_channel("bench")?;
        let folder = source("core/host/tests/fixtures/plugins").join(fixture);
        regard(server.data_dir(), &["plugin", "install", &folder.to_string_lossy()])?;
        let switch = |to: &str| {
            let (status, answer) =
                server.call(Method::POST, &format!("/plugins/hostile/{to}"), &token, None)?;
            ensure!(status == 200, "{status}: {answer}");
            anyhow::Ok(())
        };
        for way in WAYS {
            let mut pairs = Vec::new();
            for round in 0..=ROUNDS {
                let side = |switched: &str| {
                    switch(switched)?;
                    let run = format!("{way}-{round}-{switched}");
                    runtime.block_on(load(server.address(), &token, way, &run))
                };
                let (with, without) = (side("enable")?, side("disable")?);
                // The first round warms both up.
                if round > 0 {
                    pairs.push((with, without));
                }
            }
            print_ratio(&format!("p99 of ingest beside a {name} plugin, `{way}` / without it"), &pairs, "µs");
        }
        let (_, shown) = server.call(Method::GET, "/plugins/hostile", &token, None)?;
        let calls = shown["calls"].as_array().context("no calls in `plugin show`")?;
        ensure!(calls.iter().any(|call| call["faults"].as_object().is_some_and(|faults| !faults.is_empty())));
    }
    Ok(())
}

/// Sends for a [`SPAN`] and returns the time within which [`PART`] of the sales were accepted, in microseconds.
async fn load(address: SocketAddr, token: &str, kind: &str, run: &str) -> Result<f64> {
    let start = Instant::now() + Duration::from_millis(20);
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (token, kind, run) = (token.to_owned(), kind.to_owned(), format!("{run}-{number}"));
            let start = start + Duration::from_secs(1) / (RATE * CONNECTIONS) * number;
            tokio::spawn(async move { send(address, &token, &kind, &run, start).await })
        })
        .collect();
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await??);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[((times.len() - 1) as f64 * PART) as usize])
}

async fn send(address: SocketAddr, token: &str, kind: &str, run: &str, start: Instant) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let mut answer = vec![0; 64 * 1024];
    let mut times = Vec::new();
    for number in 0.. {
        let due = Duration::from_secs(1) / RATE * number;
        if due > SPAN {
            break;
        }
        tokio::time::sleep_until((start + due).into()).await;
        let body = format!(
            r#"{{"channel":"bench","external_id":"{run}-{number}","kind":"test.{kind}","occurred_at":"2024-05-01T10:00:00Z"}}"#
        );
        let status = request(&mut stream, token, &body, &mut answer).await?;
        ensure!(status == 200, "the server answered {status}");
        times.push((start + due).elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}
