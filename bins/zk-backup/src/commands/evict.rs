//! `zk-backup evict`.

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
    if !args.dry_run {
        api.evict(id)?;
        match (screen.is_json(), id) {
            (true, _) => screen.json("evicted", json!({ "id": id }))?,
            (false, Some(id)) => screen.line(&format!("backup {} is removed", clean(id)), None)?,
            (false, None) => screen.line("what the policies let go is removed", None)?,
        }
        return Ok(Exit::Done);
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
