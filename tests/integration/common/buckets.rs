//! Where vaults are, and how they are sealed: in a bucket when `ZK_BACKUP_TEST_STORAGE=s3` is set, sealed when `ZK_BACKUP_TEST_SEALED` is.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use vault_store::{FileEntry, FsStore, Reader, S3Config, S3Keys, S3Secret, SealedStore, VaultStore};
use zk_backup_testkit::{BUCKET, KEY_ID, KEY_SECRET, S3Server};

/// What a server keeps its backups with in the bucket of `s3`, below `prefix`.
///
/// Nothing is verified unless a test asks for it.
pub(crate) fn in_bucket<'a>(url: &'a str, prefix: &'a str) -> [(&'static str, &'a str); 7] {
    [
        ("VERIFY_NEW_BACKUPS", "false"),
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

/// Where the vaults of a storage are as files: its directory, or that of its prefix in the shared bucket.
pub(crate) fn vaults_of(storage: &Path) -> PathBuf {
    shared().map_or_else(
        || storage.to_owned(),
        |server| server.bucket().join(prefix_of(storage)),
    )
}

/// Where the files of a vault are.
pub(crate) fn files_of(storage: &Path, id: &str) -> PathBuf {
    match shared() {
        None => [storage.join(id), storage.join("granular").join(id)]
            .into_iter()
            .find(|path| path.is_dir())
            .unwrap(),
        Some(_) => {
            let stages = vaults_of(storage).join("vaults").join(id);
            stages.read_dir().unwrap().next().unwrap().unwrap().path()
        }
    }
}

/// How many files or directories of a backup that was not committed lie about.
pub(crate) fn stages_of(storage: &Path, id: &str) -> usize {
    let below = match shared() {
        None => storage.join(".staging"),
        Some(_) => vaults_of(storage).join("vaults").join(id),
    };
    below.read_dir().map_or(0, Iterator::count)
}

/// The bytes of a file of a vault, opened where the suites seal their vaults.
pub(crate) fn read_opened(file: &Path) -> Vec<u8> {
    let bytes = fs::read(file).unwrap();
    if !bytes.starts_with(b"age-encryption.org/") {
        return bytes;
    }
    let secret = KEYS[0].1.lines().last().unwrap();
    let identity: age::x25519::Identity = secret.parse().unwrap();
    let mut opened = Vec::new();
    let file = age::Decryptor::new(&bytes[..]).unwrap();
    let mut file = file
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .unwrap();
    file.read_to_end(&mut opened).unwrap();
    opened
}

/// A copy of a storage, with its vaults, wherever these are.
pub(crate) fn copy_of_storage(storage: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let copy_into = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        // The server has what it knows of objects in attributes of their files.
        let from = format!("{}/.", from.display());
        let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(copied.unwrap().success());
    };
    copy_into(storage, copy.path());
    if shared().is_some() {
        copy_into(&vaults_of(storage), &vaults_of(copy.path()));
    }
    copy
}

/// The vaults of a storage that no server has, to be read and written as that does.
fn store_of(storage: &Path) -> Arc<dyn VaultStore> {
    let Some(server) = shared() else {
        return Arc::new(FsStore::open(storage).unwrap());
    };
    let secret = |text: &str| S3Secret::Text(text.to_owned());
    let config = S3Config {
        url: Some(server.url()),
        prefix: prefix_of(storage),
        keys: Some(S3Keys {
            id: secret(KEY_ID),
            secret: secret(KEY_SECRET),
        }),
        ..S3Config::new(BUCKET)
    };
    Arc::new(config.open().unwrap())
}

/// Marks all vaults as asked for by the schedule, which is too slow for tests: each is written anew. No server has the storage meanwhile.
pub(crate) fn as_if_scheduled(storage: &Path) {
    let below = store_of(storage);
    let (recipient, identity) = KEYS[0];
    let identities = Some(identity.parse().unwrap());
    let sealing = SealedStore::new(Arc::clone(&below), recipient.parse().unwrap(), identities);
    for id in below.ids().unwrap() {
        let is_sealed = below.manifest(&id).unwrap().sealed.is_some();
        let store: &dyn VaultStore = if is_sealed { &sealing } else { &*below };
        let mut manifest = store.manifest(&id).unwrap();
        assert_eq!(manifest.scheduled, Some(false), "{manifest:?}");
        manifest.scheduled = Some(true);
        let read = |file: &FileEntry| {
            let mut bytes = Vec::new();
            let opened = store.open(&id, &file.name).unwrap();
            Reader::new(opened).read_to_end(&mut bytes).unwrap();
            bytes
        };
        let files: Vec<_> = manifest.files.iter().map(read).collect();
        store.remove(&id).unwrap();
        let mut stage = store.stage(&id).unwrap();
        for (file, bytes) in manifest.files.iter().zip(files) {
            stage.put(&file.name, &bytes).unwrap();
        }
        stage.commit(&manifest).unwrap();
    }
}

/// Set in the environment of the suites where every server is to seal its backups.
const SEALED: &str = "ZK_BACKUP_TEST_SEALED";

/// Whether every server seals its backups, and opens them.
pub(crate) fn is_sealed() -> bool {
    std::env::var_os(SEALED).is_some()
}

/// Public keys of age, and files with their identities, as `age-keygen` writes them.
pub(crate) const KEYS: [(&str, &str); 2] = [
    (
        "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
        "# a key\nAGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n",
    ),
    (
        "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z",
        "AGE-SECRET-KEY-1N9JEPW6DWJ0ZQUDX63F5A03GX8QUW7PXDE39N8UYF82VZ9PC8UFS3M7XA9\n",
    ),
];

/// Whether what follows is left out, as backups are in a bucket and its subject is the directory of a storage: says `why`. docs/TESTING.md has all of
/// them.
#[allow(clippy::print_stdout)]
pub(crate) fn left_out(why: &str) -> bool {
    let left_out = shared().is_some();
    if left_out {
        println!("left out, as backups are in a bucket: {why}");
    }
    left_out
}
