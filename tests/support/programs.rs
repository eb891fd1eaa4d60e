//! Programs that tests put somewhere, and run from there.

use std::io;
use std::path::Path;
use std::process::Command;

/// Writes a script that can be run at once.
///
/// A process of its own writes it: what other threads start has for a moment all that is open here, and nobody can run a file that somebody has open to write
/// to (`ETXTBSY`).
///
/// # Errors
/// When it cannot be written.
pub fn write_script(path: &Path, text: &str) -> io::Result<()> {
    let script = r#"printf %s "$1" > "$0" && chmod 755 "$0""#;
    succeeds(Command::new("sh").args(["-c", script]).arg(path).arg(text))
}

/// Copies a program that can be run at once, in the same way.
///
/// # Errors
/// When it cannot be copied.
pub fn copy_program(from: &Path, to: &Path) -> io::Result<()> {
    succeeds(Command::new("cp").args([from, to]))
}

fn succeeds(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?}: {status}"))),
    }
}
