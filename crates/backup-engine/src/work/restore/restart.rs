//! The command by which servers are made to begin anew.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout_at};

use super::private_files;
use crate::work::failure::Failure;

/// What is shown of what a command has said, in bytes.
const SHOWN: usize = 500;
/// How long a process that was killed may take to be gone.
const DYING: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// What is run.
pub(super) struct Restart<'a> {
    /// What people call it.
    pub(super) name: &'a str,
    pub(super) command: &'a str,
    /// All that it is given, the variable apart.
    pub(super) environment: &'a [(OsString, OsString)],
    /// What has the directory of the files.
    pub(super) variable: &'a str,
}

/// Runs it, with the directory of the files in its variable. What it says is in a file beside that directory, and, so that
/// nothing is left of it after a failure of ours, its process as well.
pub(super) async fn run(
    Restart {
        name,
        command,
        environment,
        variable,
    }: &Restart<'_>,
    directory: &Path,
    deadline: Instant,
) -> Result<(), Failure> {
    // Not a pipe: servers that the command leaves running go on writing to it.
    let said = directory.with_extension("log");
    let out = private_files::create(&said)?;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env(variable, directory)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0)
        .spawn()?;
    let process = child.id().unwrap_or_default();
    if let Err(error) = note(directory, process) {
        kill(process);
        return Err(error.into());
    }
    let ended = timeout_at(deadline, child.wait()).await;
    match &ended {
        Err(_) => {
            kill(process);
            child.wait().await?;
        }
        // What it has started must not go on.
        Ok(status) if !status.as_ref().is_ok_and(std::process::ExitStatus::success) => kill(process),
        Ok(_) => {}
    }
    fs::remove_file(noted(directory))?;
    match ended {
        Err(_) => Err(format!("{name} did not end in time{}", last_words(&said)).into()),
        Ok(status) => match status? {
            status if status.success() => Ok(()),
            status => Err(format!("{name} failed ({status}){}", last_words(&said)).into()),
        },
    }
}

/// Ends a command that an earlier restore, which was interrupted, has left running. Says whether there was one.
pub(super) async fn end_left_over(name: &str, directory: &Path) -> Result<bool, Failure> {
    let text = match fs::read(noted(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        text => String::from_utf8_lossy(&text?).into_owned(), // whatever else it holds names no process
    };
    let process = text.split_once(' ').and_then(|(process, begun)| {
        let process = process.parse::<u32>().ok()?;
        (begun == begin_of(process)?).then_some(process)
    });
    if let Some(process) = process {
        kill(process);
        let deadline = Instant::now() + DYING;
        while begin_of(process).is_some() {
            if Instant::now() > deadline {
                return Err(
                    format!("{name} of an earlier restore, process {process}, cannot be ended").into(),
                );
            }
            sleep(POLL_INTERVAL).await;
        }
    }
    fs::remove_file(noted(directory))?;
    Ok(process.is_some())
}

fn noted(directory: &Path) -> PathBuf {
    directory.with_extension("pid")
}

fn note(directory: &Path, process: u32) -> io::Result<()> {
    let mut file = private_files::create(&noted(directory))?;
    let begun = begin_of(process).unwrap_or_default();
    write!(file, "{process} {begun}")?;
    file.sync_all()
}

/// When a process began, in the system's own measure (proc(5), stat), and since which boot, if it has not ended.
fn begin_of(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let begun = fields.nth(18)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    (state != "Z").then(|| format!("{begun} {}", boot.trim()))
}

/// With its process group.
fn kill(process: u32) {
    if let Some(group) = process.try_into().ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL); // it may have ended just now
    }
}

/// The end of what a command has said.
fn last_words(said: &Path) -> String {
    let said = fs::read(said).unwrap_or_default();
    let end = String::from_utf8_lossy(&said[said.len().saturating_sub(SHOWN)..]).into_owned();
    match end.trim() {
        "" => String::new(),
        end => format!(": {end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_has_no_secrets_and_leaves_nothing_running() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        let directory = place.path().join("recover");
        let deadline = Instant::now() + Duration::from_secs(60);
        // Cargo sets this one for tests: it stands for any that is not handed on.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let command = "sleep 1000 & echo $! >\"$place.started\"; env >\"$place.env\"; exit 1";
        let restart = Restart {
            name: "the command",
            command,
            environment: &[("PATH".into(), path)],
            variable: "place",
        };
        assert!(run(&restart, &directory, deadline).await.is_err());
        let environment = fs::read_to_string(directory.with_extension("env"))?;
        assert!(!environment.contains("CARGO_MANIFEST_DIR"), "{environment}");
        assert!(environment.contains("PATH="), "{environment}");
        let started = fs::read_to_string(directory.with_extension("started"))?;
        let started = started.trim().parse::<u32>().map_err(io::Error::other)?;
        while begin_of(started).is_some() {
            assert!(Instant::now() < deadline, "{started} goes on");
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}
