//! The stores of vaults and of jobs over real S3 servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod buckets;
mod clouds;
mod jobs;
mod settings;

use std::time::Duration;

use vault_store::conformance::Subject;
use vault_store::{
    FileName, Manifest, Mode, ObjectVaults, Outcome, S3Config, S3Keys, S3Secret, Stage, StoreError, VaultId,
    VaultStore,
};
use zk_backup_testkit::{BUCKET, KEY_ID, KEY_SECRET, S3Server};

const ARCHIVE: FileName = FileName::from_static("archive");

/// How a server of the kit is reached.
fn config(server: &S3Server) -> S3Config {
    S3Config {
        url: Some(server.url()),
        prefix: "some/where".to_owned(),
        keys: Some(S3Keys {
            id: S3Secret::Text(KEY_ID.to_owned()),
            secret: S3Secret::Text(KEY_SECRET.to_owned()),
        }),
        retry_for: Duration::from_secs(1),
        ..S3Config::new(BUCKET)
    }
}

fn id() -> VaultId {
    "20261123T140000".parse().unwrap()
}

fn write(stage: &mut dyn Stage, bytes: &[u8]) -> Result<Manifest, StoreError> {
    let id = id();
    Ok(Manifest {
        files: vec![stage.put(&ARCHIVE, bytes)?],
        ..Manifest::new(&id, Mode::Hierarchical, id.time(), Outcome::Complete)
    })
}

fn put(store: &ObjectVaults, bytes: &[u8]) -> Result<(), StoreError> {
    let mut stage = store.stage(&id())?;
    let manifest = write(&mut *stage, bytes)?;
    stage.commit(&manifest)
}

mod suite {
    use super::{S3Server, Subject, config};

    fn subject() -> Subject {
        let server = S3Server::start().unwrap();
        Subject::new(move || config(&server).open().unwrap())
    }

    vault_store::conformance_tests!(subject());
}

mod sealed_suite {
    use std::sync::Arc;

    use vault_store::SealedStore;

    use super::{S3Server, Subject, config};

    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    fn subject() -> Subject {
        let server = S3Server::start().unwrap();
        Subject::new(move || {
            let below = Arc::new(config(&server).open().unwrap());
            SealedStore::new(below, PUBLIC.parse().unwrap(), Some(SECRET.parse().unwrap()))
        })
    }

    vault_store::conformance_tests!(subject());
}
