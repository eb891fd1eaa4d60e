//! Programs of others that say more of what is here than we can.

use std::path::PathBuf;
use std::process::Command;

use crate::workspace;

/// The program that `variable` names, which has to be there then, or the one that `.ci/run` has put below `target/tools`. Where there is none that is told, and
/// whoever asks has nothing to try.
#[allow(clippy::print_stdout)] // it is what the test says
pub(crate) fn tool(variable: &str, name: &str) -> Option<Command> {
    let here = workspace().join("target/tools").join(name);
    let named = std::env::var_os(variable).map(PathBuf::from);
    let program = named.or_else(|| here.exists().then_some(here));
    if program.is_none() {
        println!("{name} is not tried with: {variable} names none");
    }
    program.map(Command::new)
}
