//! `zk-backup restore`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::ValueEnum;

use super::{dbs, plan};
use crate::api::{Api, RaiseEpoch, RestoreRequest, Restored};
use crate::exit::{Exit, Failure};
use crate::jobs;
use crate::text::{Look, Screen, clean, count};

/// Said of a plan that changes nothing, where it makes up for a restore that was cut off.
const TO_BE_MADE_UP_FOR: &str = "nothing is to be changed; but a restore was interrupted, and the server tells so until one \
                                 such as this has succeeded: --yes makes this one";

/// What to restore, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The backup, or `latest`: the newest valid one that has what is asked for
    id: String,
    /// Only this znode and what is below it; may be given several times
    #[arg(long, value_name = "PATH")]
    root: Vec<String>,
    /// Bring A back as B; without --root only what is renamed is restored. May be given several times
    #[arg(long, value_name = "A=B")]
    rename: Vec<String>,
    /// What may happen to znodes that exist
    #[arg(long, value_enum, default_value_t = Policy::Replace)]
    policy: Policy,
    /// By which way
    #[arg(long, value_enum, default_value_t = Strategy::Online)]
    strategy: Strategy,
    /// With --strategy files: begin above every epoch that is known, and above this one
    #[arg(long, value_name = "EPOCH", num_args = 0..=1, require_equals = true)]
    raise_epoch: Option<Option<u32>>,
    /// Do not back up first what is to be changed; by default that is done, and the backup pinned
    #[arg(long)]
    no_backup_first: bool,
    /// Only show the plan
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// The subtree ends equal to the backup: what the backup lacks is deleted
    Replace,
    /// Creates and changes, never deletes
    Merge,
    /// Creates what is absent, and touches nothing else
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strategy {
    /// Through the client API, while the servers run: only what differs is written
    Online,
    /// By files that every server begins anew with: for an ensemble that is lost
    Files,
}

impl Args {
    /// The backup `id`, after asking unless `yes`, into what needs no backup.
    pub(super) fn of(id: &str, root: &[String], dry_run: bool, yes: bool) -> Self {
        Self {
            id: id.to_owned(),
            root: root.to_vec(),
            rename: Vec::new(),
            policy: Policy::Replace,
            strategy: Strategy::Online,
            raise_epoch: None,
            no_backup_first: true,
            dry_run,
            yes,
        }
    }

    /// The plan of it.
    fn request(&self) -> Result<RestoreRequest, Failure> {
        let mut renames = BTreeMap::new();
        for rename in &self.rename {
            let (from, to) = pair(rename)?;
            if renames.insert(from, to).is_some() {
                return Err(Failure::usage(format!(
                    "--rename {rename}: the znode is renamed twice, and can only come back under one name"
                )));
            }
        }
        let dbs = match self.root.is_empty() {
            true => renames.keys().cloned().collect(),
            false => dbs(&self.root)?,
        };
        Ok(RestoreRequest {
            vault: self.id.clone(),
            dry_run: true,
            dbs,
            renames,
            policy: match self.policy {
                Policy::Replace => None,
                Policy::Merge => Some("merge"),
                Policy::Missing => Some("missing"),
            },
            strategy: (self.strategy == Strategy::Files).then_some("files"),
            raise_epoch: self
                .raise_epoch
                .map(|epoch| epoch.map_or(RaiseEpoch::Known(true), RaiseEpoch::Given)),
            backup_first: false,
        })
    }
}

