//! Two buckets of one S3 server, a file of aliases that names them, and backups in either.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use zk_backup_testkit::{BUCKET, Daemon, KEY_ID, KEY_SECRET, S3Server};

use super::daemons::daemon;

/// The second bucket.
pub(crate) const ARCHIVE: &str = "archive";

/// An S3 server with two buckets, and what a server needs to know them.
pub(crate) struct Place {
    pub(crate) s3: S3Server,
    pub(crate) storage: TempDir,
    pub(crate) aliases: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let s3 = S3Server::start().unwrap();
        fs::create_dir(s3.bucket().with_file_name(ARCHIVE)).unwrap();
        let [storage, aliases] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        Self { s3, storage, aliases }
    }

    /// Has the file name the two buckets, the second at `url`.
    pub(crate) fn both(self, url: &str) -> Self {
        let default = bucket(&self.s3.url(), BUCKET);
        self.say(&json!({"default": default, "archive": bucket(url, ARCHIVE)}));
        self
    }

    pub(crate) fn say(&self, aliases: &Value) {
        fs::write(self.aliases.path().join("s3_aliases.json"), aliases.to_string()).unwrap();
    }

    pub(crate) fn settings(&self) -> Vec<(&str, &str)> {
        vec![
            ("S3_ENABLED", "false"),
            ("S3_ALIASES_USED", "true"),
            ("ALIASES_PATH", self.aliases.path().to_str().unwrap()),
            ("S3_PREFIX", "zk"),
            ("VERIFY_NEW_BACKUPS", "false"),
            ("EVICTION_POLICY", "9y/delete"),
        ]
    }

    pub(crate) fn start(&self, zookeeper: &str) -> Daemon {
        daemon(zookeeper, self.storage.path(), &self.settings())
    }

    /// The manifests in a bucket, by the ids of their backups.
    pub(crate) fn backups_in(&self, bucket: &str) -> Vec<String> {
        let manifests = self.s3.bucket().with_file_name(bucket).join("zk/manifests");
        let mut ids = names(&manifests);
        ids.iter_mut().for_each(|name| name.truncate(15));
        ids
    }

    pub(crate) fn vaults_in(&self, bucket: &str) -> Vec<String> {
        names(&self.s3.bucket().with_file_name(bucket).join("zk/vaults"))
    }
}

pub(crate) fn bucket(url: &str, name: &str) -> Value {
    json!({"s3Url": url, "accessKeyId": KEY_ID, "accessKeySecret": KEY_SECRET, "bucketName": name, "region": "us-east-1"})
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(found) = directory.read_dir() else {
        return Vec::new();
    };
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = found.map(name).collect();
    names.sort();
    names
}

/// Asks for a backup as clients of the predecessor do, and returns its id.
pub(crate) fn ask(daemon: &Daemon, storage: &str) -> String {
    let body = json!({"storageName": storage, "blobPath": "ns/zk", "databases": []});
    let begun = daemon.http.post("/api/v1/backup", &body.to_string()).unwrap();
    assert_eq!(begun.status, 200, "{}", begun.text);
    begun.json()["backupId"].as_str().unwrap().to_owned()
}

/// The same, until it is made.
pub(crate) fn archive(daemon: &Daemon, storage: &str) -> String {
    let id = ask(daemon, storage);
    let ended = daemon.wait_for_job(&id).unwrap();
    assert_eq!(ended.status, 200, "{}", ended.text);
    id
}

pub(crate) fn listed(daemon: &Daemon) -> Vec<String> {
    serde_json::from_value(daemon.http.get("/listbackups").unwrap().json()).unwrap()
}
