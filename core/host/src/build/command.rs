//! Programs run with a deadline, their output read as it comes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How often a program that says nothing is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The last lines kept for an error message; a compiler's errors stand at the end.
const ERROR_LINES_MAX: usize = 200;

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit status; none when the deadline ended it.
    pub status: Option<ExitStatus>,
    /// Everything written to standard output.
    pub stdout: String,
    /// The last lines written to standard error.
    pub stderr: String,
}

impl Finished {
    /// Whether it ended by itself and well.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// One line on how it failed, for a message that goes on to another way.
    pub fn failure(&self) -> String {
        let end = match self.status {
            None => "took too long".to_owned(),
            Some(status) => status.to_string(),
        };
        match self.stderr.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("{end}: {}", line.trim()),
            None => end,
        }
    }
}

enum Said {
    Out(String),
    Err(String),
}

/// Runs `command` until it ends or `deadline` has passed, handing each line of standard error to `progress`.
pub fn run(
    command: &mut Command,
    deadline: Duration,
    progress: &mut dyn FnMut(&str),
) -> std::io::Result<Finished> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let end = Instant::now() + deadline;
    let (sender, receiver) = mpsc::channel();
    forward(child.stdout.take(), sender.clone(), Said::Out);
    forward(child.stderr.take(), sender, Said::Err);

    let mut finished = Finished { status: None, stdout: String::new(), stderr: String::new() };
    let mut errors = std::collections::VecDeque::new();
    loop {
        match receiver.recv_timeout(LOOK_EVERY) {
            Ok(Said::Out(line)) => {
                finished.stdout.push_str(&line);
                finished.stdout.push('\n');
            }
            Ok(Said::Err(line)) => {
                progress(&line);
                if errors.len() == ERROR_LINES_MAX {
                    errors.pop_front();
                }
                errors.push_back(line);
            }
            // Both pipes are closed: the program has ended or is about to.
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() >= end {
            break;
        }
    }
    loop {
        if let Some(status) = child.try_wait()? {
            finished.status = Some(status);
            break;
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            break;
        }
        thread::sleep(LOOK_EVERY / 10);
    }
    finished.stderr = errors.into_iter().collect::<Vec<_>>().join("\n");
    Ok(finished)
}

fn forward(pipe: Option<impl Read + Send + 'static>, sender: Sender<Said>, say: fn(String) -> Said) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            if sender.send(say(text)).is_err() {
                break;
            }
            line.clear();
        }
    });
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> (Finished, Vec<String>) {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        let finished = run(command.args(["-c", script]), deadline, &mut |line| lines.push(line.to_owned()));
        (finished.expect("sh runs"), lines)
    }

    #[test]
    fn output_and_status_are_kept() {
        let (finished, lines) =
            shell("echo out; echo one >&2; echo two >&2; exit 3", Duration::from_secs(10));
        assert_eq!((finished.stdout.as_str(), lines.len()), ("out\n", 2));
        assert!(!finished.success());
        assert_eq!(finished.failure(), "exit status: 3: two");
    }

    #[test]
    fn a_deadline_ends_the_program() {
        let started = Instant::now();
        let (finished, _) = shell("exec sleep 30", Duration::from_millis(200));
        assert!(finished.status.is_none());
        assert_eq!(finished.failure(), "took too long");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
