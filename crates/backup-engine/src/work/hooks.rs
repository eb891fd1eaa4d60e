//! Commands that are run before and after backups and restores.

use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::process::Stdio;
use std::time::Duration;

use job_queue::{Job, JobState};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;
use tokio::time::timeout;

use crate::kind::{self, JobKind};
use crate::requests::RestorePayload;

/// What is shown of what a command has said, in bytes.
const SHOWN: usize = 500;
/// What it is told of the job's message, in bytes: Linux starts nothing that is given a variable of 128 KiB.
const TOLD: usize = 8 << 10;
/// So long the rest of it may take to come once the command has ended.
const REST: Duration = Duration::from_millis(500);

/// Commands around backups and restores; around no checks, and no dry runs.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// Run before the job does anything: if it fails, so does the job.
    pub before: Option<Hook>,
    /// Run at the end of the job, however it ended: if it fails, the job's message says so, and its state stays. Once the engine is to end it has 5 seconds
    /// more. It is not run for a job that is interrupted by the end of the process, or whose claim is lost.
    pub after: Option<Hook>,
    /// So long each may take; then it is killed with its process group, and has failed. What has left that group, as by `setsid`, goes on. 60 seconds, if not said.
    pub timeout: Duration,
    /// All that they are given of an environment, beside what tells of the job.
    pub environment: Vec<(OsString, OsString)>,
    /// The variables that tell of the job.
    pub variables: HookVariables,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            before: None,
            after: None,
            timeout: Duration::from_secs(60),
            environment: Vec::new(),
            variables: HookVariables::default(),
        }
    }
}

/// What the variables are called that tell a hook of its job; as the fields are, if not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookVariables {
    /// Its id.
    pub job: String,
    /// `backup` or `restore`.
    pub job_type: String,
    /// The backup that it is about.
    pub vault: String,
    /// Only after it: `Successful`, `Failed` or `Canceled`.
    pub job_status: String,
    /// Only after it: why it failed, the first 8 KiB of that.
    pub job_message: String,
}

impl Default for HookVariables {
    fn default() -> Self {
        Self {
            job: "job".to_owned(),
            job_type: "job_type".to_owned(),
            vault: "vault".to_owned(),
            job_status: "job_status".to_owned(),
            job_message: "job_message".to_owned(),
        }
    }
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What people call it.
    pub name: String,
    /// The program.
    pub program: String,
    /// What it is given, word by word: there is no shell.
    pub arguments: Vec<String>,
}

impl Hook {
    /// A program that is given nothing, and is called by its name.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        let program = program.into();
        Self {
            name: program.clone(),
            program,
            arguments: Vec::new(),
        }
    }
}

/// How the job has ended that a hook is run after.
pub(super) struct Ended<'a> {
    pub(super) state: JobState,
    pub(super) message: &'a str,
}

impl Hooks {
    /// The hook before `job`, if it has one.
    pub(super) async fn before(&self, job: &Job) -> Result<(), String> {
        match &self.before {
            Some(hook) if is_around(job) => self.run(hook, job, None).await,
            _ => Ok(()),
        }
    }

    /// The hook after `job`, if it has one; it is given up once `until` ends.
    pub(super) async fn after(
        &self,
        job: &Job,
        ended: Ended<'_>,
        until: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let Some(hook) = self.after.as_ref().filter(|_| is_around(job)) else {
            return Ok(());
        };
        tokio::select! {
            done = self.run(hook, job, Some(ended)) => done,
            () = until => Err(format!("{} was given up, as the process ends", hook.name)),
        }
    }

    async fn run(&self, hook: &Hook, job: &Job, ended: Option<Ended<'_>>) -> Result<(), String> {
        let name = &hook.name;
        let failed = |why: &dyn std::fmt::Display| format!("{name} failed: {why}");
        let (pipe, out) = io::pipe().map_err(|error| failed(&error))?;
        let mut said = Said::new(pipe).map_err(|error| failed(&error))?;
        let (mut command, names) = (Command::new(&hook.program), &self.variables);
        command
            .args(&hook.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(&names.job, &job.id)
            .env(&names.job_type, JobKind::of(job).name())
            .env(&names.vault, kind::vault(job))
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(|error| failed(&error))?)
            .stderr(out)
            .process_group(0);
        if let Some(Ended { state, message }) = ended {
            command
                .env(&names.job_status, state.name())
                .env(&names.job_message, for_a_variable(message));
        }
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let mut group = Group(child.id());
        // It has our ends of the pipe.
        drop(command);
        match timeout(self.timeout, said.until(child.wait())).await {
            Ok(Ok(status)) if status.success() => {
                group.0 = None;
                Ok(())
            }
            Ok(Ok(status)) => Err(failed(&format!("{status}{}", said.last_words().await))),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => {
                let (seconds, said) = (self.timeout.as_secs(), said.last_words().await);
                Err(format!("{name} did not end within {seconds} seconds{said}"))
            }
        }
    }
}

/// The beginning of a message, without what no variable can hold.
fn for_a_variable(message: &str) -> String {
    message[..message.floor_char_boundary(TOLD)].replace('\0', "")
}

/// Checks leave the ensemble alone, and dry runs, too.
fn is_around(job: &Job) -> bool {
    match JobKind::of(job) {
        JobKind::Backup => true,
        // One that cannot be read fails by itself.
        JobKind::Restore => RestorePayload::deserialize(&job.payload).is_ok_and(|asked| !asked.dry_run),
        _ => false,
    }
}

/// A command with its process group, which is killed where this is dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|process| process.try_into().ok());
        if let Some(group) = leader.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL); // it may have ended just now
        }
    }
}

/// The end of what a command says. Whatever it leaves running has nobody who listens once this is dropped.
struct Said {
    pipe: Receiver,
    end: Vec<u8>,
}

