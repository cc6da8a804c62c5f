//! Grants: hosts, private addresses, redirects, secrets, customers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use regard_engine::Fault;
use regard_engine::ports::Hooks;
use regard_host::Grants;
use regard_host::manifest::Permissions;
use regard_model::Attributes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::hostile::SLACK;
use crate::world::{RUNTIMES, World, event, event_with, hostile, hostile_with};

/// A server on the loopback address that gives every request the same answer.
async fn server(answer: impl Fn(SocketAddr) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer(address);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn plain(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn get(url: &str) -> regard_engine::ports::Event {
    event_with("http", None, Attributes::from([("url", json!(url))]))
}

/// What the audit log has about denied calls.
fn denied(world: &World) -> Vec<String> {
    let audit = world.stored.audit.lock();
    let lines =
        audit.iter().filter(|(actor, action, _)| actor == "plugin:hostile" && action == "call.denied");
    lines
        .map(|(_, _, details)| details.get("what").and_then(Value::as_str).unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_need_a_grant_of_their_own() {
    let address = server(|_| plain("secret")).await;
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        let port = address.port();
        for url in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
        ] {
            let failed = world.host.handle("hostile", &[get(&url)]).await.expect_err(&url);
            assert_eq!(failed.fault, Fault::Denied, "{runtime:?} {url}: {failed}");
            assert!(failed.message.contains("permissions.private_hosts"), "{failed}");
        }
        assert_eq!(denied(&world).len(), 3, "{:?}", denied(&world));

        let asked = hostile(runtime).manifest().permissions.clone();
        let grants = Grants::by_default(&asked).with_private_host(&address.to_string());
        world.load_with(hostile(runtime), Value::Null, Some(grants)).await;
        let effects =
            world.host.handle("hostile", &[get(&format!("http://{address}/"))]).await.expect("granted");
        assert_eq!(effects.kept, [("body".to_owned(), Some(b"secret".to_vec()))]);
    }
}

/// What went wrong is stored and logged, and a token may stand in an address.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_the_host_and_not_the_address() {
    let unheard = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let broken = server(|_| "no HTTP at all\r\n\r\n".to_owned()).await;
    for runtime in RUNTIMES {
        let package = hostile(runtime);
        let world = World::new();
        let asked = package.manifest().permissions.clone();
        let grants = [unheard, broken].iter().fold(Grants::by_default(&asked), |grants, address| {
            grants.with_private_host(&address.to_string())
        });
        world.load_with(package, Value::Null, Some(grants)).await;
        for address in [unheard, broken] {
            let url = format!("http://{address}/bot-s3cret/send?token=s3cret");
            let failed = world.host.handle("hostile", &[get(&url)]).await.expect_err("no answer");
            assert_eq!(failed.fault, Fault::Unavailable, "{runtime:?}: {failed}");
            assert!(failed.message.starts_with(&format!("{address}: ")), "{failed}");
            assert_eq!(failed.message.matches("127.0.0.1").count(), 1, "{failed}");
            assert!(!failed.message.contains("s3cret"), "{failed}");
        }
    }
}

/// Waiting costs a plugin nothing of what it may compute, but not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_too_long_is_stopped() {
    const CALL: Duration = Duration::from_secs(1);
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    for runtime in RUNTIMES {
        let package = hostile(runtime);
        let world = World::with(|options| options.limits.interactive.call = CALL);
        let grants =
            Grants::by_default(&package.manifest().permissions).with_private_host(&address.to_string());
        world.load_with(package, Value::Null, Some(grants)).await;
        let started = Instant::now();
        let failed =
            world.host.handle("hostile", &[get(&format!("http://{address}/"))]).await.expect_err("silence");
        assert!(started.elapsed() < CALL + SLACK, "{runtime:?} took {:?}", started.elapsed());
        assert_eq!(failed.fault, Fault::Timeout, "{runtime:?}: {failed}");
        assert!(
            failed.message.contains("took longer than 1000 ms (limits.call_ms)"),
            "{runtime:?}: {failed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_checked_again() {
    let inside = server(|_| plain("secret")).await;
    let port = inside.port();
    let outside = server(move |_| {
        format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    })
    .await;
    let endless = server(|own| {
        format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{own}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    })
    .await;
    for runtime in RUNTIMES {
        let package = hostile(runtime);
        let world = World::new();
        let asked = package.manifest().permissions.clone();
        let grants = Grants::by_default(&asked)
            .with_private_host(&outside.to_string())
            .with_private_host(&endless.to_string());
        world.load_with(package, Value::Null, Some(grants)).await;
        let failed =
            world.host.handle("hostile", &[get(&format!("http://{outside}/"))]).await.expect_err("denied");
        assert_eq!(failed.fault, Fault::Denied, "{failed}");
        assert_eq!(denied(&world), [format!("127.0.0.1:{port} (127.0.0.1)")]);
        let failed =
            world.host.handle("hostile", &[get(&format!("http://{endless}/"))]).await.expect_err("endless");
        assert_eq!(failed.fault, Fault::Unavailable, "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_not_granted_are_denied_and_audited() {
    for runtime in RUNTIMES {
        let package = hostile_with(runtime, |manifest| {
            manifest.replace("hosts = [\"*\"]", "hosts = [\"api.example.com\"]")
        });
        let world = World::new();
        world.load(package).await;
        for url in ["https://other.example/", "https://api.example.com:8443/", "https://example.com/"] {
            let failed = world.host.handle("hostile", &[get(url)]).await.expect_err(url);
            assert_eq!(failed.fault, Fault::Denied, "{failed}");
            assert!(failed.message.contains("permissions.hosts"), "{failed}");
        }
        assert_eq!(denied(&world), ["other.example:443", "api.example.com:8443", "example.com:443"]);
        for url in ["file:///etc/passwd", "https://user:word@api.example.com/", "nonsense"] {
            let failed = world.host.handle("hostile", &[get(url)]).await.expect_err(url);
            assert_eq!(failed.fault, Fault::Invalid, "{failed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_customers_need_grants() {
    for runtime in RUNTIMES {
        let world = World::hostile(runtime).await;
        let customer = world.customer(7, "Ada");
        let write = event_with("write", Some(customer), Attributes::new());
        let effects = world.host.handle("hostile", std::slice::from_ref(&write)).await.expect("granted");
        assert_eq!(effects.origin, "hostile");
        assert_eq!(
            effects.customers.iter().map(|(id, change)| (*id, change.version)).collect::<Vec<_>>(),
            [(customer, Some(1)), (customer, Some(2))]
        );
        assert_eq!(effects.messages.len(), 1, "the same key enqueues once");
        assert_eq!(effects.messages[0].1.idempotency_key, "hostile:hello");
        assert_eq!(effects.kept, [("counter".to_owned(), Some(b"1".to_vec()))]);

        let missing = world.host.handle("hostile", &[event("secret")]).await.expect_err("not set");
        assert_eq!(missing.fault, Fault::NotFound, "{missing}");
        world.stored.secrets.lock().insert("token".into(), "s3cret".into());
        let effects = world.host.handle("hostile", &[event("secret")]).await.expect("set");
        assert_eq!(effects.kept, [("secret".to_owned(), Some(b"s3cret".to_vec()))]);

        let nothing = Some(Grants(Permissions::default()));
        let status = world.load_with(hostile(runtime), Value::Null, nothing).await;
        assert!(!status.not_granted.is_empty());
        for event in [write, event("secret")] {
            let failed = world.host.handle("hostile", &[event]).await.expect_err("denied");
            assert_eq!(failed.fault, Fault::Denied, "{failed}");
        }
        assert_eq!(denied(&world), [customer.to_string(), "token".to_owned()]);
    }
}
