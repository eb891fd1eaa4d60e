//! Verifications, and restores for a test.

use backup_engine::{ConnectString, Share};
use job_queue::Schedule;
use zk_snapshot::tree::ZnodePath;

use super::values::{SettingsError, bad, flag, given, number};
use crate::Args;

/// What is checked, when and where.
#[derive(Debug)]
#[allow(missing_docs)] // the fields are those of `Args`
pub struct Checks {
    pub verify_schedule: Option<Schedule>,
    pub verify_share: Share,
    pub verify_new_backups: bool,
    pub test_schedule: Option<Schedule>,
    /// Where backups are restored for a test; `None` for memory.
    pub test_place: Option<TestPlace>,
    /// In bytes.
    pub test_memory: u64,
}

/// Where in which ensemble backups are restored for a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestPlace {
    /// The servers; `None` for the ensemble that is backed up.
    pub servers: Option<String>,
    /// The znode below which it is done.
    pub root: ZnodePath,
    /// Whether it is the ensemble that is backed up.
    pub is_live: bool,
}

/// A schedule that is off unless it is given.
pub(super) fn schedule(name: &str, value: Option<&String>) -> Result<Option<Schedule>, SettingsError> {
    match given(value) {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("none") => Ok(None),
        Some(text) => match text.parse() {
            Ok(schedule) => Ok(Some(schedule)),
            Err(error) => Err(SettingsError(format!("{name}: {error}, nor None"))),
        },
    }
}

/// `live` are the servers of the ensemble that is backed up, and `port` theirs unless they say another. What is `far` away, in a bucket,
/// is read back once.
pub(super) fn checks(args: &Args, live: &str, port: u16, far: bool) -> Result<Checks, SettingsError> {
    let share = given(args.verify_share.as_ref()).map_or(Ok(Share::ALL), |text| text.parse());
    let mebibytes: u64 = number(
        "RESTORE_TEST_MEMORY",
        args.restore_test_memory.as_ref(),
        1_024,
        "MiB from 1 to 1048576",
        |mebibytes| (1..=1 << 20).contains(mebibytes),
    )?;
    Ok(Checks {
        verify_schedule: schedule("VERIFY_SCHEDULE", args.verify_schedule.as_ref())?,
        verify_share: share.map_err(|error| SettingsError(format!("VERIFY_SHARE: {error}")))?,
        verify_new_backups: flag("VERIFY_NEW_BACKUPS", args.verify_new_backups.as_ref(), far)?,
        test_schedule: schedule("RESTORE_TEST_SCHEDULE", args.restore_test_schedule.as_ref())?,
        test_place: place(args, live, port)?,
        test_memory: mebibytes << 20,
    })
}

fn place(args: &Args, live: &str, port: u16) -> Result<Option<TestPlace>, SettingsError> {
    let root = match given(args.restore_test_root.as_ref()) {
        None => None,
        Some(text) => match ZnodePath::parse(&text) {
            Ok(path) if !path.is_root() => Some(path),
            _ => {
                let allowed = "the path of a znode below the root, such as /restore-tests,";
                return Err(bad("RESTORE_TEST_ROOT", &text, allowed));
            }
        },
    };
    let Some(hosts) = given(args.restore_test_host.as_ref()) else {
        let there = |root| TestPlace {
            servers: None,
            root,
            is_live: true,
        };
        return Ok(root.map(there));
    };
    let ConnectString { servers, chroot } = ConnectString::parse(&hosts, port)
        .map_err(|why| SettingsError(format!("RESTORE_TEST_HOST={hosts}: {why}")))?;
    let lives = |server: &str| live.split(',').any(|live| live == server);
    let is_live = servers.split(',').any(lives);
    if is_live && root.is_none() {
        return Err(SettingsError(format!(
            "RESTORE_TEST_HOST={hosts}: it is the ensemble that is backed up. Name a znode there to which backups may be restored \
             for a test in RESTORE_TEST_ROOT, or another ensemble"
        )));
    }
    let root = root.map_or_else(|| chroot.clone(), |root| root.below(&chroot));
    Ok(Some(TestPlace {
        servers: Some(servers),
        root,
        is_live,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "zk1:2181,zk2:2182";

    fn place_of(host: &str, root: &str) -> Result<Option<TestPlace>, String> {
        let args = Args {
            restore_test_host: Some(host.to_owned()),
            restore_test_root: Some(root.to_owned()),
            ..Args::default()
        };
        place(&args, LIVE, 2181).map_err(|error| error.to_string())
    }

    #[test]
    fn the_live_ensemble_is_only_tested_in_where_a_place_there_is_named() {
        assert_eq!(place_of("", "").unwrap(), None);
        let other = place_of("other,other2:99/base", "").unwrap().unwrap();
        assert_eq!(other.servers.as_deref(), Some("other:2181,other2:99"));
        assert_eq!((other.root.as_str(), other.is_live), ("/base", false));
        let below = place_of("other/base", "/tests").unwrap().unwrap();
        assert_eq!((below.root.as_str(), below.is_live), ("/base/tests", false));
        for same in ["zk1", "zk9,zk2:2182", "zk2:2182/base"] {
            let refused = place_of(same, "").unwrap_err();
            assert!(refused.contains("RESTORE_TEST_ROOT"), "{refused}");
            let named = place_of(same, "/tests").unwrap().unwrap();
            assert!(named.is_live && named.root.as_str().ends_with("/tests"));
        }
        let here = place_of("", "/tests").unwrap().unwrap();
        assert!(here.is_live);
        assert_eq!((here.servers, here.root.as_str()), (None, "/tests"));
        for bad in ["/", "tests", "/a//b"] {
            assert!(place_of("other", bad).unwrap_err().contains("RESTORE_TEST_ROOT"));
        }
        assert!(place_of("a b", "").is_err());
    }
}
