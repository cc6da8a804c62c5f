//! The real program: commands, and a server in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a server may take to answer for the first time: plugins may have to be compiled.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A file or folder of the source.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The program, which cargo puts beside the folder that the tests are in.
pub fn program() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().find(|folder| folder.join("regard").is_file());
    folder
        .map(|folder| folder.join("regard"))
        .context("there is no program `regard`: run `cargo build --release` first")
}

/// A command of the program over the store in `data_dir`; nothing from the environment gets in.
pub fn command(data_dir: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(program()?);
    for name in [
        "REGARD_DATA_DIR",
        "REGARD_DATABASE_URL",
        "REGARD_LISTEN",
        "REGARD_SERVER",
        "REGARD_TOKEN",
        "REGARD_LOG",
        "REGARD_ALLOW_NATIVE",
        "REGARD_INDEX",
        "REGARD_KEY_PASSWORD",
    ] {
        command.env_remove(name);
    }
    // The lock file goes beside the store: the working folder is the source.
    let lock = data_dir.join("regard-plugins.lock");
    command.args(arguments).env("REGARD_DATA_DIR", data_dir).env("REGARD_PLUGINS_LOCK", lock);
    command.current_dir(source(""));
    Ok(command)
}

/// Runs a command to its end and returns what it printed.
pub fn run(data_dir: &Path, arguments: &[&str]) -> Result<Output> {
    command(data_dir, arguments)?
        .output()
        .with_context(|| format!("cannot run regard {}", arguments.join(" ")))
}

/// Runs a command that must succeed and returns its standard output.
pub fn regard(data_dir: &Path, arguments: &[&str]) -> Result<String> {
    let output = run(data_dir, arguments)?;
    if !output.status.success() {
        bail!("regard {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command with `--json` that must succeed and returns its answer.
pub fn regard_json(data_dir: &Path, arguments: &[&str]) -> Result<Value> {
    let printed = regard(data_dir, &[arguments, &["--json"]].concat())?;
    serde_json::from_str(&printed)
        .with_context(|| format!("regard {} did not print one JSON document", arguments.join(" ")))
}

/// A server in a process of its own; killed when it goes out of scope.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    data_dir: PathBuf,
    _own: Option<TempDir>,
}

impl Server {
    /// Starts a server over a new store.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut server = Self::start_in(folder.path())?;
        server._own = Some(folder);
        Ok(server)
    }

    /// Starts a server over the store in `data_dir` and waits until it answers.
    pub fn start_in(data_dir: &Path) -> Result<Self> {
        Self::start_with(data_dir, &[])
    }

    /// The same with more arguments, such as `--database-url`.
    pub fn start_with(data_dir: &Path, more: &[&str]) -> Result<Self> {
        Self::start_from(&source(""), data_dir, more)
    }

    /// The same with another working folder, whose `regard.toml` counts.
    pub fn start_from(folder: &Path, data_dir: &Path, more: &[&str]) -> Result<Self> {
        let arguments = [&["serve", "--json", "--listen", "127.0.0.1:0"], more].concat();
        let mut child = command(data_dir, &arguments)?
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let address = match listening(&mut child) {
            Ok(address) => address,
            Err(error) => {
                let _ = child.kill();
                let mut said = String::new();
                child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said)).transpose()?;
                bail!("the server did not start: {error:#}\n{said}");
            }
        };
        // What it logs must not fill the pipe and stop it.
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut { stderr }, &mut std::io::sink()));
        }
        let server = Self { child, address, data_dir: data_dir.to_owned(), _own: None };
        let until = Instant::now() + READY_WITHIN;
        while std::net::TcpStream::connect(address).is_err() {
            anyhow::ensure!(Instant::now() < until, "the server at {address} does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its store is.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A new token with `role`.
    pub fn token(&self, role: &str) -> Result<String> {
        Ok(regard(&self.data_dir, &["token", "create", "--role", role])?.trim().to_owned())
    }

    /// Makes a channel without a connector.
    pub fn make_channel(&self, name: &str) -> Result<Value> {
        let token = self.token("admin")?;
        let (status, answer) =
            self.call(Method::POST, "/channels", &token, Some(json!({ "name": name, "kind": name })))?;
        anyhow::ensure!(status == 201, "{status}: {answer}");
        Ok(answer)
    }

    /// Calls a path below `/api/v1` with a token and returns status and answer.
    pub fn call(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let url = format!("http://{}/api/v1{path}", self.address);
        block_on(async move {
            let mut request = client().request(method, url).bearer_auth(token);
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let response = request.send().await?;
            let status = response.status().as_u16();
            let text = response.text().await?;
            let answer = if text.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            };
            Ok((status, answer))
        })
    }

    /// Tells the process to stop, as a service manager does, and waits for it.
    pub fn stop(mut self, limit: Duration) -> Result<ExitStatus> {
        let told = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        anyhow::ensure!(told.context("`kill` does not run")?.success(), "the server was gone already");
        let until = Instant::now() + limit;
        loop {
            if let Some(ended) = self.child.try_wait()? {
                return Ok(ended);
            }
            anyhow::ensure!(Instant::now() < until, "the server has not stopped within {limit:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the process as a power failure would: no chance to finish anything.
    pub fn kill(mut self) -> Result<Option<TempDir>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self._own.take())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the JSON document in which the server says where it listens.
fn listening(child: &mut Child) -> Result<SocketAddr> {
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut text = String::new();
    for line in &mut lines {
        text.push_str(&line?);
        if let Ok(answer) = serde_json::from_str::<Value>(&text) {
            return Ok(answer["listening"].as_str().context("no address")?.parse()?);
        }
    }
    bail!("it ended before it said where it listens")
}

/// An HTTP client. Its TLS needs a provider of cryptography even where nothing is encrypted.
pub fn client() -> reqwest::Client {
    // A second installation is refused and harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// Runs a future to its end on a small runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
