//! `regard serve`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Output;
use crate::app::App;
use crate::config::{Config, Place};
use crate::http;

/// Runs the server until it is told to stop (interrupt or terminate); requests under way are finished.
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

/// Answers requests and runs polling, dispatch and delivery until the process is told to stop.
pub(super) async fn serve(app: Arc<App>, listener: TcpListener) -> Result<()> {
    let stop = CancellationToken::new();
    let background = tokio::spawn(app.pipeline.clone().run(stop.clone()));
    let router = http::router(app);
    let signal = {
        let stop = stop.clone();
        async move {
            told_to_stop().await;
            stop.cancel();
        }
    };
    axum::serve(listener, router).with_graceful_shutdown(signal).await.context("the server failed")?;
    stop.cancel();
    background.await.context("the background stages failed")?;
    Ok(())
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
