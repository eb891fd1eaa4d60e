//! `zk-backup cancel`.

use serde_json::json;

use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::text::{Screen, clean};

/// Which job.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Its id
    job: String,
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    api.cancel(&args.job)?;
    match screen.is_json() {
        true => screen.json("canceled", json!({ "task_id": args.job }))?,
        false => {
            let job = clean(&args.job);
            screen.line(
                &format!("{job} is called off; `zk-backup watch {job}` says when it has ended"),
                None,
            )?;
        }
    }
    Ok(Exit::Done)
}
