//! Signals that end the program: what is left behind, and what goes on all the same.

use std::io;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::text::{clean, tell};

/// As the shell has it: the exit code of what a signal ended is this and the signal's number.
const BY_SIGNAL: i32 = 128;
const HANGUP: u32 = 1;
const TERMINATE: i32 = 15;
/// What is being written meanwhile is in the way of what removes it.
const TRIES: usize = 10;

/// What is told, and what is removed, when the user interrupts.
static LEFT: Mutex<Left> = Mutex::new(Left {
    hint: None,
    places: Vec::new(),
});

struct Left {
    hint: Option<String>,
    places: Vec<PathBuf>,
}

/// Ends the process from here on at Ctrl-C (130), SIGTERM (143), and SIGHUP (129) where that is not ignored, as by `nohup`.
pub fn listen() {
    let (ready, is_ready) = mpsc::channel();
    // Without the thread they end the process as they end any other.
    let _ = std::thread::Builder::new().spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime
            && let Ok(code) = runtime.block_on(signalled(ready))
        {
            leave(code);
        }
    });
    // Nothing is begun before; where nobody will listen the channel is closed.
    let _ = is_ready.recv();
}

/// Waits for a signal, and returns the exit code that tells it. `ready` is told once none is missed.
async fn signalled(ready: mpsc::Sender<()>) -> io::Result<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = match is_ignored(&status, HANGUP) {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    let _ = ready.send(()); // whoever waits goes on also where this fails
    let hung_up = async {
        match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => Ok(Exit::Interrupted as i32),
        _ = terminate.recv() => Ok(BY_SIGNAL + TERMINATE),
        _ = hung_up => Ok(BY_SIGNAL + HANGUP as i32),
    }
}

/// Whether the signal is ignored, as Linux tells in a process's `status`.
fn is_ignored(status: &str, signal: u32) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored >> (signal - 1) & 1 == 1)
}

fn leave(code: i32) {
    let left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    match &left.hint {
        Some(hint) => tell(&format!("\nzk-backup: interrupted: {}", clean(hint))),
        None => tell("\nzk-backup: interrupted"),
    }
    for place in &left.places {
        if let Err(error) = gone(place) {
            let place = place.display().to_string();
            tell(&format!("zk-backup: {} is left behind: {error}", clean(&place)));
        }
    }
    exit(code);
}

fn gone(place: &Path) -> io::Result<()> {
    let mut tried = 0;
    loop {
        let removed = match place.is_dir() {
            true => std::fs::remove_dir_all(place),
            false => std::fs::remove_file(place),
        };
        tried += 1;
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !place.exists() => return Ok(()),
            Err(_) if tried < TRIES => {}
            removed => return removed,
        }
    }
}

/// Says what goes on when the user interrupts from here on.
pub(crate) fn hint(text: Option<String>) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).hint = text;
}

/// Removes the file or directory, too, when the user interrupts. One that is gone by then is no failure.
pub(crate) fn remove(place: &Path) {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.places.push(place.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_of_linux() {
        let status = |mask: &str| format!("Name:\tzk-backup\nSigBlk:\t01\nSigIgn:\t{mask}\nSigCgt:\t00\n");
        assert!(is_ignored(&status("0000000000001001"), HANGUP));
        assert!(!is_ignored(&status("0000000000001000"), HANGUP));
        assert!(is_ignored(&status("0000000000001000"), 13));
        assert!(!is_ignored("", HANGUP) && !is_ignored(&status("?"), HANGUP));
    }

    #[test]
    fn what_is_removed_is_a_file_a_directory_or_gone() {
        let directory = tempfile::tempdir().unwrap();
        let (file, below) = (directory.path().join("part"), directory.path().join("below"));
        std::fs::write(&file, b"data").unwrap();
        std::fs::create_dir_all(below.join("deep")).unwrap();
        for place in [&file, &below, &file] {
            gone(place).unwrap();
            assert!(!place.exists());
        }
    }
}
