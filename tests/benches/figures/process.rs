//! Cold start of the server, and memory of the demo.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use regard_tests::server::{Server, program, regard, source};

/// Prints milliseconds until the server answers and resident megabytes.
pub fn measure() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for plugin in ["connector-webhook", "hook-welcome", "kpi-clv", "kpi-repeat-rate", "kpi-rfm"] {
        regard(folder.path(), &["plugin", "install", &source("plugins").join(plugin).to_string_lossy()])?;
    }
    let mut waits = Vec::new();
    let mut resident = 0.0;
    for _ in 0..super::ROUNDS {
        let started = Instant::now();
        let server = Server::start_in(folder.path())?;
        waits.push(started.elapsed().as_secs_f64() * 1000.0);
        resident = memory_mb(server.pid())?;
    }
    waits.sort_by(f64::total_cmp);
    println!(
        "| `serve` ready, all bundled plugins, warm cache | | {:.0} to {:.0} | {:.0} ms |",
        waits[0],
        waits[waits.len() - 1],
        waits[waits.len() / 2]
    );
    println!("| resident memory, idle, all bundled plugins | | | {resident:.0} MB |");

    let output = Command::new("/usr/bin/env")
        .args([
            "python3",
            "-c",
            PEAK,
            &program()?.to_string_lossy(),
            "demo",
            "--once",
            "--json",
            "--data-dir",
        ])
        .arg(folder.path().join("demo"))
        .output()
        .context("python3 measures the demo's memory")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!(
        "| greatest resident memory of the demo | | | {} MB |",
        String::from_utf8_lossy(&output.stdout).trim()
    );
    Ok(())
}

/// Runs a command and prints the greatest resident size that the system saw, in megabytes.
const PEAK: &str = "import resource,subprocess,sys\n\
subprocess.run(sys.argv[1:],check=True,stdout=subprocess.DEVNULL)\n\
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss//1024)";

fn memory_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kilobytes / 1024.0)
}
