//! A PostgreSQL server for the time of a test run, and a fresh database for each case.
//!
//! The server is the real one, with `fsync` on, started from the binaries of the Debian package `postgresql` in a
//! directory of its own. One server serves all cases of a test process. It ends with the process, however that ends:
//! a shell waits at the other end of a pipe and stops the server when the pipe closes. Where a server runs already,
//! `REGARD_TEST_DATABASE_URL` names it instead, as `postgres://user:password@host:port/database`, with the right to
//! make databases.
//!
//! Nothing is skipped: without the binaries a case fails and says what to install.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Names a server to use instead of starting one.
const URL_VARIABLE: &str = "REGARD_TEST_DATABASE_URL";
/// Where Debian keeps the binaries that are not on the path, one directory for each major version.
const DEBIAN_BINARIES: &str = "/usr/lib/postgresql";
/// Users that the server may run as, best first: PostgreSQL refuses to run as root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];
/// How long the server may take to start, in milliseconds: `initdb` writes 40 MB and syncs them.
const START_MS_MAX: u64 = 60_000;
/// How often we look whether it has started, in milliseconds.
const START_POLL_MS: u64 = 50;
/// Connections of all cases together: each store opens a few, and cases run side by side.
const CONNECTIONS_MAX: u32 = 300;
/// Ends the server when the pipe on standard input closes. `$1` is the directory, the rest starts the server.
const KEEPER: &str = r#"dir=$1; shift
"$@" >"$dir/server.log" 2>&1 & server=$!
echo "$server"
cat >/dev/null
kill -INT "$server" 2>/dev/null; wait "$server" 2>/dev/null
rm -rf "$dir""#;

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A running server.
#[derive(Debug)]
struct Server {
    /// Address without a database.
    base: String,
    /// The database in which others are made.
    home: String,
    psql: PathBuf,
}

/// A database of one case; dropped with it.
#[derive(Debug)]
pub struct Database {
    server: &'static Server,
    name: String,
}

impl Database {
    /// A fresh, empty database.
    ///
    /// # Errors
    /// When there is no server and none can be started; the message says what to install.
    pub fn fresh() -> Result<Self> {
        let server = match SERVER.get_or_init(|| Server::find().map_err(|why| format!("{why:#}"))) {
            Ok(server) => server,
            Err(why) => bail!("no PostgreSQL for the tests: {why}"),
        };
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("regard_test_{}_{number}", std::process::id());
        server.run(&server.home, &format!("CREATE DATABASE {name}"))?;
        Ok(Self { server, name })
    }

    /// The address of the database.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server.base, self.name)
    }

    /// Runs SQL in the database; rows come back as lines, columns separated by `|`.
    ///
    /// # Errors
    /// What the server says about the SQL.
    pub fn run(&self, sql: &str) -> Result<String> {
        self.server.run(&self.name, sql)
    }

    /// Cuts every other connection to the database, as a restart of the server or a broken network would.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn cut_connections(&self) -> Result<()> {
        let others = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.name
        );
        self.server.run(&self.server.home, &others).map(|_| ())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What stays behind goes with the server.
        let _ = self
            .server
            .run(&self.server.home, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

impl Server {
    fn find() -> Result<Self> {
        match std::env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => {
                let (base, home) =
                    url.rsplit_once('/').with_context(|| format!("{URL_VARIABLE} names no database"))?;
                Ok(Self { base: base.to_owned(), home: home.to_owned(), psql: binary("psql")? })
            }
            _ => Self::start(),
        }
    }

    fn start() -> Result<Self> {
        let (initdb, postgres, psql) = (binary("initdb")?, binary("postgres")?, binary("psql")?);
        let root = tempfile::Builder::new().prefix("regard-postgres-").tempdir()?.keep();
        let data = root.join("data");
        std::fs::create_dir(&data)?;
        let user = unprivileged_user()?;
        if let Some(user) = &user {
            std::os::unix::fs::chown(&root, Some(user.uid), Some(user.gid))?;
            std::os::unix::fs::chown(&data, Some(user.uid), Some(user.gid))?;
        }
        let made = as_user(user.as_ref(), &initdb)
            .args(["--username=regard", "--auth=trust", "--encoding=UTF8", "--no-locale", "-D"])
            .arg(&data)
            .current_dir(&root)
            .output()
            .context("initdb did not start")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));

        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut keeper = as_user(user.as_ref(), Path::new("sh"));
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(&root)
            .arg(&postgres)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&root);
        for setting in [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".into(),
            "fsync=on".into(),
            format!("max_connections={CONNECTIONS_MAX}"),
            "log_min_messages=warning".into(),
        ] {
            keeper.arg("-c").arg(setting);
        }
        // A process group of its own, so that an interrupt at the terminal reaches us first and the keeper sees the
        // pipe close.
        std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
        let mut keeper = keeper
            .current_dir(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the server did not start")?;
        let mut pid = String::new();
        BufReader::new(keeper.stdout.take().context("the keeper has no output")?).read_line(&mut pid)?;
        // Forgetting the child leaves our end of the pipe open until the process ends, which is the point.
        std::mem::forget(keeper);

        let server =
            Self { base: format!("postgres://regard@127.0.0.1:{port}"), home: "postgres".into(), psql };
        let deadline = Instant::now() + Duration::from_millis(START_MS_MAX);
        while let Err(why) = server.run("postgres", "SELECT 1") {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(root.join("server.log")).unwrap_or_default();
                bail!("the server (process {}) does not answer: {why:#}\n{log}", pid.trim());
            }
            std::thread::sleep(Duration::from_millis(START_POLL_MS));
        }
        Ok(server)
    }

    fn run(&self, database: &str, sql: &str) -> Result<String> {
        let output = Command::new(&self.psql)
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
                "--command",
                sql,
            ])
            .arg(format!("{}/{database}", self.base))
            .output()
            .context("psql did not start")?;
        ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?.trim_end_matches('\n').to_owned())
    }
}

/// A user of the system.
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

/// The user to run the server as; `None` when we are not root and may run it ourselves.
fn unprivileged_user() -> Result<Option<User>> {
    let uid = Command::new("id").arg("-u").output().context("`id` did not start")?;
    if String::from_utf8_lossy(&uid.stdout).trim() != "0" {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let mut fields = accounts
            .lines()
            .map(|line| line.split(':'))
            .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
        Some(User {
            name: name.to_owned(),
            uid: fields.nth(1)?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    };
    let user = UNPRIVILEGED.iter().find_map(|name| find(name));
    Ok(Some(
        user.context("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")?,
    ))
}

/// A command that runs `program` as `user`.
fn as_user(user: Option<&User>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", user.uid))
        .arg(format!("--regid={}", user.gid))
        .arg("--clear-groups")
        .arg(program)
        .env("USER", &user.name)
        .env("HOME", "/");
    command
}

/// Finds a binary on the path or where Debian keeps it; of several versions the newest.
fn binary(name: &str) -> Result<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&on_path).map(|directory| directory.join(name)).find(|file| file.is_file());
    let versions = std::fs::read_dir(DEBIAN_BINARIES).into_iter().flatten().flatten();
    let in_debian = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path())))
        .map(|(version, path)| (version, path.join("bin").join(name)))
        .filter(|(_, file)| file.is_file())
        .max()
        .map(|(_, file)| file);
    // On Debian the path has wrappers for the client programs only; the newest server fits itself best.
    in_debian.or(on_path).with_context(|| {
        format!("`{name}` is not installed: install the Debian package postgresql, or name a server in {URL_VARIABLE}")
    })
}
