//! `zk-backup copy`.

use std::path::PathBuf;
use std::sync::Arc;

use vault_store::{FsStore, VaultStore};

use super::{backup, restore};
use crate::exit::{Exit, Failure, about};
use crate::interrupt;
use crate::local;
use crate::text::{Look, Screen};

/// From where to where.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The servers to copy from, as ZOOKEEPER_HOST has them; identity and TLS come from the server's variables
    #[arg(long, value_name = "HOSTS")]
    from: String,
    /// A file of the server's settings for these, in place of the variables
    #[arg(long, value_name = "FILE")]
    from_config: Option<PathBuf>,
    /// The servers to copy to
    #[arg(long, value_name = "HOSTS")]
    to: String,
    /// A file of the server's settings for those
    #[arg(long, value_name = "FILE")]
    to_config: Option<PathBuf>,
    /// Only this znode and what is below it; may be given several times
    #[arg(long, value_name = "PATH")]
    root: Vec<String>,
    /// Only show the plan
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) fn run(args: &Args, screen: &mut Screen<'_>, quiet: bool) -> Result<Exit, Failure> {
    for (flag, hosts) in [("--from", &args.from), ("--to", &args.to)] {
        if hosts.trim().is_empty() {
            let why = format!("{flag} is empty: name ZooKeeper's servers, such as zk1,zk2:2182");
            return Err(Failure::usage(why));
        }
    }
    if args.from.trim() == args.to.trim() {
        return Err(Failure::usage("--from and --to are the same"));
    }
    // On disk, so that memory does not grow with the tree; for this user's eyes only.
    let directory = tempfile::tempdir().map_err(about("a temporary directory"))?;
    interrupt::remove(directory.path());
    let store: Arc<dyn VaultStore> =
        Arc::new(FsStore::open(directory.path()).map_err(|error| Failure::failed(error.to_string()))?);
    let from = local::over(&args.from, args.from_config.as_deref(), &store)?;
    if !screen.is_json() {
        screen.line("from:", Some(Look::Head))?;
    }
    backup::run(&backup::Args::of(&args.root), &from, screen, quiet)?;
    let id = from.resolve("latest")?;
    let to = local::over(&args.to, args.to_config.as_deref(), &store)?;
    if !screen.is_json() {
        screen.line("to:", Some(Look::Head))?;
    }
    restore::run(
        &restore::Args::of(&id, &args.root, args.dry_run, args.yes),
        &to,
        screen,
        quiet,
    )
}
