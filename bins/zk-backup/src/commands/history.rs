//! `zk-backup history`.

use backup_engine::SystemClock;
use serde_json::json;

use super::{absolute, is_within};
use crate::api::{AclEntry, Api, Backup};
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, Table, age, bytes, clean, count, date, tell};

/// Of which znode.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The znode
    path: String,
}

/// How a znode is in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Absent,
    There {
        czxid: i64,
        data: String,
        acl: Vec<AclEntry>,
    },
}

impl State {
    /// Whether the backup has ACLs; one without has no numbers of transactions either.
    fn has_acl(&self) -> bool {
        matches!(self, Self::There { acl, .. } if !acl.is_empty())
    }
}

/// A znode as a backup has it.
struct Seen {
    state: State,
    size: u64,
    version: i64,
    /// Whether its version is known.
    is_known: bool,
}

impl Seen {
    const ABSENT: Self = Self {
        state: State::Absent,
        size: 0,
        version: 0,
        is_known: false,
    };
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let path = absolute(&args.path);
    let mut table = Table::new(&["BACKUP", "AGE", "CHANGE", "SIZE", "VERSION"], &[1, 3, 4]);
    let (now, mut before, mut found) = (SystemClock::now(), State::Absent, 0);
    let mut silent = Silent::default();
    for id in api.list()? {
        let backup = match api.describe(&id) {
            Err(failure) if failure.exit == Exit::NotFound => continue, // evicted meanwhile
            Err(failure) if failure.is_of_one_backup() => {
                silent.add(&id, &failure);
                continue;
            }
            backup => backup?.view,
        };
        if !backup.valid || !covers(&backup, &path) {
            continue;
        }
        let Some(seen) = look_into(api, &backup, &path, &mut silent)? else {
            continue;
        };
        let Some((change, look)) = change(&before, &seen.state) else {
            // It tells no less, and what comes is compared with all that is known.
            if !before.has_acl() {
                before = seen.state;
            }
            continue;
        };
        found += 1;
        if screen.is_json() {
            let (size, version) = (seen.size, seen.version);
            let line = json!({
                "backup": id, "ts": backup.ts, "path": path, "change": change, "size": size, "version": version,
            });
            screen.json("change", line)?;
        } else {
            let gone = seen.state == State::Absent;
            let cells = [
                id,
                age(date(backup.ts), now),
                change.replace('_', " "),
                if gone { String::new() } else { bytes(seen.size) },
                match gone {
                    true => String::new(),
                    false if seen.is_known => seen.version.to_string(),
                    false => "-".to_owned(),
                },
            ];
            table.row(cells, Some(look));
        }
        before = seen.state;
    }
    if found == 0 {
        let exit = match silent.failed {
            true => Exit::Failed,
            false => Exit::NotFound,
        };
        return Err(Failure::new(exit, silent.nothing_found(&path)));
    }
    if !screen.is_json() {
        table.write(screen)?;
    }
    if silent.number > 0 {
        match screen.is_json() {
            true => screen.json("not_looked", json!({ "path": path, "backups": silent.number }))?,
            false => screen.line(&silent.beside(&path), Some(Look::Changed))?,
        }
    }
    Ok(match silent.failed {
        true => Exit::Partial,
        false => Exit::Done,
    })
}

/// How the znode is in a backup that covers it; nothing where that does not tell, which is noted.
fn look_into(api: &Api, backup: &Backup, path: &str, silent: &mut Silent) -> Result<Option<Seen>, Failure> {
    let znode = match api.znode(&backup.id, path) {
        Err(failure) if failure.code.as_deref() == Some("znode_not_found") => {
            if is_below_unread(api, backup, path)? {
                silent.number += 1;
                return Ok(None);
            }
            return Ok(Some(Seen::ABSENT));
        }
        Err(failure) if is_sealed(&failure) => {
            silent.number += 1;
            return Ok(None);
        }
        Err(failure) if failure.exit == Exit::NotFound => return Ok(None), // evicted meanwhile
        Err(failure) if failure.is_of_one_backup() => {
            silent.add(&backup.id, &failure);
            return Ok(None);
        }
        found => found?.view,
    };
    if znode.role != "captured" {
        silent.number += u64::from(znode.role == "unreadable");
        return Ok(None); // it is only known to be there
    }
    Ok(Some(Seen {
        size: znode.size,
        version: znode.stat.version,
        is_known: znode.stat.is_known(path),
        state: State::There {
            czxid: znode.stat.czxid,
            data: znode.data.unwrap_or_default(),
            acl: znode.acl.unwrap_or_default(),
        },
    }))
}

