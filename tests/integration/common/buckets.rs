//! Vaults in a bucket: of one suite, or of all of them, when `ZK_BACKUP_TEST_STORAGE=s3` is set.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use zk_backup_testkit::{BUCKET, KEY_ID, KEY_SECRET, S3Server};

/// What a server keeps its backups with in the bucket of `s3`, below `prefix`.
pub(crate) fn in_bucket<'a>(url: &'a str, prefix: &'a str) -> [(&'static str, &'a str); 6] {
    [
        ("S3_ENABLED", "true"),
        ("S3_URL", url),
        ("S3_BUCKET", BUCKET),
        ("S3_KEY_ID", KEY_ID),
        ("S3_KEY_SECRET", KEY_SECRET),
        ("S3_PREFIX", prefix),
    ]
}

/// The S3 server that all tests of this process share, if they keep vaults in buckets: each storage has a prefix of its own.
pub(crate) fn shared() -> Option<&'static S3Server> {
    static SHARED: OnceLock<Option<S3Server>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        (std::env::var_os("ZK_BACKUP_TEST_STORAGE")? == "s3").then(|| {
            let server = S3Server::start().unwrap();
            end_with_this_process(&server);
            server
        })
    });
    shared.as_ref()
}

/// Nothing is dropped when a test process ends, so that somebody else has to wait for it.
#[allow(clippy::zombie_processes)] // it outlives this process
fn end_with_this_process(server: &S3Server) {
    let script = r#"while kill -0 "$0" 2>/dev/null; do sleep 0.5; done; kill -9 "$1"; rm -rf "$2""#;
    let data = server
        .bucket()
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .to_owned();
    Command::new("sh")
        .args(["-c", script])
        .arg(std::process::id().to_string())
        .arg(server.process_id().unwrap().to_string())
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}

/// What the vaults of a storage have before their names in the shared bucket.
pub(crate) fn prefix_of(storage: &Path) -> String {
    storage.display().to_string().trim_matches('/').to_owned()
}

/// Where the files of a vault are.
pub(crate) fn files_of(storage: &Path, id: &str) -> PathBuf {
    match shared() {
        None => [storage.join(id), storage.join("granular").join(id)]
            .into_iter()
            .find(|path| path.is_dir())
            .unwrap(),
        Some(server) => {
            let stages = server.bucket().join(prefix_of(storage)).join("vaults").join(id);
            stages.read_dir().unwrap().next().unwrap().unwrap().path()
        }
    }
}
