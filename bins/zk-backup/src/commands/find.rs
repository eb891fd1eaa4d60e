//! `zk-backup find`.

use backup_engine::SystemClock;

use super::absolute;
use crate::api::{Api, Found, NotLooked, Told, is_stat_known};
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, Table, age, bytes, clean, date, exact};

/// What to find.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The znode
    path: String,
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let path = absolute(&args.path);
    let mut table = Table::new(&["BACKUP", "AGE", "SIZE", "VERSION", "WRITTEN"], &[1, 2, 3]);
    let (now, mut found, mut not_looked, mut offset) = (SystemClock::now(), 0, Vec::new(), Some(0));
    while let Some(at) = offset {
        let page = api.find(&path, at)?;
        for json in page.found {
            let Told { view, json } = Told::<Found>::of(json)?;
            found += 1;
            if screen.is_json() {
                screen.json("found", json)?;
                continue;
            }
            let known = is_stat_known(view.czxid, &path);
            let told = |text: String| if known { text } else { "-".to_owned() };
            let cells = [
                clean(&view.id).into_owned(),
                age(date(view.ts), now),
                bytes(view.size),
                told(view.version.to_string()),
                told(exact(date(view.mtime))),
            ];
            table.row(cells, None);
        }
        not_looked.extend(page.not_looked);
        offset = page.next.filter(|next| *next > at);
    }
    if !screen.is_json() && found > 0 {
        table.write(screen)?;
    }
    for json in not_looked {
        let Told { view, json } = Told::<NotLooked>::of(json)?;
        if screen.is_json() {
            screen.json("not_looked", json)?;
        } else {
            let line = format!("{} does not tell: {}", clean(&view.id), clean(&view.why));
            screen.line(&line, Some(Look::Dim))?;
        }
    }
    match found {
        0 => Err(Failure::new(
            Exit::NotFound,
            format!("no backup that tells has {path}"),
        )),
        _ => Ok(Exit::Done),
    }
}
