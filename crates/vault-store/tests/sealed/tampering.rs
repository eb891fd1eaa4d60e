//! Whoever can write to the store below changes what lies there.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vault_store::{Damage, FileEntry, FileName, FrameEntry, StoreError, VaultId, VaultStore, verify};

use crate::support::{ARCHIVE, expected, hex, id, identities, put, sealed};

const CHUNK: usize = (64 << 10) + 16;

fn vault(root: &Path, second: u8) -> PathBuf {
    root.join("granular").join(id(second).as_str())
}

/// Two vaults of three chunks and a bit.
fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let store = sealed(directory.path(), None);
    put(&store, &id(1), &vec![1; 200_000]);
    put(&store, &id(2), &vec![2; 200_000]);
    drop(store);
    let (one, two) = (vault(directory.path(), 1), vault(directory.path(), 2));
    (directory, one, two)
}

/// What is found with an identity, and without.
fn found(root: &Path, id: &VaultId) -> [String; 2] {
    [Some(identities()), None].map(|identities| {
        let store = sealed(root, identities);
        let result = verify(&store, id, id.time()).unwrap();
        let damage = result.damage.iter().map(|d| format!("{}: {}; ", d.file, d.what));
        damage.collect()
    })
}

fn edit_manifest(vault: &Path, edit: impl Fn(&mut serde_json::Value)) {
    let path = vault.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut manifest);
    let text = manifest.to_string();
    let sum = hex(&Sha256::digest(&text));
    fs::write(&path, text).unwrap();
    fs::write(
        vault.join("manifest.json.sha256"),
        format!("{sum}  manifest.json\n"),
    )
    .unwrap();
}

#[test]
fn chunks_that_were_exchanged_cut_or_flipped_are_found() {
    let (directory, one, _) = two();
    let path = one.join(ARCHIVE.as_str());
    let sound = fs::read(&path).unwrap();
    let begin = sound.len() - (200_000 + 4 * 16);
    let exchanged = {
        let mut bytes = sound.clone();
        let (first, second) = bytes[begin..].split_at_mut(CHUNK);
        first.swap_with_slice(&mut second[..CHUNK]);
        bytes
    };
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, bytes) in [
        ("exchanged", exchanged),
        ("cut within a chunk", sound[..sound.len() - 1].to_vec()),
        ("cut between chunks", sound[..begin + 3 * CHUNK].to_vec()),
        ("cut to its header", sound[..begin].to_vec()),
        ("cut in its header", sound[..begin / 2].to_vec()),
        ("longer", [&sound[..], b"x"].concat()),
        (
            "without its first chunk",
            [&sound[..begin], &sound[begin + CHUNK..]].concat(),
        ),
        ("flipped in the body", flipped(begin + CHUNK + 5)),
        ("flipped in a tag", flipped(sound.len() - 1)),
        ("flipped in its nonce", flipped(begin - 1)),
        ("flipped in its MAC", flipped(begin - 20)),
        ("flipped in its stanza", flipped(60)),
        ("empty", Vec::new()),
    ] {
        fs::write(&path, bytes).unwrap();
        for found in found(directory.path(), &id(1)) {
            assert!(found.starts_with("archive.zst: "), "{what}: {found:?}");
        }
    }
    fs::write(&path, sound).unwrap();
    assert_eq!(found(directory.path(), &id(1)), ["", ""]);
}

