//! Starts the server, or a check of its settings. What they do is in the library half.

use std::process::ExitCode;
use std::time::Duration;

use zk_backup_daemon::{Cli, Command, StartError};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: zk_backup_daemon::Jemalloc = zk_backup_daemon::Jemalloc;

/// Threads that still wait for a storage or a server when all is over have this long.
const END: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
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

fn run() -> Result<ExitCode, StartError> {
    let cli = Cli::read(std::env::args_os())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = match cli.command {
        None => runtime.block_on(zk_backup_daemon::run(cli)).map(|()| true),
        Some(Command::Check { json }) => {
            let mut out = std::io::stdout();
            let checked = zk_backup_daemon::check(&cli, json, &mut out);
            runtime.block_on(checked).map_err(StartError::from)
        }
    };
    runtime.shutdown_timeout(END);
    Ok(match outcome? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
