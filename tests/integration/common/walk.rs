//! A document that is walked through: its commands are run as they stand there, by its reader's hands.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use zk_backup_testkit::Daemon;

use super::documents::assert_shown;

/// Printed after each block.
const END: &str = "\n-- the end of a block --\n";

/// A reader of a document: where they are, with our programs at hand, and what is there in place of what the document names.
pub(crate) struct Walk<'a> {
    place: &'a Path,
    instead: Vec<(&'static str, String)>,
}

impl<'a> Walk<'a> {
    /// In `place`, which is empty. Each text of `instead` is replaced by what stands beside it.
    pub(crate) fn new(place: &'a Path, instead: Vec<(&'static str, String)>) -> Self {
        let walk = Self { place, instead };
        fs::create_dir(walk.programs()).unwrap();
        for (name, program) in [
            ("zk-backup", env!("CARGO_BIN_EXE_cli-under-test")),
            ("zk-backup-daemon", env!("CARGO_BIN_EXE_daemon-under-test")),
        ] {
            symlink(program, walk.programs().join(name)).unwrap();
        }
        walk
    }

    /// Where programs are found before all others.
    pub(crate) fn programs(&self) -> PathBuf {
        self.place.join("bin")
    }

    fn shell(&self, script: &str, url: &str) -> Command {
        let replace = |script: String, (from, to): &(&str, String)| script.replace(from, to);
        let script = self.instead.iter().fold(script.to_owned(), replace);
        let path = format!("{}:{}", self.programs().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command
            .args(["-eu", "-c", &script])
            .current_dir(self.place)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.place)
            .env("ZK_BACKUP_URL", url)
            .env("PORT", "0")
            .env("BROADCAST_ADDRESS", "127.0.0.1");
        command
    }

    /// The server that `script` starts in its last line.
    pub(crate) fn server(&self, script: &str) -> Daemon {
        let script = script.replace("zk-backup-daemon\n", "exec zk-backup-daemon\n");
        Daemon::run(self.shell(&script, "")).unwrap()
    }

    /// What `script` prints, which succeeds and asks the server at `url`.
    pub(crate) fn run(&self, script: &str, url: &str) -> String {
        let output = self.shell(script, url).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{script}\n{out}\n{err}");
        out
    }

    /// Runs those of `blocks` that are of `kind` in one shell, and returns what they print: each what the block of text behind
    /// it shows, if there is one.
    pub(crate) fn run_blocks(&self, blocks: &[(&str, &str)], kind: &str, url: &str) -> String {
        let steps = blocks.iter().filter(|(found, _)| *found == kind);
        let script: String = steps
            .map(|(_, text)| format!("{text}\nprintf '{END}'\n"))
            .collect();
        let out = self.run(&script, url);
        let mut printed = out.split(END);
        for pair in blocks.windows(2) {
            if pair[0].0 == kind {
                let out = printed.next().unwrap();
                if pair[1].0 == "text" {
                    assert_shown(pair[1].1, out);
                }
            }
        }
        out
    }
}
