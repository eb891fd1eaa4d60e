//! Starts the command line. What it does is in the library half.

use std::process::ExitCode;

use clap::Parser as _;
use zk_backup::{Cli, Exit, Screen, listen, run, tell};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            let _ = error.print(); // nobody reads it then
            return exit.into();
        }
    };
    listen();
    let mut out = std::io::stdout();
    let mut screen = Screen::stdout(&mut out, cli.global.json);
    match run(&cli, &mut screen) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.is_silent() {
                tell(&failure.line(cli.global.json));
            }
            failure.exit.into()
        }
    }
}