/// `A=B` as names of the API. Where a name has a `=` itself, both are told apart by B's slash.
fn pair(rename: &str) -> Result<(String, String), Failure> {
    let at = rename.find("=/").or_else(|| rename.find('='));
    let (from, to) = at.map(|at| rename.split_at(at)).unwrap_or_default();
    let (from, to) = (
        from.trim_matches('/'),
        to.trim_start_matches('=').trim_matches('/'),
    );
    match from.is_empty() || to.is_empty() {
        true => Err(Failure::usage(format!(
            "--rename {rename}: such as /config=/config-old is expected"
        ))),
        false => Ok((from.to_owned(), to.to_owned())),
    }
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>, quiet: bool) -> Result<Exit, Failure> {
    let request = args.request()?;
    let job = api.start("/restore", &request)?;
    let planned = jobs::follow(api, &job, quiet, None)?;
    let would = planned.view.restored();
    let mut told = BTreeSet::new();
    if screen.is_json() {
        screen.json("plan", planned.json)?;
    } else {
        plan::show(&planned.view, &would, "would be", &mut told, screen)?;
    }
    let left_out = planned.view.left_out().filter(|_| !args.dry_run);
    if left_out.is_none() {
        jobs::check(api, &planned.view)?;
    }
    if args.dry_run {
        return Ok(ended(&would));
    }
    if args.strategy == Strategy::Online && would.is_nothing() {
        let makes_up = !would.makes_up_for.is_empty();
        let (line, look) = match makes_up {
            true => (TO_BE_MADE_UP_FOR, Some(Look::Changed)),
            false => nothing_to_do(args.policy, &would),
        };
        if !screen.is_json() {
            screen.line(line, look)?;
        }
        if !makes_up || !(args.yes || can_be_asked(screen)) {
            return Ok(ended(&would));
        }
    }
    let left_out = left_out.map(znodes);
    if let Some(some) = &left_out
        && !screen.is_json()
    {
        let line =
            format!("{some} cannot be brought back, see `!`: a restore brings back the rest, and fails");
        screen.line(&line, Some(Look::Bad))?;
    }
    if !args.yes {
        let without = left_out.map_or(String::new(), |some| format!(", without {some}"));
        ask(
            &format!("Restore {} as shown{without}?", clean(&planned.view.vault)),
            screen,
        )?;
    }
    // What was shown is of this backup, though a newer one may have come meanwhile.
    let request = RestoreRequest {
        vault: planned.view.vault,
        dry_run: false,
        backup_first: !args.no_backup_first,
        ..request
    };
    let job = api.start("/restore", &request).map_err(unknown_to_older)?;
    let done = jobs::follow(api, &job, quiet, Some(screen))?;
    let restored = done.view.restored();
    if screen.is_json() {
        screen.json("job", done.json)?;
    } else {
        plan::show(&done.view, &restored, "were", &mut told, screen)?;
    }
    jobs::check(api, &done.view).map_err(in_flags)?;
    if !screen.is_json() {
        let (line, look) = end(&clean(&done.view.vault), &restored);
        screen.line(&line, Some(look))?;
    }
    Ok(ended(&restored))
}

/// What it means that a plan changes nothing.
fn nothing_to_do(policy: Policy, would: &Restored) -> (&'static str, Option<Look>) {
    let unknown = would.report.as_ref().map_or(0, |report| report.unknown);
    match policy {
        Policy::Missing => (
            "nothing is missing: there is nothing to do; what is there was not compared",
            None,
        ),
        Policy::Merge => (
            "there is nothing to do; what the backup lacks may be there besides",
            None,
        ),
        Policy::Replace if unknown > 0 => (
            "there is nothing to do but for what the backup could not read",
            None,
        ),
        Policy::Replace => (
            "ZooKeeper is as in the backup: there is nothing to do",
            Some(Look::Good),
        ),
    }
}

fn znodes(number: u64) -> String {
    match number {
        1 => "1 znode".to_owned(),
        _ => format!("{} znodes", count(number)),
    }
}

/// What has come of it, in a line.
fn end(vault: &str, restored: &Restored) -> (String, Look) {
    match restored.by_hand() {
        None => (format!("restored from {vault}"), Look::Good),
        Some(directory) => (
            format!(
                "the files of {vault} are ready in {}; nothing is restored until the steps above are done",
                clean(directory)
            ),
            Look::Changed,
        ),
    }
}

/// What the server says of its API's key is said of the flag.
fn in_flags(failure: Failure) -> Failure {
    Failure {
        message: failure.message.replace("backup_first false", "--no-backup-first"),
        ..failure
    }
}

/// A server of a version that takes no backup first refuses the key.
fn unknown_to_older(failure: Failure) -> Failure {
    let is_unknown =
        failure.code.as_deref() == Some("invalid_request") && failure.message.contains("backup_first");
    match is_unknown {
        false => failure,
        true => Failure {
            message: format!(
                "{}: the server is older and takes no backup first; nothing was restored. Take one (zk-backup backup), and add --no-backup-first",
                failure.message
            ),
            ..failure
        },
    }
}

