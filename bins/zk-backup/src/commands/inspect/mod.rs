//! `zk-backup inspect`: ZooKeeper's own files.

mod json;
mod lines;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zk_snapshot::files::{
    DataDirs, Dropped, FileError, FileZnode, LogFile, SnapshotFile, Transaction, gather,
};

use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, clean, count, tell};

/// What to print.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The dataDir of a server, with or without `version-2`; a snapshot; or a log
    path: PathBuf,
    /// The server's dataLogDir, if it is another one
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// Only the state that all files of the directory make together
    #[arg(long)]
    state: bool,
}

/// What was met in a file.
enum Item<'a> {
    Znode(&'a FileZnode<'a>),
    Transaction(&'a Transaction),
}

/// Why it went no further.
enum Stopped {
    /// That file is damaged.
    File(FileError),
    /// There is no sense in another one either.
    All(Failure),
}

impl From<FileError> for Stopped {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::All(failure)
    }
}

pub(crate) fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    match walk(args, screen) {
        Ok(()) => Ok(Exit::Done),
        Err(Stopped::File(error)) => Err(Failure::failed(error.to_string())),
        Err(Stopped::All(failure)) => Err(failure),
    }
}

fn walk(args: &Args, screen: &mut Screen<'_>) -> Result<(), Stopped> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    if args.path.is_file() {
        if args.state {
            return Err(Failure::usage("--state is of all files of a directory: name the directory").into());
        }
        if args.log.is_some() {
            return Err(Failure::usage("--log goes with a directory, and PATH is a file").into());
        }
        return match file_name(&args.path).split('.').next() {
            Some("snapshot") => print_snapshot(&args.path, screen),
            Some("log") => print_log(&args.path, screen),
            _ => Err(Failure::usage("the name of a file has to begin with `snapshot.` or `log.`").into()),
        };
    }
    let dirs = DataDirs {
        log: args.log.clone().unwrap_or_else(|| args.path.clone()),
        data: args.path.clone(),
    };
    if args.state {
        let gathered = gather(&dirs, None).map_err(|error| failed(&error))?;
        for why in &gathered.report.passed_over {
            tell(&format!("zk-backup: passed over: {}", clean(why)));
        }
        let lacks = gathered.lacks();
        let (tree, dropped) = (gathered.tree, gathered.report.dropped);
        let name = tree.file_name();
        head(&format!("the state as of {name}"), screen)?;
        tree.for_each(|znode| Ok::<_, Stopped>(item(&name, &Item::Znode(&znode), screen)?))?;
        left_out(&dropped, screen)?;
        return match lacks {
            Some(why) => Err(Failure::failed(why).into()),
            None => Ok(()),
        };
    }
    let snapshots = dirs.snapshots().map_err(|error| failed(&error))?;
    let logs = dirs.logs().map_err(|error| failed(&error))?;
    if snapshots.is_empty() && logs.is_empty() {
        let why = format!(
            "{} holds no snapshot and no log of ZooKeeper",
            args.path.display()
        );
        return Err(Failure::failed(why).into());
    }
    let (all, mut damaged) = (snapshots.len() + logs.len(), 0);
    let printed = snapshots.iter().map(|(_, path)| (path, true));
    for (path, is_snapshot) in printed.chain(logs.iter().map(|(_, path)| (path, false))) {
        let printed = match is_snapshot {
            true => print_snapshot(path, screen),
            false => print_log(path, screen),
        };
        match printed {
            Err(Stopped::File(error)) => {
                damaged += 1;
                tell(&format!("zk-backup: {}", clean(&error.to_string())));
            }
            printed => printed?,
        }
    }
    match damaged {
        0 => Ok(()),
        some => Err(Failure::failed(format!(
            "{some} of {all} files cannot be read to their end, as told above"
        ))
        .into()),
    }
}

/// Says what is not in the state, as no session has it any more.
fn left_out(dropped: &Dropped, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let (ephemerals, orphans) = (dropped.ephemerals, dropped.orphans);
    if ephemerals == 0 && orphans == 0 {
        return Ok(());
    }
    if screen.is_json() {
        let told =
            json!({ "ephemerals": ephemerals, "orphans": orphans, "orphan_paths": dropped.orphan_paths });
        return Ok(screen.json("left_out", told)?);
    }
    let mut line = format!(
        "left out, as they belong to sessions: {} ephemeral znodes",
        count(ephemerals)
    );
    if orphans > 0 {
        line += &format!(", and {} of sessions that do not exist", count(orphans));
    }
    Ok(screen.line(&line, Some(Look::Dim))?)
}

fn print_snapshot(path: &Path, screen: &mut Screen<'_>) -> Result<(), Stopped> {
    let name = file_name(path);
    head(&name, screen)?;
    SnapshotFile::open(path)?.for_each(|znode| Ok(item(&name, &Item::Znode(&znode), screen)?))
}

fn print_log(path: &Path, screen: &mut Screen<'_>) -> Result<(), Stopped> {
    let name = file_name(path);
    head(&name, screen)?;
    for transaction in LogFile::open(path)? {
        item(&name, &Item::Transaction(&transaction?), screen)?;
    }
    Ok(())
}

fn head(name: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    match screen.is_json() {
        true => Ok(()),
        false => Ok(screen.line(&clean(name), Some(Look::Head))?),
    }
}

