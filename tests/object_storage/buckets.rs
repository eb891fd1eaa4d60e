//! What only a bucket can do to a vault.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;
use std::{io, thread};

use vault_store::{StoreError, VaultStore as _, verify};
use zk_backup_testkit::{S3Server, S3Setup};

use crate::{ARCHIVE, config, id, put, write};

/// A folder that holds nothing is none.
fn files(below: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(below) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn of_two_stores_that_commit_an_id_one_wins_and_nothing_is_mixed() {
    let server = S3Server::start().unwrap();
    let stores = [config(&server).open().unwrap(), config(&server).open().unwrap()];
    for _ in 0..10 {
        let ready = Barrier::new(2);
        let outcomes = thread::scope(|scope| {
            let work = stores.each_ref().map(|store| {
                let ready = &ready;
                scope.spawn(move || {
                    let bytes = vec![store as *const _ as usize as u8; 100_000];
                    let mut stage = store.stage(&id())?;
                    let manifest = write(&mut *stage, &bytes)?;
                    ready.wait();
                    stage.commit(&manifest)
                })
            });
            work.map(|work| work.join().unwrap())
        });
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let lost = |outcome: &&Result<(), _>| matches!(outcome, Err(StoreError::AlreadyExists(_)));
        assert!(
            won == 1 && outcomes.iter().filter(lost).count() == 1,
            "{outcomes:?}"
        );
        for store in &stores {
            assert_eq!(store.ids().unwrap(), [id()]);
            assert!(verify(store, &id(), id().time()).unwrap().is_sound());
        }
        let left = files(&server.bucket().join("some")).unwrap();
        assert_eq!(left.len(), 2, "a manifest and an archive: {left:?}");
        stores[0].remove(&id()).unwrap();
        let gone = verify(&stores[1], &id(), id().time());
        assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
        assert_eq!(files(&server.bucket().join("some")).unwrap().len(), 0);
    }
}

#[test]
fn damage_in_the_bucket_is_found() {
    let server = S3Server::start().unwrap();
    let store = config(&server).open().unwrap();
    put(&store, &[7; 100_000]).unwrap();
    let archive = files(&server.bucket().join("some/where/vaults"))
        .unwrap()
        .remove(0);
    let manifest = server
        .bucket()
        .join("some/where/manifests")
        .join(format!("{}.json", id()));
    for (file, name) in [(&archive, "archive"), (&manifest, "manifest.json")] {
        let sound = fs::read(file).unwrap();
        for at in [0, sound.len() / 2, sound.len() - 1] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::write(file, bytes).unwrap();
            let store = config(&server).open().unwrap();
            let damage = verify(&store, &id(), id().time()).unwrap().damage;
            assert_eq!(damage.len(), 1, "{name} at {at}: {damage:?}");
            assert_eq!(damage[0].file, name);
            assert_eq!(
                store.open(&id(), &ARCHIVE).unwrap().size(),
                100_000,
                "{name} at {at}"
            );
            assert!(store.size(&id()).unwrap() >= 100_000);
        }
        fs::write(file, sound).unwrap();
    }
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[0] = b' ';
    fs::write(&manifest, bytes).unwrap();
    config(&server).open().unwrap().remove(&id()).unwrap();
    assert_eq!(files(&server.bucket().join("some")).unwrap().len(), 0);
}

#[test]
fn a_file_that_is_given_up_leaves_no_parts() {
    let server = S3Server::start().unwrap();
    let store = config(&server).open().unwrap();
    let mut stage = store.stage(&id()).unwrap();
    let mut file = stage.create(&ARCHIVE).unwrap();
    file.write_all(&vec![7; 20 << 20]).unwrap();
    let parts = |bytes: u64| {
        let all = files(&server.bucket()).unwrap();
        all.iter()
            .filter(|file| fs::metadata(file).is_ok_and(|file| file.len() >= bytes))
            .count()
    };
    drop(file);
    drop(stage);
    assert_eq!(parts(1), 0, "{:?}", files(&server.bucket()));
}

#[test]
fn a_bucket_that_keeps_its_objects_keeps_the_vault_and_says_so() {
    let setup = S3Setup {
        locked_days: Some(1),
        ..S3Setup::default()
    };
    let server = S3Server::start_with(&setup).unwrap();
    let store = config(&server).open().unwrap();
    put(&store, b"bytes").unwrap();
    let refused = store.remove(&id()).unwrap_err();
    assert!(matches!(refused, StoreError::Retained { .. }), "{refused:?}");
    assert_eq!(store.ids().unwrap(), [id()]);
    assert!(verify(&store, &id(), id().time()).unwrap().is_sound());

    let key = format!("some/where/manifests/{}.json", id());
    server.retain(&key, "2036-01-02T03:04:05Z").unwrap();
    let Err(StoreError::Retained {
        until: Some(until), ..
    }) = store.remove(&id())
    else {
        panic!("it is not told until when");
    };
    assert_eq!(until.unix_timestamp(), 2_082_855_845);
}

#[test]
fn a_bucket_that_keeps_versions_hides_what_was_removed() {
    let setup = S3Setup {
        versions: true,
        locked_days: Some(1),
        ..S3Setup::default()
    };
    let server = S3Server::start_with(&setup).unwrap();
    let store = config(&server).open().unwrap();
    put(&store, b"bytes").unwrap();
    let sound = verify(&store, &id(), id().time()).unwrap();
    assert!(sound.is_sound());
    for _ in 0..2 {
        store.record_verification(&id(), &sound).unwrap();
    }
    assert_eq!(store.verification(&id()).unwrap(), Some(sound));
    store.remove(&id()).unwrap();
    for store in [store, config(&server).open().unwrap()] {
        assert_eq!(store.ids().unwrap(), []);
        let gone = store.manifest(&id());
        assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    }
}

#[test]
fn links_need_no_credentials_and_cannot_be_changed() {
    let server = S3Server::start().unwrap();
    let store = config(&server).open().unwrap();
    put(&store, b"bytes").unwrap();
    let links = store.links(&id(), Duration::from_secs(60)).unwrap();
    let [(name, url)] = &links[..] else {
        panic!("{links:?}")
    };
    assert_eq!(*name, ARCHIVE);
    let bytes = ureq::get(url).call().unwrap().body_mut().read_to_vec().unwrap();
    assert_eq!(bytes, b"bytes");
    assert!(
        ureq::get(url.replace("Expires=60", "Expires=600"))
            .call()
            .is_err()
    );
    let plain = url.split('?').next().unwrap();
    assert!(ureq::get(plain).call().is_err(), "{plain}");
}
