//! `zk-backup verify` and `zk-backup restoretest`.

use serde_json::json;

use super::show::flatten;
use crate::api::{Api, segment};
use crate::exit::{Exit, Failure};
use crate::jobs;
use crate::text::{Look, Screen, clean};

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
    let mut facts = Vec::new();
    flatten("", &job.view.result, &mut facts);
    for (name, fact) in facts {
        screen.line(&format!("{}: {}", name.trim(), clean(&fact)), None)?;
    }
    jobs::check(api, &job.view)?;
    screen.line(
        &format!("{} {} is well", job.view.kind, clean(&job.view.task_id)),
        Some(Look::Good),
    )?;
    Ok(Exit::Done)
}
