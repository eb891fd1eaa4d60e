//! What whoever holds the store below can read, and what `age` alone can.

use std::fs;
use std::io::Read as _;

use base64::Engine as _;
use sha2::{Digest, Sha256};
use vault_store::{Damage, StoreError, Tested, VaultStore, Verification, verify};

use crate::support::{ARCHIVE, DATA, MANIFEST_AGE, PATH, SECRET, files, hex, id, identities, put, sealed};

/// As bytes, hex and base64, and of each file that is in the vault: names of files are no secret.
fn telling() -> Vec<Vec<u8>> {
    let hash = Sha256::digest(DATA);
    let hex = hex(&hash);
    let mut telling = vec![hash.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for canary in [&b"canary"[..], &DATA[..21], &hash[..30]] {
        for engine in [
            base64::engine::general_purpose::STANDARD_NO_PAD,
            base64::engine::general_purpose::URL_SAFE_NO_PAD,
        ] {
            telling.push(engine.encode(canary).into_bytes());
        }
    }
    telling.push(b"canary".to_vec());
    telling
}

#[test]
fn nothing_below_tells_paths_data_reasons_or_hashes_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = sealed(directory.path(), Some(identities()));
    let manifest = put(&store, &id(1), DATA);
    let found = Verification {
        at: id(1).time(),
        damage: vec![Damage {
            file: "archive.zst".to_owned(),
            frame: Some(0),
            what: format!("{PATH} is no record"),
        }],
        tested: Some(Tested {
            at: id(1).time(),
            took_ms: 7,
            place: "memory".to_owned(),
            job: "a job".to_owned(),
            by: "schedule".to_owned(),
            znodes: 3,
            sha256: hex(&Sha256::digest(DATA)),
            difference: Some(format!("{PATH} differs")),
        }),
    };
    store.record_verification(&id(1), &found).unwrap();
    assert_eq!(store.verification(&id(1)).unwrap().unwrap(), found);
    assert_eq!(store.manifest(&id(1)).unwrap(), manifest);
    drop(store);
    // A server without an identity checks again, and leaves the test as it was sealed.
    let store = sealed(directory.path(), None);
    let shown = store.verification(&id(1)).unwrap().unwrap();
    let (tested, proof) = (shown.tested.clone().unwrap(), found.tested.unwrap());
    assert_eq!((tested.sha256.as_str(), tested.znodes), ("sealed", 3));
    assert!(!tested.is_proof());
    let again = Verification {
        damage: Vec::new(),
        ..shown
    };
    store.record_verification(&id(1), &again).unwrap();
    drop(store);
    let store = sealed(directory.path(), Some(identities()));
    assert_eq!(store.verification(&id(1)).unwrap().unwrap().tested, Some(proof));
    drop(store);

    let kept = files(directory.path());
    assert!(kept.len() >= 5, "{kept:?}");
    for file in kept {
        let bytes = fs::read(&file).unwrap();
        for canary in telling() {
            let found = bytes.windows(canary.len()).any(|window| window == canary);
            assert!(
                !found,
                "{} has {:?}",
                file.display(),
                String::from_utf8_lossy(&canary)
            );
        }
    }
}

#[test]
fn without_an_identity_the_clear_part_is_shown_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let whole = put(&sealed(directory.path(), None), &id(1), DATA);
    let store = sealed(directory.path(), None);
    let clear = store.manifest(&id(1)).unwrap();
    assert!(clear.is_valid() && clear.is_partial() && clear.is_granular());
    assert_eq!((clear.version, clear.date()), (3, whole.date()));
    assert!(verify(&store, &id(1), id(1).time()).unwrap().is_sound());
    match clear.require_open().unwrap_err() {
        StoreError::Sealed { id: of, recipients } => {
            assert!(
                of == id(1) && recipients[0].starts_with("age1t7rx"),
                "{recipients:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    // Its own words are no secret, and those of who has read the vault are.
    let found = |what: &str| Verification {
        at: id(1).time(),
        damage: vec![Damage {
            file: "archive.zst".to_owned(),
            frame: None,
            what: what.to_owned(),
        }],
        tested: None,
    };
    store.record_verification(&id(1), &found("it is cut")).unwrap();
    assert_eq!(store.verification(&id(1)).unwrap(), Some(found("it is cut")));
    drop(store);
    let reading = sealed(directory.path(), Some(identities()));
    assert_eq!(reading.manifest(&id(1)).unwrap(), whole);
    reading.record_verification(&id(1), &found(PATH)).unwrap();
    drop(reading);
    let store = sealed(directory.path(), None);
    let what = "what is wrong is sealed";
    assert_eq!(store.verification(&id(1)).unwrap(), Some(found(what)));
    store.remove(&id(1)).unwrap();
    assert_eq!(store.ids().unwrap(), []);
}

/// At three in the morning, with nothing but `age`.
#[test]
fn age_alone_opens_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let chunk = 64 << 10;
    let identity: age::x25519::Identity = SECRET.parse().unwrap();
    let store = sealed(directory.path(), Some(identities()));
    for (second, length) in (1..).zip([0, 1, chunk - 1, chunk, chunk + 1, 5 << 20]) {
        let bytes: Vec<u8> = (0..length).map(|at| (at ^ (at >> 8)) as u8).collect();
        let id = id(second);
        let manifest = put(&store, &id, &bytes);
        let vault = directory.path().join("granular").join(id.as_str());
        let opened = |name: &str| age::decrypt(&identity, &fs::read(vault.join(name)).unwrap()).unwrap();
        assert!(opened(ARCHIVE.as_str()) == bytes, "{length} bytes");
        let text = String::from_utf8(opened(MANIFEST_AGE.as_str())).unwrap();
        let (_, whole) = text.split_once('\n').unwrap();
        assert_eq!(whole.as_bytes(), manifest.to_bytes().unwrap());

        let file = store.open(&id, &ARCHIVE).unwrap();
        let mut read = Vec::new();
        assert_eq!(file.size(), length as u64);
        vault_store::Reader::new(file).read_to_end(&mut read).unwrap();
        assert!(read == bytes, "{length} bytes");
        assert!(verify(&store, &id, id.time()).unwrap().is_sound());
    }
}
