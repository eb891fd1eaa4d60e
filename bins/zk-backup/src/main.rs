//! Starts the command line. What it does is in the library half.

use std::process::ExitCode;

use anstream::AutoStream;
use clap::Parser as _;
use zk_backup::{Cli, Exit, Failure, Screen, clean, listen, run};

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
    let mut out = AutoStream::auto(std::io::stdout());
    let mut screen = Screen::coloured(&mut out, cli.global.json);
    match run(&cli, &mut screen) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            tell(&failure, cli.global.json);
            failure.exit.into()
        }
    }
}

#[allow(clippy::print_stderr)] // this is where people are told
fn tell(failure: &Failure, is_json: bool) {
    match failure {
        failure if failure.is_silent() => {}
        failure if is_json => eprintln!("{}", failure.to_json()),
        failure => eprintln!("zk-backup: {}", clean(&failure.message)),
    }
}
