//! Jobs, followed until they have ended.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::api::{Api, Events, Job, Progress, Told};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::text::{Bar, Screen, bytes, clean, count, percent};

/// How often a job is asked for: soon at first, as most are short.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);
/// So long a server may be away, as one is that is started again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows a job until it has ended. On a terminal a bar shows how far it is; JSON lines are written as its state changes.
///
/// # Errors
/// The server cannot be asked; or lines could not be written, once the job has ended, as `api` may be what does it.
pub(crate) fn follow(
    api: &Api,
    id: &str,
    quiet: bool,
    mut screen: Option<&mut Screen<'_>>,
) -> Result<Told<Job>, Failure> {
    interrupt::hint(Some(match api.is_here() {
        true => "the job ended with it; what a restore has left unfinished, the next one finishes".to_owned(),
        false => going_on(id),
    }));
    let is_json = screen.as_ref().is_some_and(|screen| screen.is_json());
    let bar = (!quiet && !is_json).then(Bar::on_terminal).flatten();
    let (mut waiting, mut told, mut unwritten) = (Waiting::new(), None, None);
    let job = loop {
        let job = patiently(PATIENCE, || api.job(id)).map_err(|failure| lost(failure, api.is_here(), id))?;
        if job.view.is_over() {
            break job;
        }
        if let Some(bar) = &bar {
            show(bar, &job.view);
        }
        let state = (job.view.status.clone(), job.view.progress.clone());
        if let Some(screen) = screen.as_mut().filter(|screen| screen.is_json())
            && told.as_ref() != Some(&state)
            && unwritten.is_none()
        {
            match screen.json("status", job.json) {
                Ok(()) => told = Some(state),
                // With our end the job would be cut off.
                Err(error) if api.is_here() => unwritten = Some(error),
                Err(error) => return Err(unshown(&error, id)),
            }
        }
        waiting.wait(api, id);
    };
    drop(bar);
    interrupt::hint(None);
    match unwritten {
        None => Ok(job),
        Some(error) => {
            let (what, state) = (job.view.what(), job.view.status.to_lowercase());
            let message = format!("{error}; {what} {id} ended all the same, and is {state}");
            Err(Failure::failed(message))
        }
    }
}

/// Waits between two looks at a job: a little at first, as most are short, then until the server says that there is news.
struct Waiting {
    pause: Duration,
    events: Option<Events>,
    /// Whether the server tells by itself, as far as is known.
    tells: bool,
}

impl Waiting {
    fn new() -> Self {
        Self {
            pause: SOON,
            events: None,
            tells: true,
        }
    }

    fn wait(&mut self, api: &Api, job: &str) {
        match &mut self.events {
            Some(events) => {
                if events.wait_for(job) {
                    return;
                }
                self.tells = events.has_said();
                self.events = None;
            }
            None if self.pause == LATER && self.tells && !api.is_here() => {
                self.events = api.events();
                self.tells = self.events.is_some();
                // What happened before is looked at now.
                if self.tells {
                    return;
                }
            }
            None => {}
        }
        sleep(self.pause);
        self.pause = (self.pause * 2).min(LATER);
    }
}

/// Asks until there is an answer, as long as another one may come within `patience`.
fn patiently<T>(patience: Duration, ask: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    let (begun, mut pause) = (Instant::now(), SOON);
    loop {
        match ask() {
            Err(failure) if failure.may_pass && begun.elapsed() + pause < patience => {}
            answer => return answer,
        }
        sleep(pause);
        pause = (pause * 2).min(LATER);
    }
}

/// What it means for a job of a server that nothing more can be shown of it.
fn unshown(error: &io::Error, id: &str) -> Failure {
    Failure::failed(format!("{error}; {}", going_on(id)))
}

/// What can be done about a job that its server goes on with.
fn going_on(id: &str) -> String {
    format!("the job goes on: `zk-backup watch {id}` follows it, `zk-backup cancel {id}` calls it off")
}

/// What it means for a job that its server does not answer any more.
fn lost(failure: Failure, is_here: bool, id: &str) -> Failure {
    if is_here || !failure.may_pass {
        return failure;
    }
    Failure {
        message: format!(
            "{}; the job may go on: `zk-backup watch {id}` tells, once the server answers",
            failure.message
        ),
        ..failure
    }
}

fn show(bar: &Bar, job: &Job) {
    let progress = job.progress.clone().unwrap_or_default();
    bar.show(progress.znodes, progress.expected, line(job, &progress));
}

