//! `zk-backup import`.

use std::path::PathBuf;

use serde_json::json;

use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::text::{Screen, clean};

/// What to take in.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The archive: what `GET /backup/ID` has sent, here or elsewhere
    file: PathBuf,
    /// It is a backup of subtrees
    #[arg(long)]
    granular: bool,
    /// Replace the backup that has its id, if there is one
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if args.file.is_dir() {
        let why = format!(
            "{} is a directory: the zip is expected that `GET /backup/ID` has sent",
            args.file.display()
        );
        return Err(Failure::usage(why));
    }
    let said = api.import(&args.file, args.granular, args.force)?;
    if screen.is_json() {
        // `Backup <id> successfully uploaded`
        let id = said.split_whitespace().nth(1);
        screen.json("imported", json!({ "id": id }))?;
    } else {
        screen.line(&clean(&said), None)?;
    }
    Ok(Exit::Done)
}
