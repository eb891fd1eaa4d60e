//! What is wrong with the settings is named, and keys and certificates are what files say.

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use vault_store::{S3Config, S3Keys, S3Secret, StoreError, VaultStore as _};
use zk_backup_testkit::{KEY_ID, KEY_SECRET, S3Server, S3Setup};

use crate::{config, id, put};

fn keys(id: &str, secret: &str) -> Option<S3Keys> {
    Some(S3Keys {
        id: S3Secret::Text(id.to_owned()),
        secret: S3Secret::Text(secret.to_owned()),
    })
}

#[test]
fn what_is_wrong_is_named_and_whether_it_may_pass() {
    let mut server = S3Server::start().unwrap();
    let good = config(&server);
    good.open().unwrap().check().unwrap();
    assert_eq!(good.open().unwrap().ignored_condition(true).unwrap(), None);
    for (wrong, named) in [
        (
            S3Config {
                keys: keys(KEY_ID, "x"),
                ..good.clone()
            },
            "the secret is not that of the key id",
        ),
        (
            S3Config {
                keys: keys("x", KEY_SECRET),
                ..good.clone()
            },
            "the key id is not known",
        ),
        (
            S3Config {
                bucket: "other".to_owned(),
                ..good.clone()
            },
            "there is no such bucket",
        ),
    ] {
        let store = wrong.open().unwrap();
        for failed in [
            store.check(),
            store.ids().map(drop),
            store.manifest(&id()).map(drop),
            store.note(&crate::ARCHIVE).map(drop),
            put(&store, b"bytes"),
        ] {
            let failed = failed.unwrap_err();
            let said = failed.to_string();
            assert!(said.contains(named) || said.contains("403"), "{said}");
            assert!(!failed.may_pass(), "{said}");
        }
        let said = store.check().unwrap_err().to_string();
        assert!(said.contains(named) && !said.contains(KEY_SECRET), "{said}");
    }
    assert!(!format!("{good:?}").contains(KEY_SECRET));

    server.kill();
    let away = good.open().unwrap().check().unwrap_err();
    assert!(away.may_pass(), "{away}");
    let store = good.open().unwrap();
    server.restart().unwrap();
    store.check().unwrap();
}

#[test]
fn keys_in_files_are_read_again() {
    let server = S3Server::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (key, secret) = (directory.path().join("id"), directory.path().join("secret"));
    let store = S3Config {
        keys: Some(S3Keys {
            id: S3Secret::File(key.clone()),
            secret: S3Secret::File(secret.clone()),
        }),
        ..config(&server)
    };
    let store = store.open().unwrap();
    let said = store.check().unwrap_err().to_string();
    assert!(said.contains(&key.display().to_string()), "{said}");
    fs::write(&key, KEY_ID).unwrap();
    fs::write(&secret, "that of yesterday").unwrap();
    let failed = put(&store, b"bytes").unwrap_err().to_string();
    assert!(failed.contains("403") || failed.contains("secret"), "{failed}");
    fs::write(&secret, format!("{KEY_SECRET}\n")).unwrap();
    put(&store, b"bytes").unwrap();
}

#[test]
fn a_server_is_trusted_by_its_certificate() {
    let host = vec!["127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(host).unwrap();
    let setup = S3Setup {
        tls: Some((cert.pem(), signing_key.serialize_pem())),
        ..S3Setup::default()
    };
    let server = S3Server::start_with(&setup).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    fs::write(&file, cert.pem()).unwrap();
    fs::write(directory.path().join("README"), "no certificate").unwrap();
    let plain = config(&server);
    let refused = plain.open().unwrap().check().unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    for certificates in [&file, directory.path()] {
        let certificates = Some(certificates.to_owned());
        let store = S3Config {
            certificates,
            ..plain.clone()
        };
        put(&store.open().unwrap(), b"bytes").or_else(taken).unwrap();
    }
    let store = S3Config {
        verify_tls: false,
        ..plain.clone()
    };
    store.open().unwrap().check().unwrap();

    let certificates = Some(directory.path().join("README"));
    let wrong = S3Config {
        certificates,
        ..plain
    };
    let refused = wrong.open().unwrap_err().to_string();
    assert!(refused.contains("README"), "{refused}");
}

fn taken(error: StoreError) -> Result<(), StoreError> {
    match error {
        StoreError::AlreadyExists(_) => Ok(()),
        error => Err(error),
    }
}
