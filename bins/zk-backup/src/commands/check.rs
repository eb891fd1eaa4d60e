//! `zk-backup verify` and `zk-backup restoretest`.

use serde_json::json;

use super::facts::flatten;
use crate::api::{Api, Damaged, Verified, segment};
use crate::exit::{Exit, Failure};
use crate::jobs;
use crate::text::{Look, Screen, bytes, clean, count};

/// What to verify.
#[derive(Debug, Clone, clap::Args)]
pub struct Verify {
    /// A backup, or `latest`; without it, all of them
    id: Option<String>,
}

/// What to test.
#[derive(Debug, Clone, clap::Args)]
pub struct RestoreTest {
    /// A backup, or `latest`
    id: String,
}

pub(crate) fn verify(
    args: &Verify,
    api: &Api,
    screen: &mut Screen<'_>,
    quiet: bool,
) -> Result<Exit, Failure> {
    let path = match &args.id {
        Some(id) => format!("/verify/{}", segment(&api.resolve(id)?)),
        None => "/verify".to_owned(),
    };
    check(&path, api, screen, quiet)
}

pub(crate) fn restore_test(
    args: &RestoreTest,
    api: &Api,
    screen: &mut Screen<'_>,
    quiet: bool,
) -> Result<Exit, Failure> {
    check(
        &format!("/restoretest/{}", segment(&api.resolve(&args.id)?)),
        api,
        screen,
        quiet,
    )
}

fn check(path: &str, api: &Api, screen: &mut Screen<'_>, quiet: bool) -> Result<Exit, Failure> {
    let job = api.start(path, &json!({}))?;
    let job = jobs::follow(api, &job, quiet, Some(screen))?;
    if screen.is_json() {
        screen.json("job", job.json)?;
        return jobs::check(api, &job.view).map(|()| Exit::Done);
    }
    match job.view.verified() {
        Some(verified) => went_through(&verified, screen)?,
        None => {
            let mut facts = Vec::new();
            flatten("", &job.view.result, &mut facts);
            for (name, fact) in facts {
                screen.line(&format!("{}: {}", name.trim(), clean(&fact)), None)?;
            }
        }
    }
    jobs::check(api, &job.view)?;
    screen.line(
        &format!("{} {} is well", job.view.kind, clean(&job.view.task_id)),
        Some(Look::Good),
    )?;
    Ok(Exit::Done)
}

/// What a verification went through, and each of the damaged backups with what is damaged in it.
fn went_through(verified: &Verified, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let copies = match verified.copies {
        0 => String::new(),
        some => format!(
            "; {} second copies gone through, {} damaged",
            count(some),
            count(verified.damaged_copies)
        ),
    };
    let words = format!(
        "{} backups gone through, {} read; {} damaged{copies}",
        count(verified.vaults),
        bytes(verified.bytes),
        count(verified.damaged_vaults)
    );
    screen.line(&words, None)?;
    for backup in &verified.damaged {
        let restorable = match backup.restorable {
            true => " (it can be restored all the same)",
            false => "",
        };
        screen.line(
            &format!("backup {}{restorable}", clean(&backup.id)),
            Some(Look::Bad),
        )?;
        damage_of(backup, screen)?;
    }
    for copy in &verified.copies_damaged {
        let copy_of = format!("the second copy of backup {}", clean(&copy.id));
        screen.line(&copy_of, Some(Look::Bad))?;
        damage_of(copy, screen)?;
    }
    for note in verified.notes.iter().flatten() {
        screen.line(&format!("note: {}", clean(note)), None)?;
    }
    Ok(())
}

fn damage_of(found: &Damaged, screen: &mut Screen<'_>) -> Result<(), Failure> {
    for damage in &found.damage {
        let frame = damage.frame;
        let frame = frame.map_or_else(String::new, |frame| format!(", frame {frame}"));
        let (file, what) = (clean(&damage.file), clean(&damage.what));
        screen.line(&format!("  {file}{frame}: {what}"), None)?;
    }
    Ok(())
}
