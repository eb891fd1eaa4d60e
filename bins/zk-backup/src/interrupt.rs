//! Ctrl-C: what is left behind, and what goes on all the same.

use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::{Mutex, PoisonError};

use crate::exit::Exit;
use crate::text::clean;

/// What is told, and what is removed, when the user interrupts.
static LEFT: Mutex<Left> = Mutex::new(Left {
    hint: None,
    directory: None,
});

struct Left {
    hint: Option<String>,
    directory: Option<PathBuf>,
}

/// Ends the process with 130 at Ctrl-C from here on.
pub fn listen() {
    // Without the thread Ctrl-C ends the process as it ends any other.
    let _ = std::thread::Builder::new().spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime
            && runtime.block_on(tokio::signal::ctrl_c()).is_ok()
        {
            leave();
        }
    });
}

#[allow(clippy::print_stderr)] // this is where people are told
fn leave() {
    let left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    match &left.hint {
        Some(hint) => eprintln!("\nzk-backup: interrupted: {}", clean(hint)),
        None => eprintln!("\nzk-backup: interrupted"),
    }
    if let Some(directory) = &left.directory
        && let Err(error) = std::fs::remove_dir_all(directory)
    {
        eprintln!("zk-backup: {} is left behind: {error}", directory.display());
    }
    exit(Exit::Interrupted as i32);
}

/// Says what goes on when the user interrupts from here on.
pub(crate) fn hint(text: Option<String>) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).hint = text;
}

/// Removes `directory` when the user interrupts.
pub(crate) fn remove(directory: &Path) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).directory = Some(directory.to_owned());
}
