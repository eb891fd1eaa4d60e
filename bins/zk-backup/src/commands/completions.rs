//! `zk-backup completions` and `zk-backup man`.

use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man as Page;

use crate::exit::{Exit, Failure, about};
use crate::text::Screen;

/// For which shell.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Where to write manual pages.
#[derive(Debug, Clone, clap::Args)]
pub struct Man {
    /// Write the pages of all commands into this directory, instead of the first to stdout
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// `command` is the whole command line.
pub(crate) fn run(args: &Args, mut command: Command, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "zk-backup", &mut script);
    screen.raw(&script)?;
    Ok(Exit::Done)
}

pub(crate) fn man(args: &Man, command: Command, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    match &args.out {
        Some(directory) => {
            std::fs::create_dir_all(directory).map_err(about(directory.display()))?;
            clap_mangen::generate_to(command, directory).map_err(about(directory.display()))?;
        }
        None => {
            let mut page = Vec::new();
            Page::new(command).render(&mut page)?;
            screen.raw(&page)?;
        }
    }
    Ok(Exit::Done)
}
