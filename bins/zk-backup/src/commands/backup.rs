//! `zk-backup backup`.

use clap::ValueEnum;
use serde_json::json;

use super::dbs;
use crate::api::{Api, BackupRequest};
use crate::exit::{Exit, Failure};
use crate::jobs;
use crate::text::{Look, Screen, bytes, clean, count, spent};

/// What to back up.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only this znode and what is below it; may be given several times
    #[arg(long, value_name = "PATH")]
    root: Vec<String>,
    /// How
    #[arg(long, value_enum, default_value_t = Mode::Hierarchical)]
    mode: Mode,
    /// No policy evicts it
    #[arg(long)]
    pin: bool,
    /// Take what cannot be read for missing, instead of failing
    #[arg(long)]
    allow_partial: bool,
    /// Wait until it has ended (always without a server)
    #[arg(long, short)]
    wait: bool,
    /// Whether it is only there to be copied, and not kept.
    #[arg(skip)]
    in_passing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// The tree as clients see it
    Hierarchical,
    /// The state that the servers keep in their files, always all of it
    Transactional,
}

impl Args {
    /// Everything below `root`, waited for.
    pub(super) fn of(root: &[String]) -> Self {
        Self {
            root: root.to_vec(),
            mode: Mode::Hierarchical,
            pin: false,
            allow_partial: false,
            wait: true,
            in_passing: true,
        }
    }
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>, quiet: bool) -> Result<Exit, Failure> {
    let mode = match args.mode {
        Mode::Hierarchical => "hierarchical",
        Mode::Transactional => "transactional",
    };
    let request = BackupRequest {
        mode,
        allow_eviction: !args.pin,
        allow_partial: args.allow_partial,
        dbs: dbs(&args.root)?,
    };
    let id = api.start("/backup", &request)?;
    if !args.wait && !api.is_here() {
        match screen.is_json() {
            true => screen.json(
                "job",
                json!({ "task_id": id, "type": "backup", "vault": id, "status": "Queued" }),
            )?,
            false => screen.line(&clean(&id), None)?,
        }
        return Ok(Exit::Done);
    }
    let job = jobs::follow(api, &id, quiet, Some(screen))?;
    let backup = api.describe(&id);
    if screen.is_json() {
        screen.json("job", job.json)?;
    }
    let is_partial = backup.as_ref().is_ok_and(|backup| backup.view.lacks());
    if let (true, Ok(backup)) = (is_partial && !args.allow_partial, &backup) {
        let why = backup.view.exception.as_deref().unwrap_or_default();
        let why = clean(why.trim_start_matches("partial: ")).into_owned();
        if args.in_passing {
            return Err(Failure::failed(format!(
                "nothing was copied, as not everything could be read: {why}"
            )));
        }
        return Err(Failure::new(
            Exit::Partial,
            format!("backup {id} is partial: {why}; `zk-backup show {id}` names what is missing"),
        ));
    }
    jobs::check(api, &job.view)?;
    let backup = backup?;
    if !screen.is_json() {
        let view = &backup.view;
        let znodes = view.znodes.map(|number| format!("{} znodes, ", count(number)));
        screen.line(
            &format!(
                "{id}  {}{}, {}{}",
                znodes.unwrap_or_default(),
                bytes(view.bytes()),
                spent(view.spent_ms()),
                if is_partial { ", partial" } else { "" }
            ),
            Some(if is_partial { Look::Changed } else { Look::Good }),
        )?;
    }
    Ok(if is_partial { Exit::Partial } else { Exit::Done })
}
