//! `regard serve`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Output;
use crate::app::App;
use crate::config::{Config, Place};
use crate::http;
use crate::plugins;

/// Time between two rounds of housekeeping, in seconds.
const HOUSEKEEPING_S: u64 = 3600;
/// Exit code after a second signal, as shells give to a program that was interrupted.
const EXIT_IMPATIENT: i32 = 130;

/// Runs the server until it is told to stop (interrupt or terminate); requests under way are finished, unless it is told
/// so twice.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, env = "REGARD_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

impl Serve {
    pub(super) async fn run(self, output: Output) -> Result<()> {
        let config = Config::settle(&self.place, self.listen)?;
        let app = App::open(&config).await?;
        let listener = bind(config.listen).await?;
        let address = listener.local_addr()?;
        output.print(&json!({ "listening": address.to_string() }), || {
            format!("regard listens on http://{address}  (API: /api/v1, its description: /docs)")
        });
        serve(app, listener).await
    }
}

/// Takes the address.
pub(super) async fn bind(listen: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}: name another address with --listen"))
}

/// Answers requests and runs polling, dispatch, delivery and housekeeping until the process is told to stop.
pub(super) async fn serve(app: Arc<App>, listener: TcpListener) -> Result<()> {
    let stop = CancellationToken::new();
    let stages = tokio::spawn(app.pipeline.clone().run(stop.clone()));
    let keeper = tokio::spawn(keep_house(app.clone(), stop.clone()));
    let follower = tokio::spawn({
        let (app, stop) = (app.clone(), stop.clone());
        async move { plugins::follow(&app, stop).await }
    });
    let signal = stop.clone();
    tokio::spawn(async move {
        told_to_stop().await;
        signal.cancel();
        // Whoever asks twice does not want to wait for the requests under way.
        told_to_stop().await;
        std::process::exit(EXIT_IMPATIENT);
    });
    http::serve(listener, http::router(app), stop).await;
    stages.await.context("the background stages failed")?;
    follower.await.context("following changes of plugins failed")?;
    keeper.await.context("housekeeping failed")
}

/// Forgets what is kept for a time only, at the start and every [`HOUSEKEEPING_S`].
async fn keep_house(app: Arc<App>, stop: CancellationToken) {
    loop {
        match app.store.forget_answers().await {
            Ok(0) => {}
            Ok(answers) => tracing::info!(answers, "forgot old answers to POST calls"),
            Err(why) => tracing::warn!(%why, "old answers to POST calls are kept for now"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(HOUSEKEEPING_S)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}
