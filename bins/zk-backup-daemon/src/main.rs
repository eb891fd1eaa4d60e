//! Starts the server. What it does is in the library half.

use std::process::ExitCode;

use clap::Parser as _;
use zk_backup_daemon::Args;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: zk_backup_daemon::Jemalloc = zk_backup_daemon::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match zk_backup_daemon::run(Args::parse()).await {
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
