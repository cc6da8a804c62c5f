//! One version of a connector after another comes into service while webhooks for it arrive.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regard_tests::server::{Server, client};
use reqwest::Method;
use serde_json::json;

use super::median;

/// Callers that each wait for their answer before they call again.
const CALLERS: usize = 8;
/// Versions that come into service.
const SWAPS: u32 = 40;
/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(50);

/// Prints how many requests were made and failed, and how long a version takes to come into service.
pub fn measure() -> Result<()> {
    let server = Server::start()?;
    let token = server.token("admin")?;
    let call = |path: &str, body: serde_json::Value| {
        let (status, answer) = server.call(Method::POST, path, &token, Some(body))?;
        ensure!(status == 201, "{status}: {answer}");
        anyhow::Ok(())
    };
    call("/plugins", package(0))?;
    let channel = json!({ "name": "swap", "kind": "swap", "connector": "connector-swap", "settings": {} });
    call("/channels", channel)?;
    let (stop, failed) = (AtomicBool::new(false), AtomicU32::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let url = format!("http://{}/api/v1/inbound/swap", server.address());
    let (mut waits, mut made) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (runtime, url, client) = (&runtime, &url, client());
                let (stop, failed) = (&stop, &failed);
                scope.spawn(move || {
                    let mut made = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let answer = runtime.block_on(async { client.post(url).body("x").send().await });
                        made += 1;
                        if !answer.is_ok_and(|answer| answer.status().is_success()) {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    made
                })
            })
            .collect();
        let swapped = (1..=SWAPS).try_for_each(|version| {
            let started = Instant::now();
            call("/plugins", package(version))?;
            waits.push(started.elapsed().as_secs_f64() * 1000.0);
            std::thread::sleep(PAUSE);
            anyhow::Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        made = callers.into_iter().map(|caller| caller.join().unwrap_or(0)).sum::<u32>();
        swapped
    })?;
    let failed = failed.into_inner();
    println!("| requests that failed during {SWAPS} swaps of a connector | | | {failed} of {made} |");
    println!("| a new version in service, under that load | | | {:.1} ms |", median(waits));
    Ok(())
}

fn package(version: u32) -> serde_json::Value {
    let manifest = format!(
        "id = \"connector-swap\"\nname = \"Swap\"\nversion = \"0.{version}.0\"\ncontract = \"0.1.0\"\n\
         runtime = \"luau\"\ncapabilities = [\"connector\"]"
    );
    let handler = format!(
        "return {{ connector = {{\n\
         describe = function() return {{ receives = true, address_scheme = \"email\" }} end,\n\
         receive = function() return {{ items = {{}}, reply = {{ body = \"{version}\" }} }} end,\n}} }}"
    );
    json!({ "manifest": manifest, "files": { "handler.luau": STANDARD.encode(handler) } })
}
