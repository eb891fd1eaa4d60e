//! `zk-backup ls`.

use backup_engine::SystemClock;
use time::OffsetDateTime;

use crate::api::{Api, Backup};
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, Table, age, bytes, clean, count};

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
    let skipped = args.last.map_or(0, |last| ids.len().saturating_sub(last));
    let mut table = Table::new(
        &["ID", "AGE", "SIZE", "ZNODES", "STATE", "MODE", "OF"],
        &[1, 2, 3],
    );
    let (now, mut rows) = (SystemClock::now(), 0);
    for id in ids.iter().skip(skipped) {
        let backup = match api.describe(id) {
            // It was evicted meanwhile.
            Err(failure) if failure.exit == Exit::NotFound => continue,
            found => found?,
        };
        if args.valid && !backup.view.valid {
            continue;
        }
        rows += 1;
        if screen.is_json() {
            screen.json("backup", backup.json)?;
        } else {
            table.row(row(&backup.view, now), look(&backup.view));
        }
    }
    if !screen.is_json() {
        match rows {
            0 => screen.line("no backups", Some(Look::Dim))?,
            _ => table.write(screen)?,
        }
    }
    Ok(Exit::Done)
}

fn row(backup: &Backup, now: OffsetDateTime) -> [String; 7] {
    let pinned = if backup.evictable || !backup.valid {
        ""
    } else {
        ", pinned"
    };
    let roots = match backup.roots() {
        roots if roots.is_empty() => "everything".to_owned(),
        roots => clean(&roots.join(" ")).into_owned(),
    };
    [
        clean(&backup.id).into_owned(),
        age(date(backup), now),
        bytes(backup.bytes()),
        backup.znodes.map_or_else(|| "-".to_owned(), count),
        format!("{}{pinned}", backup.standing()),
        clean(&backup.mode).into_owned(),
        roots,
    ]
}

fn look(backup: &Backup) -> Option<Look> {
    match backup.standing() {
        "ok" => None,
        "partial" | "writing" => Some(Look::Changed),
        _ => Some(Look::Bad),
    }
}

/// When it was asked for, or ended, if that was earlier.
pub(super) fn date(backup: &Backup) -> OffsetDateTime {
    let nanoseconds = i128::from(backup.ts) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
