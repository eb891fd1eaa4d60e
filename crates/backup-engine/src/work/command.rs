//! The command by which servers are made to begin anew.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout_at};

use super::Failure;
use crate::history;

/// What is shown of what a command has said, in bytes.
const SHOWN: usize = 500;
/// How long a process that was killed may take to be gone.
const DYING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Runs it, with the directory of the files in `RECOVER_DIR`. What it says is in a file beside that directory, and, so that
/// nothing is left of it after a failure of ours, its process as well.
pub(super) async fn run(command: &str, directory: &Path, deadline: Instant) -> Result<(), Failure> {
    // Not a pipe: servers that the command leaves running go on writing to it.
    let said = directory.with_extension("log");
    let out = history::create(&said)?;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("RECOVER_DIR", directory)
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
    if ended.is_err() {
        kill(process);
        child.wait().await?;
    }
    fs::remove_file(noted(directory))?;
    match ended {
        Err(_) => Err(format!("RESTORE_RESTART_COMMAND did not end in time{}", last_words(&said)).into()),
        Ok(status) => match status? {
            status if status.success() => Ok(()),
            status => Err(format!("RESTORE_RESTART_COMMAND failed ({status}){}", last_words(&said)).into()),
        },
    }
}

/// Ends a command that an earlier restore, which was interrupted, has left running. Says whether there was one.
pub(super) async fn end_left_over(directory: &Path) -> Result<bool, Failure> {
    let text = match fs::read_to_string(noted(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        text => text?,
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
                return Err(format!(
                    "process {process}, an earlier RESTORE_RESTART_COMMAND, cannot be ended"
                )
                .into());
            }
            sleep(LOOK).await;
        }
    }
    fs::remove_file(noted(directory))?;
    Ok(process.is_some())
}

fn noted(directory: &Path) -> PathBuf {
    directory.with_extension("pid")
}

fn note(directory: &Path, process: u32) -> io::Result<()> {
    let mut file = history::create(&noted(directory))?;
    let begun = begin_of(process).unwrap_or_default();
    write!(file, "{process} {begun}")?;
    file.sync_all()
}

/// When a process began, in the system's own measure (proc(5), stat), if it has not ended.
fn begin_of(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let begun = fields.nth(18)?;
    (state != "Z").then(|| begun.to_owned())
}

/// With all that it has started.
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
