//! What names a restart command that an interrupted restore has left running never ends any other process.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use serde_json::json;

use crate::common::clients::client;
use crate::common::daemons::{daemon, recovery_settings};
use crate::common::servers::{busy, start};
use crate::common::snapshots::take_snapshot;
use crate::common::trees::plant_all_kinds;

/// Some process that is no business of ours, with a group of its own, as a restart command has one.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        Self(
            Command::new("sleep")
                .arg("1000")
                .process_group(0)
                .spawn()
                .unwrap(),
        )
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn begun(&self) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        fields.split_whitespace().nth(19).unwrap().to_owned()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended already
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_has_the_number_of_a_restart_command_is_never_ended() {
    let server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let settings = recovery_settings(data.to_str().unwrap(), "true");
    let note = storage.path().join("recover.pid");
    let mut stranger = Stranger::start();
    let (process, begun) = (stranger.0.id(), stranger.begun());
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = boot.trim();
    let later = begun.parse::<u64>().unwrap() + 1;
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (id, _) = take_snapshot(&daemon_here);
    drop(daemon_here);
    let body = json!({ "vault": id, "strategy": "files" }).to_string();
    // Of another boot, of a process that had the number before, cut short, of none that had begun.
    for (text, is_its_own) in [
        (
            format!("{process} {begun} 00000000-0000-4000-8000-000000000000"),
            false,
        ),
        (format!("{process} {later} {boot}"), false),
        (format!("{process} 1 {boot}"), false),
        (format!("{process} {begun}"), false),
        (format!("{process} "), false),
        (format!("{process}"), false),
        (String::new(), false),
        // The same of a command that was left running, so that the others are known to be read.
        (format!("{process} {begun} {boot}"), true),
    ] {
        fs::write(&note, &text).unwrap();
        let mut daemon_here = daemon(&server.address(), storage.path(), &settings);
        let (_, state) = daemon_here.do_job("/restore", &body).unwrap();
        assert_eq!(state.status, 200, "{text}: {}", state.text);
        assert_eq!(stranger.runs(), !is_its_own, "{text}");
        // What is said of it comes before this.
        let placed = format!(" is in {}", storage.path().join("recover").display());
        daemon_here.wait_for_line(&placed).unwrap();
        let said = daemon_here.said();
        assert_eq!(said.contains("was still running"), is_its_own, "{text}: {said}");
        assert!(!note.exists(), "{text}");
    }
}
