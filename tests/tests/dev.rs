//! `regard plugin dev` beside a running server: every change of the folder serves a moment later, a mistake is said and
//! does no harm, and nothing is pinned.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use regard_tests::server::{Server, block_on, client, command, regard};
use reqwest::Method;
use serde_json::json;

/// How long a change may take to serve; other tests keep the same processors busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The command at work, and what it says.
struct Dev {
    child: Child,
    lines: Receiver<String>,
}

impl Dev {
    fn start(server: &Server, folder: &Path, token: &str) -> Self {
        let address = format!("http://{}", server.address());
        let mut command =
            command(server.data_dir(), &["plugin", "dev", "--server", &address, "--token", token])
                .expect("the program");
        let mut child = command
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (send, lines) = channel();
        let stdout = child.stdout.take().expect("its output");
        let stderr = child.stderr.take().expect("its remarks");
        for reader in [Box::new(stdout) as Box<dyn std::io::Read + Send>, Box::new(stderr)] {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(reader).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines }
    }

    /// Waits for a line that begins like this; what came before it.
    fn says(&self, start: &str) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let is_it = line.starts_with(start);
                    said.push(line);
                    if is_it {
                        return said;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line begins with `{start}`:\n{}", said.join("\n"))
                }
            }
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connector that answers every webhook with `text`.
fn answering(text: &str) -> String {
    format!(
        "return {{ connector = {{\n    describe = function() return {{ receives = true, address_scheme = \"email\" }} \
         end,\n    receive = function() return {{ items = {{}}, reply = {{ body = \"{text}\" }} }} end,\n}} }}\n"
    )
}

#[test]
fn a_change_serves_a_moment_later() {
    let server = Server::start().expect("serves");
    let token = server.token("admin").expect("a token");
    let author = tempfile::tempdir().expect("a folder");
    let folder = author.path().join("connector-echo");
    let folder_text = folder.to_str().expect("UTF-8");
    regard(server.data_dir(), &["plugin", "new", "connector-echo", "--dir", folder_text]).expect("made");
    std::fs::remove_dir_all(folder.join("fixtures")).expect("removed");
    let manifest = "id = \"connector-echo\"\nname = \"Echo\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\n\
                    runtime = \"luau\"\ncapabilities = [\"connector\"]\n";
    std::fs::write(folder.join("plugin.toml"), manifest).expect("written");
    let write = |text: &str| std::fs::write(folder.join("handler.luau"), text).expect("written");
    write(&answering("one"));

    let mut dev = Dev::start(&server, &folder, &token);
    dev.says("installed connector-echo serves");
    let made = json!({ "name": "echo", "kind": "echo", "connector": "connector-echo", "settings": {} });
    let (status, answer) = server.call(Method::POST, "/channels", &token, Some(made)).expect("an answer");
    assert_eq!(status, 201, "{answer}");
    let webhook = || {
        let url = format!("http://{}/api/v1/inbound/echo", server.address());
        block_on(async { client().post(url).send().await.expect("an answer").text().await.expect("a body") })
    };
    assert_eq!(webhook(), "one");

    // The same version with other code, again and again.
    for text in ["two", "three"] {
        write(&answering(text));
        let said = dev.says("installed connector-echo serves").join("\n");
        assert!(
            said.contains("changed   handler.luau") && said.contains("built     connector-echo 0.1.0"),
            "{said}"
        );
        assert_eq!(webhook(), text);
    }

    // A mistake is said, and what served goes on serving.
    write("return {");
    let said = dev.says("FAILED").join("\n");
    assert!(said.contains("handler.luau"), "{said}");
    assert_eq!(webhook(), "three");
    write(&answering("four"));
    dev.says("installed connector-echo serves");
    assert_eq!(webhook(), "four");

    let lock = server.data_dir().join("regard-plugins.lock");
    assert!(!lock.exists(), "a development install is nobody's pin");
    let told = Command::new("kill").args(["-INT", &dev.child.id().to_string()]).status().expect("kill runs");
    assert!(told.success());
    dev.says("stopped");
    assert!(dev.child.wait().expect("it ends").success());
}