/// Of two files of three frames each: the one with the byte is named, and the frames that its chunk is in.
#[test]
fn a_flipped_byte_is_told_by_file_and_frame() {
    const FRAME: usize = 2_500_000;
    const CHUNKS: usize = (3 * FRAME).div_ceil(64 << 10);
    let (directory, id) = (tempfile::tempdir().unwrap(), id(1));
    let names = [ARCHIVE, FileName::from_static("index.zst")];
    let sum = hex(&Sha256::digest(vec![7; FRAME]));
    let store = sealed(directory.path(), None);
    let mut stage = store.stage(&id).unwrap();
    let files = names.each_ref().map(|name| {
        let file = stage.put(name, &vec![7; 3 * FRAME]).unwrap();
        let frames = (0..3).map(|index| FrameEntry {
            offset: index * FRAME as u64,
            length: FRAME as u64,
            records: 0,
            sha256: sum.clone(),
        });
        FileEntry {
            frames: frames.collect(),
            ..file
        }
    });
    stage.commit(&expected(&id, files.to_vec())).unwrap();
    drop(store);
    let found = |identities| {
        let store = sealed(directory.path(), identities);
        let result = verify(&store, &id, id.time()).unwrap();
        let place = |damage: Damage| (damage.file, damage.frame, damage.what);
        result.damage.into_iter().map(place).collect::<Vec<_>>()
    };
    for name in names {
        let path = vault(directory.path(), 1).join(name.as_str());
        let sound = fs::read(&path).unwrap();
        let begin = sound.len() - (3 * FRAME + CHUNKS * 16);
        for (chunk, frames) in [
            (0, &[0][..]),
            (36, &[0]),
            (38, &[0, 1]),
            (50, &[1]),
            (76, &[1, 2]),
            (CHUNKS - 1, &[2]),
        ] {
            let (at, mut bytes) = (begin + chunk * CHUNK + 5, sound.clone());
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let what = format!("chunk {chunk} is not what was sealed");
            let told = frames
                .iter()
                .map(|frame| (name.to_string(), Some(*frame), what.clone()));
            assert_eq!(found(Some(identities())), told.collect::<Vec<_>>());
            // What nobody opens has frames of its own.
            let what = "its SHA-256 differs from the one recorded".to_owned();
            assert_eq!(found(None), [(name.to_string(), Some(at >> 22), what)]);
        }
        // Nothing behind a header can be opened without it.
        let mut bytes = sound.clone();
        bytes[60] ^= 1;
        fs::write(&path, bytes).unwrap();
        let told = found(Some(identities()));
        assert_eq!(
            (told.len(), &*told[0].0, told[0].1),
            (1, name.as_str(), None),
            "{told:?}"
        );
        fs::write(&path, sound).unwrap();
    }
    assert_eq!(found(Some(identities())), []);
    // Of the sealed manifest, with an identity and without.
    let path = vault(directory.path(), 1).join("manifest.age");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let what = "chunk 0 is not what was sealed".to_owned();
    assert_eq!(
        found(Some(identities())),
        [("manifest.age".to_owned(), None, what)]
    );
    let told = found(None);
    assert_eq!((told.len(), &*told[0].0, told[0].1), (1, "manifest.age", Some(0)));
}

#[test]
fn a_file_of_another_vault_is_found() {
    let (directory, one, two) = two();
    for name in ["archive.zst", "manifest.age"] {
        let sound = fs::read(one.join(name)).unwrap();
        fs::copy(two.join(name), one.join(name)).unwrap();
        for found in found(directory.path(), &id(1)) {
            assert!(!found.is_empty(), "{name}");
        }
        fs::write(one.join(name), sound).unwrap();
    }
    // With the checksums in the clear part made to fit, only an identity can tell.
    fs::copy(two.join("archive.zst"), one.join("archive.zst")).unwrap();
    let other: serde_json::Value =
        serde_json::from_slice(&fs::read(two.join("manifest.json")).unwrap()).unwrap();
    edit_manifest(&one, |manifest| manifest["files"][0] = other["files"][0].clone());
    let [with, without] = found(directory.path(), &id(1));
    assert!(
        with.contains("not what was sealed") && without.is_empty(),
        "{with:?} {without:?}"
    );
}

#[test]
fn a_vault_under_another_id_is_refused() {
    let (directory, one, two) = two();
    fs::remove_dir_all(&two).unwrap();
    fs::rename(&one, &two).unwrap();
    edit_manifest(&two, |manifest| manifest["id"] = id(2).as_str().into());
    let store = sealed(directory.path(), Some(identities()));
    let refused = store.manifest(&id(2)).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Damaged { what, .. } if what.contains(id(1).as_str())),
        "{refused}"
    );
}

#[test]
fn a_clear_part_that_was_edited_is_refused() {
    type Edit = fn(&mut serde_json::Value);
    let edits: [Edit; 6] = [
        |manifest| manifest["pinned"] = true.into(),
        |manifest| manifest["outcome"] = serde_json::json!({ "state": "complete" }),
        |manifest| manifest["finished_at"] = "2020-01-01T00:00:00Z".into(),
        |manifest| manifest["sealed"]["allow_partial"] = false.into(),
        |manifest| manifest["files"][0]["frames"][0]["sha256"] = "00".into(),
        |manifest| {
            manifest["sealed"]["recipients"]
                .as_array_mut()
                .unwrap()
                .push("age1x".into());
        },
    ];
    for edit in edits {
        let (directory, one, _) = two();
        edit_manifest(&one, edit);
        let store = sealed(directory.path(), Some(identities()));
        let refused = store.manifest(&id(1)).unwrap_err().to_string();
        assert!(refused.contains("it is not what was sealed"), "{refused}");
    }
}
