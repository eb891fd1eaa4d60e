//! From what was typed to what does it.

use clap::CommandFactory as _;

use crate::api::{Api, Http};
use crate::args::{Cli, Command, Global};
use crate::commands::{
    backup, browse, cancel, check, completions, copy, diff, evict, export, find, history, import, inspect,
    list, pin, restore, show, status, watch,
};
use crate::exit::{Exit, Failure};
use crate::local::{self, Use};
use crate::settings::Target;
use crate::text::Screen;

/// Does what was typed, and writes what was asked for to `screen`.
///
/// # Errors
/// [`Failure`], with the exit code and what to do next.
pub fn run(cli: &Cli, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if !cli.command.only_shows() {
        screen.go_on_unread();
    }
    let exit = done(cli, screen)?;
    screen.flush()?;
    Ok(exit)
}

fn done(cli: &Cli, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let (global, quiet) = (&cli.global, cli.global.quiet);
    let api = |needs| open(global, needs);
    match &cli.command {
        Command::Backup(args) => backup::run(args, &api(Needs::ZOOKEEPER)?, screen, quiet),
        Command::Ls(args) => list::run(args, &api(Needs::STORAGE)?, screen),
        Command::Show(args) => show::run(args, &api(Needs::STORAGE)?, screen),
        Command::Browse(args) => browse::run(args, &api(Needs::STORAGE)?, screen),
        Command::Diff(args) => {
            let needs = match args.is_live() {
                true => Needs::LIVE,
                false => Needs::STORAGE,
            };
            diff::run(args, &api(needs)?, screen)
        }
        Command::History(args) => history::run(args, &api(Needs::STORAGE)?, screen),
        Command::Find(args) => find::run(args, &api(Needs::STORAGE)?, screen),
        Command::Restore(args) => restore::run(args, &api(Needs::ZOOKEEPER)?, screen, quiet),
        Command::Evict(args) => {
            let needs = match args.is_by_policy() {
                true => Needs::SERVER,
                false => Needs::REMOVAL,
            };
            evict::run(args, &api(needs)?, screen)
        }
        Command::Pin(args) => pin::run(args, true, &api(Needs::WORK)?, screen),
        Command::Unpin(args) => pin::run(args, false, &api(Needs::WORK)?, screen),
        Command::Verify(args) => check::verify(args, &api(Needs::WORK)?, screen, quiet),
        Command::Restoretest(args) => check::restore_test(args, &api(Needs::WORK)?, screen, quiet),
        Command::Jobs(args) => watch::list(args, &api(Needs::SERVER)?, screen),
        Command::Watch(args) => watch::run(args, &api(Needs::SERVER)?, screen, quiet),
        Command::Cancel(args) => cancel::run(args, &api(Needs::SERVER)?, screen),
        Command::Status(args) => status::run(args, &api(Needs::SERVER)?, screen),
        Command::Export(args) => export::run(args, &api(Needs::STORAGE)?, screen, quiet),
        Command::Import(args) => import::run(args, &api(Needs::IMPORT)?, screen),
        Command::Inspect(args) => inspect::run(args, screen),
        Command::Copy(args) => copy::run(args, screen, quiet),
        Command::Completions(args) => completions::run(args, Cli::command(), screen),
        Command::Man(args) => completions::man(args, Cli::command(), screen),
    }
}

/// What a command needs where there is no server.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// There is no way without a server.
    server: bool,
    zookeeper: bool,
    work: bool,
    /// It does work, and needs none of the jobs that are kept there.
    removes: bool,
    /// It does work, and puts backups there.
    backs_up: bool,
}

impl Needs {
    const STORAGE: Self = Self {
        server: false,
        zookeeper: false,
        work: false,
        removes: false,
        backs_up: false,
    };
    const LIVE: Self = Self {
        zookeeper: true,
        ..Self::STORAGE
    };
    const WORK: Self = Self {
        work: true,
        ..Self::STORAGE
    };
    const REMOVAL: Self = Self {
        removes: true,
        ..Self::WORK
    };
    const IMPORT: Self = Self {
        backs_up: true,
        ..Self::WORK
    };
    const ZOOKEEPER: Self = Self {
        zookeeper: true,
        ..Self::IMPORT
    };
    const SERVER: Self = Self {
        server: true,
        ..Self::STORAGE
    };
}

fn open(global: &Global, needs: Needs) -> Result<Api, Failure> {
    match Target::new(global, |name| std::env::var_os(name))? {
        Target::Server { url, credentials, ca } => {
            let credentials = credentials.as_ref();
            let pair = credentials.map(|of| (&*of.user, &*of.password));
            Ok(Api::of_server(Http::new(&url, pair, ca.as_deref())?))
        }
        Target::Storage { .. } if needs.server => Err(Failure::usage(
            "this is about a server's jobs and policies, and --storage is without one: use ZK_BACKUP_URL",
        )),
        Target::Storage { zookeeper: None, .. } if needs.zookeeper => Err(Failure::usage(
            "this needs ZooKeeper: add --zookeeper HOSTS, as ZOOKEEPER_HOST has them",
        )),
        Target::Storage { directory, zookeeper } => {
            let purpose = match needs.work {
                true => Use::Work {
                    waiting_too: global.do_waiting,
                    quiet: global.quiet,
                    even_without_jobs: needs.removes,
                    backs_up: needs.backs_up,
                },
                false => Use::Look,
            };
            local::open(&directory, zookeeper.as_deref(), purpose)
        }
    }
}
