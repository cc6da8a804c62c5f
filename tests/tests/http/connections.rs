//! Callers who hold on to a connection: they are sent away, and they do not keep the server from stopping.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use regard_tests::server::Server;

use super::Api;

/// The server gives a head 30 seconds.
const SENT_AWAY_WITHIN: Duration = Duration::from_secs(45);
/// The server gives requests under way eight seconds.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// A connection on which a request begins and does not go on.
fn half_a_head(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("connects");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: here\r\n").expect("sends");
    stream
}

#[test]
fn whoever_does_not_finish_a_head_is_sent_away() {
    let api = Api::start();
    let mut lingering = half_a_head(&api.server);
    lingering.set_read_timeout(Some(SENT_AWAY_WITHIN)).expect("a timeout");
    assert!(api.is_up(), "others are answered meanwhile");
    let (mut said, begun) = (Vec::new(), Instant::now());
    lingering.read_to_end(&mut said).expect("the server closes the connection");
    assert!(begun.elapsed() < SENT_AWAY_WITHIN);
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

#[test]
fn a_lingering_caller_does_not_keep_the_server_from_stopping() {
    let api = Api::start();
    let lingering = half_a_head(&api.server);
    assert!(api.is_up());
    let ended = api.server.stop(STOPPED_WITHIN).expect("it stops");
    assert!(ended.success(), "{ended}");
    drop(lingering);
}