/// Whether somebody is there who sees a question, and can answer it.
fn can_be_asked(screen: &Screen<'_>) -> bool {
    let is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    is_there && !screen.is_json()
}

/// Asks on the terminal.
///
/// # Errors
/// The answer is no, or there is nobody to ask.
pub(super) fn ask(question: &str, screen: &Screen<'_>) -> Result<(), Failure> {
    if !can_be_asked(screen) {
        return Err(Failure::usage(
            "nothing was changed: look at the plan, and add --yes",
        ));
    }
    let mut err = std::io::stderr();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was changed")),
    }
}

/// A restore of a backup that lacks something is partial.
fn ended(restored: &Restored) -> Exit {
    match restored.partial {
        true => Exit::Partial,
        false => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_compared_is_said_to_be_as_in_the_backup() {
        let told = |policy, unknown| {
            let restored = json!({ "report": { "unchanged": 3, "unknown": unknown } });
            nothing_to_do(policy, &serde_json::from_value(restored).unwrap()).0
        };
        assert!(told(Policy::Replace, 0).starts_with("ZooKeeper is as in the backup"));
        for (policy, unknown) in [(Policy::Replace, 1), (Policy::Merge, 0), (Policy::Missing, 0)] {
            let line = told(policy, unknown);
            assert!(
                line.contains("nothing to do") && !line.contains("as in the backup"),
                "{line}"
            );
        }
    }

    #[test]
    fn a_rename_is_two_paths() {
        let of = |text| pair(text).ok();
        let names = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(of("/a=/b"), names("a", "b"));
        assert_eq!(of("a/x=y=/b"), names("a/x=y", "b"));
        assert_eq!(of("a=b"), names("a", "b"));
        assert_eq!(
            [of("/a"), of("=/b"), of("/a="), of("/=/b")],
            [None, None, None, None]
        );
    }

    #[test]
    fn what_an_older_server_does_not_know_is_named() {
        let refused = |message: &str| Failure {
            code: Some("invalid_request".to_owned()),
            ..Failure::failed(message)
        };
        let told = |message| unknown_to_older(refused(message)).message;
        assert!(told("unknown field `backup_first`").contains("--no-backup-first"));
        assert_eq!(told("dbs: it is empty"), "dbs: it is empty");
    }

    #[test]
    fn without_roots_only_what_is_renamed_is_asked_for() {
        let asked = |args: &Args| serde_json::to_value(args.request().unwrap()).unwrap();
        let mut args = Args::of("latest", &[], false, false);
        assert_eq!(asked(&args), json!({ "dry_run": true, "vault": "latest" }));
        args.rename = vec!["/a=/b".to_owned()];
        assert_eq!(
            asked(&args),
            json!({ "dry_run": true, "vault": "latest", "dbs": ["a"], "changeDbNames": { "a": "b" } })
        );
        args.rename.push("a/=/c".to_owned());
        assert!(args.request().unwrap_err().message.contains("renamed twice"));
        let empty = Args::of("latest", &[String::new()], false, false);
        assert_eq!(empty.request().unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn what_is_not_usual_is_said() {
        let usual = Args::of("a", &[], false, false);
        let files = |raise_epoch| Args {
            strategy: Strategy::Files,
            raise_epoch,
            ..usual.clone()
        };
        let merge = Args {
            policy: Policy::Merge,
            ..usual.clone()
        };
        for (args, said) in [
            (merge, json!({ "policy": "merge" })),
            (files(None), json!({ "strategy": "files" })),
            (
                files(Some(None)),
                json!({ "strategy": "files", "raise_epoch": true }),
            ),
            (
                files(Some(Some(7))),
                json!({ "strategy": "files", "raise_epoch": 7 }),
            ),
        ] {
            let mut said = said;
            said["vault"] = "a".into();
            said["dry_run"] = true.into();
            assert_eq!(serde_json::to_value(args.request().unwrap()).unwrap(), said);
        }
        let mut request = usual.request().unwrap();
        request.backup_first = true;
        assert_eq!(
            serde_json::to_value(request).unwrap(),
            json!({ "vault": "a", "dry_run": true, "backup_first": true })
        );
    }
}
