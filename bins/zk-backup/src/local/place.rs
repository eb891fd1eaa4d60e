//! Whether a directory can be worked on as a server's storage.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use backup_engine::VAULTS_ELSEWHERE;

use crate::exit::Failure;

/// What to do where only systemd reaches a storage.
const SYSTEMD: &str = "With DynamicUser=yes systemd keeps it in /var/lib/private, which nobody but root passes: let root start this by \
    systemd-run as the unit's user, as examples/deploy/README.md says";

/// Refuses what is no directory, is closed to this user or another's, and where the backups are elsewhere.
pub(super) fn check(directory: &Path) -> Result<(), Failure> {
    match fs::metadata(directory) {
        Ok(it) if it.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Failure::usage(format!(
                "{} is not reached, as a directory above it is closed to this user. {SYSTEMD}",
                directory.display()
            )));
        }
        _ => {
            return Err(Failure::usage(format!(
                "{} is no directory: --storage names the STORAGE of a server",
                directory.display()
            )));
        }
    }
    check_owner(directory)?;
    let variable = |name: &str| std::env::var(name).ok();
    check_elsewhere(
        directory,
        variable("S3_ENABLED").as_deref(),
        variable("STORAGE_URL").as_deref(),
    )
}

/// Files that another user makes would be closed to the server.
fn check_owner(directory: &Path) -> Result<(), Failure> {
    let (Ok(storage), Ok(ours)) = (fs::metadata(directory), fs::metadata("/proc/self")) else {
        return Ok(()); // what is wrong is told when it is opened
    };
    if storage.uid() == ours.uid() {
        return Ok(());
    }
    let owner = storage.uid();
    let next = match closed_above(directory, owner) {
        None => format!("run this as that user (sudo -u '#{owner}')"),
        Some(above) => format!(
            "run this as that user, to whom {} is closed, however. {SYSTEMD}",
            above.display()
        ),
    };
    Err(Failure::usage(format!(
        "{} belongs to the user {owner}, and what another user writes there would be closed to its server: {next}",
        directory.display(),
    )))
}

/// The nearest directory above `directory`, wherever links lead, that `user` may not pass. Groups and ACLs are not looked at.
fn closed_above(directory: &Path, user: u32) -> Option<PathBuf> {
    let directory = directory.canonicalize().ok()?; // what is wrong is told when it is opened
    let is_closed = |above: &&Path| {
        fs::metadata(above).is_ok_and(|it| {
            let passes = if it.uid() == user { 0o100 } else { 0o001 };
            it.mode() & passes == 0
        })
    };
    let mut above = directory.ancestors().skip(1);
    above.find(is_closed).map(Path::to_owned)
}

/// Where the backups are in a bucket, the directory has none of them, and what is written there the server would not see.
/// `s3_enabled` and `url`: the server's variables.
fn check_elsewhere(directory: &Path, s3_enabled: Option<&str>, url: Option<&str>) -> Result<(), Failure> {
    let is_false = |text: &str| ["", "false", "0", "f", "n", "no"].contains(&&*text.trim().to_lowercase());
    let asked = s3_enabled.is_some_and(|text| !is_false(text)) || url.is_some_and(|url| !url.is_empty());
    if !asked && !directory.join(VAULTS_ELSEWHERE).exists() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "the backups of the server with the storage {} are in a bucket, which --storage does not reach: start a server with its \
         settings, and use ZK_BACKUP_URL",
        directory.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Arc;

    use backup_engine::{Engine, MemoryEnsemble};
    use zk_snapshot::tree::MemoryTree;

    use super::*;

    #[test]
    fn a_storage_whose_backups_are_in_a_bucket_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |s3: Option<&str>| check_elsewhere(directory.path(), s3, None).is_err();
        assert!(!refused(None) && !refused(Some("")) && !refused(Some("No")));
        assert!(refused(Some("true")) && refused(Some("Y")) && refused(Some("perhaps")));
        assert!(check_elsewhere(directory.path(), None, Some("az://backups")).is_err());

        let nobody = Arc::new(MemoryEnsemble::new(Arc::new(MemoryTree::new())));
        let builder = || Engine::builder(Arc::clone(&nobody) as _);
        drop(builder().local_state(directory.path()).unwrap());
        assert!(refused(None));
        drop(builder().storage(directory.path()).unwrap());
        assert!(!refused(None), "the server keeps them there again");
    }

    /// As `/var/lib/private` is, and the link to what is in it.
    #[test]
    fn a_directory_that_is_closed_above_is_found_behind_a_link() {
        let place = tempfile::tempdir().unwrap();
        let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(place.path(), 0o755);
        let private = place.path().canonicalize().unwrap().join("private");
        let (storage, link) = (private.join("zk-backup"), place.path().join("zk-backup"));
        fs::create_dir_all(&storage).unwrap();
        symlink(&storage, &link).unwrap();
        open(&private, 0o700);
        let ours = fs::metadata(&private).unwrap().uid();
        assert_eq!(closed_above(&link, ours), None);
        assert_eq!(closed_above(&link, ours + 1), Some(private.clone()));
        open(&private, 0o711);
        // What is above the place of this test may be closed, too.
        assert_ne!(closed_above(&link, ours + 1), Some(private));
    }
}