impl Said {
    fn new(pipe: PipeReader) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(pipe.into())?;
        let end = Vec::new();
        Ok(Self { pipe, end })
    }

    /// Listens until `ended` ends.
    async fn until<T>(&mut self, ended: impl Future<Output = T>) -> T {
        tokio::pin!(ended);
        let mut is_open = true;
        loop {
            tokio::select! {
                ended = &mut ended => return ended,
                more = self.more(), if is_open => is_open = more,
            }
        }
    }

    /// Waits for something, and says whether there may be more. May be dropped while it waits.
    async fn more(&mut self) -> bool {
        let mut some = [0; 1024];
        match self.pipe.read(&mut some).await {
            Ok(0) => false,
            Ok(length) => {
                self.end.extend_from_slice(&some[..length]);
                self.end.drain(..self.end.len().saturating_sub(SHOWN));
                true
            }
            Err(error) => {
                log::warn!("what a hook says cannot be read: {error}");
                false
            }
        }
    }

    async fn last_words(mut self) -> String {
        let rest = async { while self.more().await {} };
        let _ = timeout(REST, rest).await; // what it has left running may never be silent
        match String::from_utf8_lossy(&self.end).trim() {
            "" => String::new(),
            end => format!(": {end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use job_queue::{JobStore as _, MAIN_LANE, MemoryJobs, NewJob};
    use time::OffsetDateTime;

    use super::*;

    fn job(kind: &str, payload: serde_json::Value) -> Job {
        let (jobs, now) = (MemoryJobs::new(), OffsetDateTime::UNIX_EPOCH);
        let mut new = NewJob::new("20261123T140000", kind);
        new.payload = payload;
        jobs.enqueue(new, now, 1).unwrap();
        jobs.claim("worker", MAIN_LANE, now).unwrap().unwrap()
    }

    fn hooks(script: &str) -> Hooks {
        Hooks {
            before: Some(Hook {
                name: "HOOK_BEFORE".to_owned(),
                arguments: vec!["-c".to_owned(), script.to_owned()],
                ..Hook::new("/bin/sh")
            }),
            ..Hooks::default()
        }
    }

    #[tokio::test]
    async fn a_hook_is_told_of_the_job_and_of_nothing_else() {
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let backup = job("backup", serde_json::json!({}));
        let told = hooks("echo $job $job_type $vault $CARGO_MANIFEST_DIR; exit 3");
        let failed = told.before(&backup).await.unwrap_err();
        assert_eq!(
            failed,
            "HOOK_BEFORE failed: exit status: 3: 20261123T140000 backup 20261123T140000"
        );
        let restore = |dry_run| {
            let asked =
                serde_json::json!({"roots": [], "renames": {}, "policy": "replace", "dry_run": dry_run});
            job("restore", asked)
        };
        assert_eq!(told.before(&restore(true)).await, Ok(()));
        assert!(told.before(&restore(false)).await.is_err());
        assert_eq!(told.before(&job("verify", serde_json::json!({}))).await, Ok(()));
        let lost = Hooks {
            before: Some(Hook {
                program: "/nowhere/program".to_owned(),
                ..told.before.clone().unwrap()
            }),
            ..told
        };
        let failed = lost.before(&backup).await.unwrap_err();
        assert!(failed.starts_with("HOOK_BEFORE failed: No such file"), "{failed}");
    }

    #[tokio::test]
    async fn of_a_hook_that_says_much_the_end_is_shown_and_nothing_is_kept_elsewhere() {
        let much =
            hooks("head -c 300000 /dev/zero | tr '\\0' x; echo; echo the end >&2; sleep 1000 & exit 1");
        let failed = much
            .before(&job("backup", serde_json::json!({})))
            .await
            .unwrap_err();
        assert!(failed.ends_with("xxx\nthe end"), "{failed}");
        assert!(failed.len() < 550, "{failed}");
    }

    #[tokio::test]
    async fn a_hook_is_run_however_long_the_message_is() {
        let place = tempfile::tempdir().unwrap();
        let said = place.path().join("said");
        let mut told = hooks(&format!("printf %s \"$job_message\" >{}", said.display()));
        told.after = told.before.take();
        // A character is not cut in two.
        let message = format!("{}{}", "x".repeat(TOLD - 1), "é".repeat(100_000));
        let ended = Ended {
            state: JobState::Failed,
            message: &message,
        };
        let job = job("backup", serde_json::json!({}));
        let done = told.after(&job, ended, std::future::pending()).await;
        assert_eq!(done, Ok(()));
        assert_eq!(std::fs::read_to_string(said).unwrap(), "x".repeat(TOLD - 1));
    }

    #[tokio::test]
    async fn a_hook_that_does_not_end_has_failed() {
        let mut late = hooks("echo so far; sleep 1000");
        late.timeout = Duration::ZERO;
        let failed = late
            .before(&job("backup", serde_json::json!({})))
            .await
            .unwrap_err();
        assert!(
            failed.starts_with("HOOK_BEFORE did not end within 0 seconds"),
            "{failed}"
        );
    }

    #[tokio::test]
    async fn a_hook_that_is_given_up_is_killed_with_what_it_has_started() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("started");
        let script = format!(
            "sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait",
            file.display()
        );
        let job = job("backup", serde_json::json!({}));
        let running = tokio::spawn(async move { hooks(&script).before(&job).await });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let until = async |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                assert!(tokio::time::Instant::now() < deadline, "waited too long");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        until(&|| file.exists()).await;
        running.abort();
        let started = std::fs::read_to_string(&file).unwrap();
        let stat = format!("/proc/{}/stat", started.trim());
        until(&|| std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))).await;
    }
}