fn item(file: &str, item: &Item<'_>, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if screen.is_json() {
        let (message_type, value): (_, Value) = match item {
            Item::Znode(znode) => ("znode", json::of_znode(file, znode)),
            Item::Transaction(transaction) => ("transaction", json::of_transaction(file, transaction)),
        };
        return Ok(screen.json(message_type, value)?);
    }
    let line = match item {
        Item::Znode(znode) => lines::of_znode(znode),
        Item::Transaction(transaction) => lines::of_transaction(transaction),
    };
    Ok(screen.line(&clean(&line), None)?)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/zk-snapshot/tests/golden/3.9.5")
    }

    fn printed(path: PathBuf, state: bool, is_json: bool) -> String {
        let args = Args {
            path,
            log: None,
            state,
        };
        let mut out = Vec::new();
        run(&args, &mut Screen::plain(&mut out, is_json)).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn values(text: &str) -> Vec<Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn every_file_of_a_directory_is_shown() {
        let lines = values(&printed(golden(), false, true));
        for file in ["snapshot.0", "snapshot.8", "log.1", "log.9"] {
            assert!(lines.iter().any(|line| line["file"] == file), "{file}");
        }
        let root = lines.iter().find(|line| line["path"] == "/").unwrap();
        assert_eq!(
            (&root["kind"], &root["acl"], &root["message_type"]),
            (
                &json!("persistent"),
                &json!(["world:anyone:cdrwa"]),
                &json!("znode")
            )
        );
        let first = lines.iter().find(|line| line["file"] == "log.1").unwrap();
        assert_eq!(
            (&first["zxid"], &first["operation"]["type"]),
            (&json!("1"), &json!("create_session"))
        );
    }

    #[test]
    fn the_state_is_what_clients_saw() {
        let lines = values(&printed(golden(), true, true));
        let seen = std::fs::read_to_string(golden().join("znodes.jsonl")).unwrap();
        let shown: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
        for line in seen.lines() {
            let znode: Value = serde_json::from_str(line).unwrap();
            assert!(shown.contains(&znode["path"].as_str().unwrap()), "{line}");
        }
    }

    #[test]
    fn one_file_is_lines_for_people() {
        let find = |name: &str| {
            let dirs = DataDirs {
                data: golden(),
                log: golden(),
            };
            let files = [dirs.snapshots().unwrap(), dirs.logs().unwrap()].concat();
            files
                .into_iter()
                .map(|(_, path)| path)
                .find(|path| path.ends_with(name))
                .unwrap()
        };
        let log = printed(find("log.1"), false, false);
        assert!(
            log.starts_with("log.1\n0x1 ") && log.contains("create_session"),
            "{log}"
        );
        let snapshot = printed(find("snapshot.8"), false, false);
        assert!(snapshot.starts_with("snapshot.8\n/  "), "{snapshot}");
    }

    #[test]
    fn what_a_state_leaves_out_is_counted() {
        let said = |dropped: &Dropped, is_json| {
            let mut out = Vec::new();
            left_out(dropped, &mut Screen::plain(&mut out, is_json)).unwrap();
            String::from_utf8(out).unwrap()
        };
        let dropped = Dropped {
            sessions: 1,
            ephemerals: 2,
            ..Dropped::default()
        };
        assert_eq!(
            said(&dropped, false),
            "left out, as they belong to sessions: 2 ephemeral znodes\n"
        );
        let told = &values(&said(&dropped, true))[0];
        assert_eq!(
            (&told["message_type"], &told["ephemerals"], &told["orphans"]),
            (&json!("left_out"), &json!(2), &json!(0))
        );
        let nothing = Dropped {
            sessions: 1,
            ..Dropped::default()
        };
        assert_eq!(said(&nothing, false), "");
    }

    #[test]
    fn a_damaged_file_does_not_hide_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let dirs = DataDirs {
            data: golden(),
            log: golden(),
        };
        for (_, path) in [dirs.snapshots().unwrap(), dirs.logs().unwrap()].concat() {
            let mut bytes = std::fs::read(&path).unwrap();
            if path.ends_with("snapshot.0") {
                bytes.truncate(bytes.len() / 2);
            }
            std::fs::write(directory.path().join(path.file_name().unwrap()), bytes).unwrap();
        }
        let args = Args {
            path: directory.path().to_owned(),
            log: None,
            state: false,
        };
        let mut out = Vec::new();
        let failure = run(&args, &mut Screen::plain(&mut out, false)).unwrap_err();
        assert!(failure.message.starts_with("1 of "), "{failure}");
        let shown = String::from_utf8(out).unwrap();
        for file in ["snapshot.0\n", "snapshot.8\n", "log.1\n", "log.9\n"] {
            assert!(shown.contains(file), "{shown}");
        }
        let args = Args {
            path: directory.path().join("snapshot.8"),
            state: true,
            ..args
        };
        let mut out = Vec::new();
        let failure = run(&args, &mut Screen::plain(&mut out, false)).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{failure}");
        let args = Args {
            log: Some(directory.path().to_owned()),
            state: false,
            ..args
        };
        let mut out = Vec::new();
        let failure = run(&args, &mut Screen::plain(&mut out, false)).unwrap_err();
        assert!(
            failure.exit == Exit::Usage && failure.message.contains("--log"),
            "{failure}"
        );
    }

    #[test]
    fn what_is_no_data_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let args = Args {
            path: directory.path().to_owned(),
            log: None,
            state: false,
        };
        let mut out = Vec::new();
        let failure = run(&args, &mut Screen::plain(&mut out, false)).unwrap_err();
        assert_eq!(failure.exit, Exit::Failed, "{failure}");
    }
}
