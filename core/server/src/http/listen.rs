//! Takes connections and closes them again.
//!
//! `axum::serve` waits for ever for the head of a request, so that whoever opens connections and says nothing keeps
//! them; here a head has [`HEAD_S_MAX`], and connections are bounded in number.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest time for the head of a request to arrive, in seconds; it also ends connections on which nothing more comes.
pub const HEAD_S_MAX: u64 = 30;
/// Connections at a time. The next one waits until one of them ends.
pub const CONNECTIONS_MAX: usize = 4096;
/// Time for the requests under way when the server stops, in seconds: less than the ten after which container runtimes
/// kill.
pub const FAREWELL_S_MAX: u64 = 8;
/// Pause after a connection could not be taken, in milliseconds: most often the process has no descriptor left.
const ACCEPT_PAUSE_MS: u64 = 200;

/// Answers requests on `listener` until `stop`; requests under way are finished, for at most [`FAREWELL_S_MAX`].
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let (connections, places) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    answer(stream, router, stop).await;
                    drop(place);
                });
            }
            Err(why) => {
                tracing::warn!(%why, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(Duration::from_secs(FAREWELL_S_MAX), connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "requests under way were cut off");
    }
}

/// Answers the requests of one connection.
async fn answer(stream: TcpStream, router: Router, stop: CancellationToken) {
    // An answer is written at once and whole, so holding back a last short segment only costs time.
    if let Err(why) = stream.set_nodelay(true) {
        tracing::debug!(%why, "the connection keeps its delay");
    }
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(HEAD_S_MAX));
    let connection = protocol
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.into_service()))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        tracing::debug!(%why, "a connection ended early");
    }
}
