//! Starts the server. What it does is in the library half.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use zk_backup_daemon::{Args, StartError};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: zk_backup_daemon::Jemalloc = zk_backup_daemon::Jemalloc;

/// Threads that still wait for a storage or a server when all is over have this long.
const END: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args = Args::parse();
    let run = || -> Result<(), StartError> {
        let runtime = tokio::runtime::Runtime::new()?;
        let outcome = runtime.block_on(zk_backup_daemon::run(args));
        runtime.shutdown_timeout(END);
        outcome
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            #[allow(clippy::print_stderr)] // there may be no log yet
            if !log::log_enabled!(log::Level::Error) {
                eprintln!("zk-backup-daemon: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
