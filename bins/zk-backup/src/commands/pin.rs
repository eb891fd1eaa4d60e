//! `zk-backup pin`, `zk-backup unpin`.

use super::refuse_latest;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::text::{Screen, clean};

/// Which backup.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Its id
    id: String,
}

pub(crate) fn run(args: &Args, pinned: bool, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    refuse_latest(&args.id)?;
    let backup = api.pin(&args.id, pinned)?;
    let id = clean(&backup.view.id).into_owned();
    match (screen.is_json(), pinned) {
        (true, _) => screen.json("backup", backup.json)?,
        (false, true) => screen.line(&format!("backup {id} is pinned: no policy removes it"), None)?,
        (false, false) => {
            screen.line(
                &format!("backup {id} is not pinned: the policies may remove it"),
                None,
            )?;
        }
    }
    Ok(Exit::Done)
}