/// How far a job is, on a line.
pub(crate) fn line(job: &Job, progress: &Progress) -> String {
    let phase = match &*progress.phase {
        "" => job.status.to_lowercase(),
        phase => clean(phase).into_owned(),
    };
    if progress.znodes == 0 {
        return format!("{} {phase}", job.what());
    }
    let of = match progress.expected {
        Some(expected) if expected > 0 => {
            let percent = percent(progress.znodes, expected).min(100);
            format!(" of about {} ({percent}%)", count(expected))
        }
        _ => String::new(),
    };
    let size = match progress.bytes {
        0 => String::new(),
        size => format!(", {}", bytes(size)),
    };
    format!(
        "{} {phase}: {} znodes{of}{size}",
        job.what(),
        count(progress.znodes)
    )
}

/// Makes a failure of a job that did not end well.
///
/// # Errors
/// Why it failed.
pub(crate) fn check(api: &Api, job: &Job) -> Result<(), Failure> {
    if job.is_successful() {
        return Ok(());
    }
    let (kind, id, state) = (job.what(), &job.task_id, job.status.to_lowercase());
    let why = job.message.as_deref().unwrap_or("no reason is known");
    let next = match api.is_here() {
        true => String::new(),
        false => format!("; `zk-backup watch {id}` shows all of it"),
    };
    let (exit, next) = match absent(why) {
        Some(hint) => (Exit::NotFound, hint),
        None => (Exit::Failed, &*next),
    };
    Err(Failure::new(exit, format!("{kind} {id} {state}: {why}{next}")))
}

/// What to do next where a job failed of a znode that is not there: the state of a job has no code for that, only words.
fn absent(why: &str) -> Option<&'static str> {
    if why.starts_with("no such znode to back up: /") {
        return Some("");
    }
    let of_backup = why.starts_with("the backup has no znode /");
    of_backup.then_some("; `zk-backup find PATH` shows the backups that have it")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(progress: &serde_json::Value) -> Job {
        serde_json::from_value(json!({
            "status": "Processing", "type": "restore", "task_id": "t", "vault": "v", "progress": progress,
        }))
        .unwrap()
    }

    #[test]
    fn a_server_that_is_away_for_a_moment_is_asked_again() {
        use std::cell::Cell;

        let away = || Failure {
            may_pass: true,
            ..Failure::failed("connection refused")
        };
        let asked = Cell::new(0);
        let third = || {
            asked.set(asked.get() + 1);
            if asked.get() < 3 { Err(away()) } else { Ok(()) }
        };
        assert_eq!((patiently(PATIENCE, third), asked.get()), (Ok(()), 3));
        let gone = Cell::new(0);
        let unknown = || -> Result<(), Failure> {
            gone.set(gone.get() + 1);
            Err(Failure::failed("no such job"))
        };
        assert!(patiently(PATIENCE, unknown).is_err() && gone.get() == 1);
        let never = patiently(SOON * 2, || -> Result<(), Failure> { Err(away()) });
        let told = lost(never.unwrap_err(), false, "7");
        assert!(
            told.message.contains("the job may go on: `zk-backup watch 7`"),
            "{told}"
        );
    }

    #[test]
    fn what_cannot_be_shown_goes_on() {
        let full = unshown(&io::ErrorKind::StorageFull.into(), "7");
        assert_eq!(full.exit, Exit::Failed);
        assert!(
            full.message.contains("the job goes on: `zk-backup watch 7`"),
            "{full}"
        );
    }

    #[test]
    fn what_is_not_there_is_told_from_what_failed() {
        assert_eq!(absent("no such znode to back up: /nope"), Some(""));
        assert!(
            absent("the backup has no znode /nope")
                .unwrap()
                .contains("zk-backup find")
        );
        assert_eq!(absent("/a: the backup has no znode /nope"), None);
    }

    #[test]
    fn how_far_a_job_is_fits_on_a_line() {
        let of = |progress| {
            let job = job(&progress);
            line(&job, &job.progress.clone().unwrap_or_default())
        };
        assert_eq!(of(json!(null)), "restore processing");
        assert_eq!(
            of(json!({"znodes": 1500, "bytes": 2048, "expected": 3000, "phase": "writing\u{1b}[2J"})),
            "restore writing\\u{1b}[2J: 1 500 znodes of about 3 000 (50%), 2.0 KiB"
        );
    }
}
