//! `zk-backup evict`.

use std::collections::HashSet;

use serde_json::json;

use super::refuse_latest;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, Table, clean};

/// What goes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// This backup, pinned or not; without it, what the policies let go
    id: Option<String>,
    /// Only tell what would go, and why
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Whether the server's policies say what goes.
    pub(crate) fn is_by_policy(&self) -> bool {
        self.id.is_none()
    }
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let id = args.id.as_deref();
    id.map_or(Ok(()), refuse_latest)?;
    match (args.dry_run, id) {
        (true, _) => {}
        (false, None) => return by_policy(api, screen),
        (false, Some(one)) => {
            api.evict(id)?;
            match screen.is_json() {
                true => screen.json("evicted", json!({ "id": id }))?,
                false => screen.line(&format!("backup {} is removed", clean(one)), None)?,
            }
            return Ok(Exit::Done);
        }
    }
    let mut table = Table::new(&["ID", "ACTION", "WHY"], &[]);
    for decision in api.would_evict(id)? {
        if screen.is_json() {
            screen.json("eviction", decision.json)?;
            continue;
        }
        let view = decision.view;
        let look = (view.action == "evict").then_some(Look::Bad);
        table.row(
            [view.id, view.action, view.reason].map(|cell| clean(&cell).into_owned()),
            look,
        );
    }
    if !screen.is_json() {
        table.write(screen)?;
    }
    Ok(Exit::Done)
}

/// Removes what the policies let go, and names what is gone then.
fn by_policy(api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let due = api.would_evict(None)?;
    let due = due.into_iter().map(|decision| decision.view);
    let due: Vec<_> = due
        .filter(|view| view.action == "evict")
        .map(|view| view.id)
        .collect();
    api.evict(None)?;
    let after = api.list().map_err(|failure| Failure {
        message: format!(
            "the policies were applied, and what is left is not known: {}",
            failure.message
        ),
        ..failure
    })?;
    let after: HashSet<String> = after.into_iter().collect();
    let gone: Vec<_> = due.into_iter().filter(|id| !after.contains(id)).collect();
    if screen.is_json() {
        screen.json("evicted", json!({ "id": null, "ids": gone }))?;
        return Ok(Exit::Done);
    }
    if gone.is_empty() {
        screen.line(
            "the policies let nothing go: `zk-backup evict --dry-run` tells why",
            None,
        )?;
    }
    for id in gone {
        screen.line(&format!("backup {} is removed", clean(&id)), None)?;
    }
    Ok(Exit::Done)
}
