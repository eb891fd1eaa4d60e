//! A document that is walked through: its commands are run as they stand there, by its reader's hands.
#![allow(clippy::unwrap_used)] // a document that is wrong is for the test to fail with

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::documents::assert_shown;
use crate::{Daemon, Distribution, write_script};

/// Printed after each block.
const END: &str = "\n-- the end of a block --\n";

/// A reader of a document: where they are, with our programs at hand, and what is there in place of what the document names.
#[derive(Debug)]
pub struct Walk<'a> {
    place: &'a Path,
    instead: Vec<(&'static str, String)>,
}

impl<'a> Walk<'a> {
    /// In `place`, which is empty, with the command line and the server under test. Each text of `instead` is replaced by what
    /// stands beside it.
    ///
    /// # Panics
    /// Where nothing can be written.
    #[must_use]
    pub fn new(place: &'a Path, [cli, daemon]: [&str; 2], instead: Vec<(&'static str, String)>) -> Self {
        let walk = Self { place, instead };
        fs::create_dir(walk.programs()).unwrap();
        for (name, program) in [("zk-backup", cli), ("zk-backup-daemon", daemon)] {
            symlink(program, walk.programs().join(name)).unwrap();
        }
        walk
    }

    /// Where programs are found before all others.
    fn programs(&self) -> PathBuf {
        self.place.join("bin")
    }

    /// Puts ZooKeeper's own `zkCli.sh` at hand.
    ///
    /// # Panics
    /// Where there is no ZooKeeper.
    pub fn install_zookeeper_client(&self) {
        let distribution = Distribution::debian().map_or_else(Distribution::locate, Ok);
        let class_path = distribution.unwrap().class_path().to_owned();
        let client =
            format!("#!/bin/sh\nexec java -cp '{class_path}' org.apache.zookeeper.ZooKeeperMain \"$@\"\n");
        write_script(&self.programs().join("zkCli.sh"), &client).unwrap();
    }

    /// What runs `script`, to be started by whoever asks, and asks the server at `url`.
    ///
    /// # Panics
    /// Where there is no `PATH`.
    #[must_use]
    pub fn shell(&self, script: &str, url: &str) -> Command {
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
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn server(&self, script: &str) -> Daemon {
        let script = script.replace("zk-backup-daemon\n", "exec zk-backup-daemon\n");
        Daemon::run(self.shell(&script, "")).unwrap()
    }

    /// What `script` prints, which succeeds and asks the server at `url`.
    ///
    /// # Panics
    /// Where it fails.
    pub fn run(&self, script: &str, url: &str) -> String {
        let output = self.shell(script, url).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{script}\n{out}\n{err}");
        out
    }

    /// Runs those of `blocks` that are of `kind` in one shell, and returns what they print: each what the block of text behind
    /// it shows, if there is one.
    ///
    /// # Panics
    /// Where one fails, or shows something else.
    pub fn run_blocks(&self, blocks: &[(&str, &str)], kind: &str, url: &str) -> String {
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
