//! `zk-backup jobs` and `zk-backup watch`.

use backup_engine::SystemClock;
use serde_json::json;

use super::facts::{self, flatten};
use crate::api::{Api, Job};
use crate::exit::{Exit, Failure};
use crate::jobs;
use crate::text::{Look, Screen, Table, age, clean, count, exact, parse_time};

/// Which job.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Its id, which for a backup is the id of the backup
    job: String,
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>, quiet: bool) -> Result<Exit, Failure> {
    let job = jobs::follow(api, &args.job, quiet, Some(screen))?;
    if screen.is_json() {
        screen.json("job", job.json)?;
        return Ok(ended(&job.view, api));
    }
    let view = &job.view;
    let time = |text: &Option<String>| text.as_deref().and_then(parse_time).map(exact);
    let mut facts = vec![
        (view.what().to_owned(), view.task_id.clone()),
        ("state".to_owned(), view.status.clone()),
        ("backup".to_owned(), view.vault.clone()),
    ];
    if !view.dbs.is_empty() {
        facts.push(("of".to_owned(), roots(view)));
    }
    for (name, at) in [
        ("created", &view.created_at),
        ("started", &view.started_at),
        ("ended", &view.finished_at),
    ] {
        facts.extend(time(at).map(|at| (name.to_owned(), at)));
    }
    facts.extend(view.message.clone().map(|why| ("why".to_owned(), why)));
    flatten("result", &view.result, &mut facts);
    facts::write(&facts, screen, |name, _| match (name, view.is_successful()) {
        ("state", true) => Some(Look::Good),
        ("state", false) => Some(Look::Bad),
        _ => None,
    })?;
    Ok(ended(view, api))
}

/// The subtrees that were asked for.
fn roots(job: &Job) -> String {
    let roots: Vec<_> = job.dbs.iter().map(|name| format!("/{name}")).collect();
    roots.join(" ")
}

/// As the command ends that has asked for the job and waits for it.
fn ended(job: &Job, api: &Api) -> Exit {
    let lacks = || api.describe(&job.vault).is_ok_and(|backup| backup.view.lacks());
    match (&*job.kind, job.is_successful()) {
        ("backup", _) if job.status != "Canceled" && lacks() => Exit::Partial,
        ("restore", true) if job.restored().partial => Exit::Partial,
        (_, true) => Exit::Done,
        (_, false) => Exit::Failed,
    }
}

/// Which jobs to list.
#[derive(Debug, Clone, clap::Args)]
pub struct List {
    /// Only the newest
    #[arg(
        long,
        short = 'n',
        value_name = "NUMBER",
        default_value_t = 100,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..)
    )]
    last: usize,
}

pub(crate) fn list(args: &List, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let (jobs, total) = api.jobs(args.last).map_err(|failure| match failure.code.as_deref() {
        Some("no_such_endpoint") => Failure::failed(
            "this server does not list its jobs: `zk-backup watch <job>` shows one, `zk-backup status` how many wait",
        ),
        _ => failure,
    })?;
    let mut table = Table::new(&["JOB", "TYPE", "STATE", "CREATED", "BACKUP", "OF", "WHY"], &[]);
    let (now, left) = (SystemClock::now(), total - jobs.len());
    for job in jobs {
        if screen.is_json() {
            screen.json("job", job.json)?;
            continue;
        }
        let view = job.view;
        let look = match &*view.status {
            "Successful" => None,
            "Queued" | "Processing" => Some(Look::Changed),
            _ => Some(Look::Bad),
        };
        let created = view.created_at.as_deref().and_then(parse_time);
        let cells = [
            view.task_id.clone(),
            view.what().to_owned(),
            view.status.clone(),
            created.map_or_else(String::new, |created| age(created, now)),
            view.vault.clone(),
            roots(&view),
            view.message.unwrap_or_default(),
        ];
        table.row(cells.map(|cell| clean(&cell).into_owned()), look);
    }
    match screen.is_json() {
        true if left > 0 => screen.json("more", json!({ "left": left }))?,
        true => {}
        false => {
            table.write(screen)?;
            if left > 0 {
                screen.line(&format!("… {} more (-n)", count(left as u64)), Some(Look::Dim))?;
            }
        }
    }
    Ok(Exit::Done)
}
