//! `zk-backup ls`.

use backup_engine::SystemClock;
use serde_json::json;
use time::OffsetDateTime;

use crate::api::{Api, Backup};
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, Table, age, bytes, clean, count, date, tell};

/// Which backups to list.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only the newest
    #[arg(long, short = 'n', value_name = "NUMBER")]
    last: Option<usize>,
    /// Only those that can be restored
    #[arg(long)]
    valid: bool,
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let ids = api.list()?;
    let mut table = Table::new(
        &["ID", "AGE", "SIZE", "ZNODES", "STATE", "MODE", "OF"],
        &[1, 2, 3],
    );
    let (now, last) = (SystemClock::now(), args.last.unwrap_or(usize::MAX));
    let (mut found, mut unreadable) = (Vec::new(), false);
    for id in ids.iter().rev() {
        if found.len() == last {
            break;
        }
        match api.describe(id) {
            // It was evicted meanwhile.
            Err(failure) if failure.exit == Exit::NotFound => {}
            Err(failure) if failure.is_of_one_backup() => {
                unreadable = true;
                match args.valid {
                    true => tell(&format!(
                        "zk-backup: backup {}: cannot be read: {}",
                        clean(id),
                        clean(&failure.message)
                    )),
                    false => found.push(Err((id.clone(), failure.message))),
                }
            }
            backup => {
                let backup = backup?;
                if !args.valid || backup.view.valid {
                    found.push(Ok(backup));
                }
            }
        }
    }
    let rows = found.len();
    for backup in found.into_iter().rev() {
        match (backup, screen.is_json()) {
            (Ok(backup), true) => screen.json("backup", backup.json)?,
            (Ok(backup), false) => table.row(row(&backup.view, now), look(&backup.view)),
            (Err((id, why)), true) => screen.json("unreadable", json!({ "id": id, "why": why }))?,
            (Err((id, why)), false) => {
                let mut cells = [const { String::new() }; 7];
                cells[0] = clean(&id).into_owned();
                cells[6] = format!("cannot be read: {}", clean(&why));
                table.row(cells, Some(Look::Bad));
            }
        }
    }
    if !screen.is_json() {
        match rows {
            0 => screen.line("no backups", Some(Look::Dim))?,
            _ => table.write(screen)?,
        }
    }
    Ok(if unreadable { Exit::Partial } else { Exit::Done })
}

fn row(backup: &Backup, now: OffsetDateTime) -> [String; 7] {
    let pinned = if backup.evictable || !backup.valid {
        ""
    } else {
        ", pinned"
    };
    let before = backup.before_restore_of.as_ref();
    let before = before.map_or_else(String::new, |id| format!(" (before a restore of {id})"));
    let storage = backup.storage_name.as_ref();
    let storage = storage.map_or_else(String::new, |name| format!(" (in {name})"));
    [
        clean(&backup.id).into_owned(),
        age(date(backup.ts), now),
        bytes(backup.bytes()),
        backup.znodes.map_or_else(|| "-".to_owned(), count),
        format!("{}{pinned}", backup.how()),
        clean(&backup.mode).into_owned(),
        clean(&format!("{}{before}{storage}", backup.extent())).into_owned(),
    ]
}

fn look(backup: &Backup) -> Option<Look> {
    match backup.standing() {
        "ok" if !backup.lacks() => None,
        "ok" | "partial" | "writing" => Some(Look::Changed),
        _ => Some(Look::Bad),
    }
}
