//! Where a snapshot is kept that a server sends: a file without a name, as long as it comes and there is room.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// An answer goes on: so many bytes in so much time, or it is given up.
const SILENCE: Duration = Duration::from_secs(30);
const LEAST_BYTES: u64 = 64 << 10;
/// What stays free where snapshots are kept, whatever a server sends.
const RESERVE: u64 = 256 << 20;
const SPOOLED_AT_ONCE: usize = 256 << 10;
/// Bytes between two looks at the space that is free.
const LOOK_EVERY: u64 = 32 << 20;

/// A directory in which snapshots are kept.
#[derive(Clone)]
pub(super) struct Spool {
    directory: PathBuf,
    silence: Duration,
    reserve: u64,
}

impl Spool {
    pub(super) fn within(directory: PathBuf) -> Self {
        Self {
            directory,
            silence: SILENCE,
            reserve: RESERVE,
        }
    }

    /// Bytes that may still be written here.
    pub(super) fn room(&self) -> Result<u64, String> {
        let free = fs2::available_space(&self.directory);
        let free = free.map_err(|error| format!("{}: {error}", self.directory.display()))?;
        Ok(free.saturating_sub(self.reserve))
    }

    /// What `body` holds, in a file that is gone when it is closed, and its length.
    pub(super) fn keep(&self, body: impl Read + Send + 'static) -> Result<(File, u64), String> {
        let fail = |error: io::Error| format!("{}: {error}", self.directory.display());
        let mut file = tempfile::tempfile_in(&self.directory).map_err(fail)?;
        let pieces = in_pieces(body);
        let (mut came, mut looked_at) = (0, 0);
        let (mut since, mut before) = (Instant::now(), 0);
        loop {
            let piece = match pieces.recv_timeout(self.silence) {
                Ok(piece) => piece.map_err(|error| error.to_string())?,
                Err(RecvTimeoutError::Disconnected) => return Ok((file, came)),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("nothing came for {} seconds", self.silence.as_secs()));
                }
            };
            file.write_all(&piece).map_err(fail)?;
            came += piece.len() as u64;
            if since.elapsed() >= self.silence {
                if came - before < LEAST_BYTES {
                    return Err(format!(
                        "{} bytes came in {} seconds",
                        came - before,
                        self.silence.as_secs()
                    ));
                }
                (since, before) = (Instant::now(), came);
            }
            if came - looked_at >= LOOK_EVERY {
                looked_at = came;
                if self.room()? == 0 {
                    return Err(format!("{came} bytes came, and hardly any space is left"));
                }
            }
        }
    }
}

/// Reads on a thread of its own, so that whoever waits can give up.
fn in_pieces(mut body: impl Read + Send + 'static) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, pieces) = sync_channel(4);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; SPOOLED_AT_ONCE];
            let piece = match body.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => {
                    piece.truncate(count);
                    Ok(piece)
                }
                Err(error) => Err(error),
            };
            let is_over = piece.is_err();
            if sender.send(piece).is_err() || is_over {
                return; // nobody waits any more
            }
        }
    });
    pieces
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    /// Sends a byte now and then, for ever.
    struct Drip;

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            sleep(Duration::from_millis(20));
            buffer[0] = 0;
            Ok(1)
        }
    }

    /// Sends nothing until nobody waits any more.
    struct Silence(std::sync::mpsc::Receiver<()>);

    impl Read for Silence {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            let _ = self.0.recv(); // an error is the end, too
            Ok(0)
        }
    }

    #[test]
    fn a_server_that_stalls_or_sends_too_much_is_given_up() {
        let mut spool = Spool::within(std::env::temp_dir());
        spool.silence = Duration::from_secs(2); // many drips, also on a machine that is busy
        let why = spool.keep(Drip).unwrap_err();
        assert!(why.contains("bytes came in"), "{why}");
        spool.silence = Duration::from_millis(200);
        let (open, silent) = std::sync::mpsc::channel();
        let why = spool.keep(Silence(silent)).unwrap_err();
        assert!(why.contains("nothing came"), "{why}");
        drop(open);
        spool.silence = SILENCE;
        spool.reserve = u64::MAX;
        let why = spool.keep(io::repeat(0)).unwrap_err();
        assert!(why.contains("hardly any space"), "{why}");
    }
}