/// Valid backups that do not tell how the znode was.
#[derive(Debug, Default)]
struct Silent {
    number: u64,
    /// Whether one of them ought to have told.
    failed: bool,
}

impl Silent {
    /// Tells that a backup cannot be read.
    fn add(&mut self, id: &str, failure: &Failure) {
        (self.number, self.failed) = (self.number + 1, true);
        tell(&format!(
            "zk-backup: backup {}: cannot be read: {}",
            clean(id),
            clean(&failure.message)
        ));
    }

    /// What changed in them is not among what was found.
    fn beside(&self, path: &str) -> String {
        match self.number {
            1 => format!("1 backup does not tell: `zk-backup find {path}` names it"),
            some => format!(
                "{} backups do not tell: `zk-backup find {path}` names them",
                count(some)
            ),
        }
    }

    fn nothing_found(&self, path: &str) -> String {
        match self.number {
            0 => format!("no valid backup has {path}"),
            some => format!(
                "no valid backup that tells has {path}, and {} do not tell: `zk-backup find {path}` names them",
                count(some)
            ),
        }
    }
}

/// Whether nobody can open the backup.
fn is_sealed(failure: &Failure) -> bool {
    failure.code.as_deref() == Some("backup_sealed")
}

/// Whether a partial backup lacks the znode because it could not read one above it.
fn is_below_unread(api: &Api, backup: &Backup, path: &str) -> Result<bool, Failure> {
    if !backup.lacks() {
        return Ok(false);
    }
    for above in above(path) {
        match api.znode(&backup.id, above) {
            Ok(znode) => return Ok(znode.view.role == "unreadable"),
            Err(failure) if failure.code.as_deref() == Some("znode_not_found") => {}
            Err(failure) if failure.exit == Exit::NotFound => return Ok(true), // evicted meanwhile: it tells nothing
            Err(failure) => return Err(failure),
        }
    }
    Ok(false)
}

/// The znodes above `path`, the nearest first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let cut = path.rmatch_indices('/').map(|(at, _)| &path[..at.max(1)]);
    cut.filter(move |above| *above != path)
}

/// Whether the backup would have the znode if it was there.
fn covers(backup: &Backup, path: &str) -> bool {
    let roots = backup.roots();
    roots.is_empty() || roots.iter().any(|root| is_within(path, root))
}

fn change(before: &State, now: &State) -> Option<(&'static str, Look)> {
    let both_told = before.has_acl() && now.has_acl();
    Some(match (before, now) {
        (before, now) if before == now => return None,
        (_, State::Absent) => ("removed", Look::Bad),
        (State::Absent, _) => ("added", Look::Good),
        (
            State::There { data, acl, czxid },
            State::There {
                data: d,
                acl: a,
                czxid: c,
            },
        ) => match (data != d, both_told && acl != a, both_told && czxid != c) {
            (_, _, true) => ("created_anew", Look::Changed),
            (false, false, _) => return None,
            (true, true, _) => ("both_changed", Look::Changed),
            (true, false, _) => ("data_changed", Look::Changed),
            _ => ("acl_changed", Look::Changed),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(czxid: i64, data: &str) -> State {
        let acl = serde_json::json!([{ "perms": 31, "scheme": "world", "id": "anyone" }]);
        State::There {
            czxid,
            data: data.to_owned(),
            acl: serde_json::from_value(acl).unwrap(),
        }
    }

    #[test]
    fn the_nearest_above_comes_first() {
        assert_eq!(above("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(above("/a").collect::<Vec<_>>(), ["/"]);
        assert_eq!(above("/").count(), 0);
    }

    #[test]
    fn those_that_do_not_tell_are_counted_beside_what_was_found() {
        let silent = |number| Silent {
            number,
            failed: false,
        };
        assert_eq!(
            silent(1).beside("/a"),
            "1 backup does not tell: `zk-backup find /a` names it"
        );
        assert_eq!(
            silent(2).beside("/a"),
            "2 backups do not tell: `zk-backup find /a` names them"
        );
    }

    #[test]
    fn a_change_is_named() {
        let named = |before: &State, now: &State| change(before, now).map(|(name, _)| name);
        assert_eq!(named(&there(1, "a"), &there(1, "a")), None);
        assert_eq!(named(&there(1, "a"), &there(1, "b")), Some("data_changed"));
        assert_eq!(named(&there(1, "a"), &there(2, "a")), Some("created_anew"));
        assert_eq!(named(&there(1, "a"), &State::Absent), Some("removed"));
        assert_eq!(named(&State::Absent, &there(1, "a")), Some("added"));
    }
}
