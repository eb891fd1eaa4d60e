//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    backup, browse, cancel, check, completions, copy, diff, evict, export, find, history, import, inspect,
    list, pin, restore, show, status, watch,
};

/// Exit codes and where things are found; after the help of the program, not of each command.
const AFTER: &str = "\
Environment:
  ZK_BACKUP_URL            the server (default: http://127.0.0.1:8080)
  ZK_BACKUP_USERNAME       and its password in ZK_BACKUP_PASSWORD, or in the file that
                           ZK_BACKUP_PASSWORD_FILE names; there is no flag for a password
  ZK_BACKUP_CA             the authorities that its certificate is trusted by, as --ca has them
  NO_COLOR                 no colours, whatever the terminal can

Exit codes:
  0  done                   10  no such backup, znode or job
  1  failed                 11  in use by a job, or the storage by a server
  2  wrongly asked          12  credentials missing or wrong
  3  done, but partial     130  interrupted (129, 143: by SIGHUP, SIGTERM)";

/// Back up ZooKeeper, look into backups, compare and restore them.
#[derive(Debug, Parser)]
#[command(name = "zk-backup", version, after_help = AFTER, after_long_help = AFTER, max_term_width = 100)]
pub struct Cli {
    /// Where, and how it is told.
    #[command(flatten)]
    pub global: Global,
    /// What.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where, and how it is told")]
pub struct Global {
    /// The server, such as https://zk-backup:8443
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// A profile of the configuration file
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// The configuration file (default: $XDG_CONFIG_HOME/zk-backup/config.toml)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The authorities that the server's certificate is trusted by, in PEM (default: those of this system)
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Work on a server's storage directory, without a server
    #[arg(long, global = true, value_name = "DIR")]
    pub storage: Option<PathBuf>,
    /// With --storage: ZooKeeper's servers, as ZOOKEEPER_HOST has them; identity and TLS come from the server's variables
    #[arg(long, global = true, value_name = "HOSTS")]
    pub zookeeper: Option<String>,
    /// With --storage: do first what waits in the storage, as its server would
    #[arg(long, global = true)]
    pub do_waiting: bool,
    /// Write JSON lines, each with its message_type
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take a backup
    Backup(backup::Args),
    /// List the backups
    #[command(visible_alias = "list")]
    Ls(list::Args),
    /// Show what is known of a backup
    Show(show::Args),
    /// Look into a backup: its tree, or a znode with its data
    Browse(browse::Args),
    /// Show what became of the znodes of a backup
    Diff(diff::Args),
    /// Show every backup in which a znode changed
    History(history::Args),
    /// Find the backups that have a znode
    Find(find::Args),
    /// Restore a backup: shows the plan, then asks
    Restore(restore::Args),
    /// Remove what the policies let go, or one backup
    Evict(evict::Args),
    /// Keep a backup whatever the policies say
    Pin(pin::Args),
    /// Take the pin of a backup away
    Unpin(pin::Args),
    /// Read all of a backup, or of every one, and compare it with its checksums
    Verify(check::Verify),
    /// Restore a backup into a scratch place, and compare what came back
    Restoretest(check::RestoreTest),
    /// List the server's jobs
    Jobs(watch::List),
    /// Follow a job until it has ended
    Watch(watch::Args),
    /// Call a job off
    Cancel(cancel::Args),
    /// Show how the server, its storage and ZooKeeper are
    Status(status::Args),
    /// Write what is in a backup as a tar or as JSON lines
    Export(export::Args),
    /// Take in a backup that was downloaded as a zip
    Import(import::Args),
    /// Print ZooKeeper's own files: a data directory, a snapshot, a log
    Inspect(inspect::Args),
    /// Copy one live ensemble into another: shows the plan, then asks
    Copy(copy::Args),
    /// Write the completions of a shell
    Completions(completions::Args),
    /// Write the manual page
    Man(completions::Man),
}

impl Command {
    /// Whether it is done once nobody reads what it prints: it changes nothing, and its exit code judges nothing.
    pub(crate) fn only_shows(&self) -> bool {
        match self {
            Self::Ls(_)
            | Self::Show(_)
            | Self::Browse(_)
            | Self::History(_)
            | Self::Find(_)
            | Self::Jobs(_)
            | Self::Inspect(_)
            | Self::Completions(_)
            | Self::Man(_) => true,
            Self::Diff(args) => !args.is_judging(),
            Self::Export(args) => args.is_to_stdout(),
            Self::Backup(_)
            | Self::Restore(_)
            | Self::Evict(_)
            | Self::Pin(_)
            | Self::Unpin(_)
            | Self::Verify(_)
            | Self::Restoretest(_)
            | Self::Watch(_)
            | Self::Cancel(_)
            | Self::Status(_)
            | Self::Import(_)
            | Self::Copy(_) => false,
        }
    }
}
