//! Durable ingest over HTTP, as a shop would send its orders, against an axum handler that parses the same JSON and
//! does nothing.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use regard_tests::server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Argument that turns this program into the bare handler.
pub const BARE: &str = "bare-server";
/// Connections that send at the same time, each waiting for its answer before it sends again.
const CONNECTIONS: usize = 256;
/// Customers who order in turn.
const CUSTOMERS: usize = 500;
/// Events of one batch.
const BATCH: usize = 100;
/// How long one side is measured in one round.
const SPAN: Duration = Duration::from_secs(3);

/// Prints singles against bare, and batches against singles.
pub fn measure() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let server = Server::start()?;
    let token = server.token("ingest")?;
    server.make_channel("bench")?;
    let bare = Bare::start()?;
    let (mut singles, mut batches) = (Vec::new(), Vec::new());
    for round in 0..super::ROUNDS {
        let ours = runtime.block_on(load(server.address(), &token, &format!("s{round}"), 1))?;
        let raw = runtime.block_on(load(bare.address, &token, "b", 1))?;
        let hundred = runtime.block_on(load(server.address(), &token, &format!("h{round}"), BATCH))?;
        singles.push((ours, raw));
        batches.push((hundred, ours));
    }
    super::print_ratio("durable ingest, single events / bare axum handler", &singles, "events/s");
    super::print_ratio("durable ingest, batches of 100 / single events", &batches, "events/s");
    Ok(())
}

/// Events per second that `address` takes.
async fn load(address: SocketAddr, token: &str, run: &str, batch: usize) -> Result<f64> {
    let end = Instant::now() + SPAN;
    let started = Instant::now();
    let last = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(send(address, token.to_owned(), run.to_owned(), last.clone(), batch, end)))
        .collect();
    let mut events = 0;
    for sender in senders {
        events += sender.await??;
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}

/// Sends until `end`; `last` is the shop's last order number.
async fn send(
    address: SocketAddr,
    token: String,
    run: String,
    last: Arc<AtomicUsize>,
    batch: usize,
    end: Instant,
) -> Result<usize> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let mut answer = vec![0; 256 * 1024];
    let mut sent = 0;
    while Instant::now() < end {
        let number = last.fetch_add(batch, Ordering::Relaxed);
        let one = |number: usize| {
            format!(
                r#"{{"channel":"bench","external_id":"{run}-{number:09}","identifier":{{"scheme":"external:bench","value":"{}"}},"kind":"order.placed","occurred_at":"2024-05-01T10:00:00Z","amount":{{"minor":1999,"currency":"EUR"}},"attributes":{{"items":2}}}}"#,
                number % CUSTOMERS
            )
        };
        let body = if batch == 1 {
            one(number)
        } else {
            format!("[{}]", (number..number + batch).map(one).collect::<Vec<_>>().join(","))
        };
        let status = request(&mut stream, &token, &body, &mut answer).await?;
        anyhow::ensure!(status == 200, "the server answered {status}");
        sent += batch;
    }
    Ok(sent)
}

/// Hands in interactions over a connection that stays open, and returns the status of the answer.
pub async fn request(stream: &mut TcpStream, token: &str, body: &str, answer: &mut Vec<u8>) -> Result<u16> {
    let request = format!(
        "POST /api/v1/interactions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    read_answer(stream, answer).await
}

/// Reads one answer and returns its status.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let count = stream.read(&mut buffer[filled..]).await?;
        anyhow::ensure!(count > 0, "the server closed the connection");
        filled += count;
        let Some(head) = buffer[..filled].windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .context("no content-length")?
            .trim()
            .parse()?;
        if filled >= head + 4 + length {
            return Ok(text.split(' ').nth(1).context("no status")?.parse()?);
        }
    }
}

/// The bare handler in a process of its own.
struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?).arg(BARE).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().context("no output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves a handler that parses a JSON body and answers.
pub fn bare_server() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let handler = axum::routing::post(async |axum::Json(body): axum::Json<serde_json::Value>| {
            axum::Json(serde_json::json!({ "items": [{ "status": "accepted", "id": body["external_id"] }] }))
        });
        axum::serve(listener, axum::Router::new().route("/api/v1/interactions", handler)).await?;
        Ok(())
    })
}
