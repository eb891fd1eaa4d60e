//! `zk-backup verify` and `zk-backup restoretest`.

use serde_json::{Value, json};

use super::show::flatten;
use crate::api::{Api, segment};
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
    match job.view.result.get("damaged") {
        Some(damaged) => verified(&job.view.result, damaged, screen)?,
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

/// What a verification went through, and each of the `damaged` backups with what is damaged in it.
fn verified(result: &Value, damaged: &Value, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let number = |field: &str| result[field].as_u64().unwrap_or(0);
    let text = |value: &Value| clean(value.as_str().unwrap_or_default()).into_owned();
    let copies = match number("copies") {
        0 => String::new(),
        some => format!(
            "; {} second copies gone through, {} damaged",
            count(some),
            count(number("damaged_copies"))
        ),
    };
    let words = format!(
        "{} backups gone through, {} read; {} damaged{copies}",
        count(number("vaults")),
        bytes(number("bytes")),
        count(number("damaged_vaults"))
    );
    screen.line(&words, None)?;
    for backup in damaged.as_array().into_iter().flatten() {
        let restorable = match backup["restorable"] == true {
            true => " (it can be restored all the same)",
            false => "",
        };
        screen.line(
            &format!("backup {}{restorable}", text(&backup["id"])),
            Some(Look::Bad),
        )?;
        damage_of(backup, screen)?;
    }
    for copy in result["copies_damaged"].as_array().into_iter().flatten() {
        let copy_of = format!("the second copy of backup {}", text(&copy["id"]));
        screen.line(&copy_of, Some(Look::Bad))?;
        damage_of(copy, screen)?;
    }
    Ok(())
}

fn damage_of(found: &Value, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let text = |value: &Value| clean(value.as_str().unwrap_or_default()).into_owned();
    for damage in found["damage"].as_array().into_iter().flatten() {
        let frame = damage["frame"].as_u64();
        let frame = frame.map_or_else(String::new, |frame| format!(", frame {frame}"));
        let (file, what) = (text(&damage["file"]), text(&damage["what"]));
        screen.line(&format!("  {file}{frame}: {what}"), None)?;
    }
    Ok(())
}
