//! Archives that are off, cut, or not what was asked for: nothing of them is taken in.

use backup_engine::{Engine, EngineError, ImportOptions, InvalidRequest};
use zip::CompressionMethod;

use super::{Files, any, exported, packed, refusal, take, unpacked, with_manifest};
use crate::support::{DAY, World, full};

/// An archive, of which backup it is, the engine that has that, and another that has none.
struct Offered {
    archive: Vec<u8>,
    id: String,
    engine: Engine,
    elsewhere: Engine,
}

impl Offered {
    async fn new() -> Self {
        let (world, empty) = (World::new(), World::new());
        let engine = world.start().engine;
        let id = full(&engine).await;
        world.pass(DAY);
        empty.pass(DAY);
        Self {
            archive: exported(&engine, &id).await,
            id,
            engine,
            elsewhere: empty.start().engine,
        }
    }

    /// That all that was refused has left nothing and changed nothing, and the archive itself is taken.
    async fn takes_nothing_else(self) {
        assert!(self.elsewhere.list().await.unwrap().is_empty());
        let there = exported(&self.engine, &self.id).await;
        assert_eq!(unpacked(&there), unpacked(&self.archive));
        let taken = take(&self.elsewhere, self.archive, any()).await;
        assert_eq!(taken.unwrap(), self.id);
    }
}

/// A backup that says that it is complete, and has nothing but its log.
fn without_znodes(files: &Files) -> Files {
    let text = String::from_utf8(files[0].1.clone()).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let named = manifest["files"].as_array_mut().unwrap();
    named.retain(|file| file["name"] == "job.log");
    let mut files = with_manifest(files, &text, &manifest.to_string());
    files.retain(|(name, _)| name.starts_with("manifest.json") || name == "job.log");
    files
}

/// The files of an archive of the backup `id` with something off, and what is said of it.
fn off(files: &Files, id: &str) -> Vec<(Files, &'static str)> {
    let place = |name: &str| files.iter().position(|(known, _)| known == name).unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = files.clone();
        change(&mut files[place(name)].1);
        files
    };
    let with = |name: &str, bytes: &[u8]| {
        let mut files = files.clone();
        files.push((name.to_owned(), bytes.to_vec()));
        files
    };
    let without = |name: &str| {
        let mut files = files.clone();
        files.remove(place(name));
        files
    };
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
    let bomb = |bytes: &mut Vec<u8>| *bytes = vec![0; 4 << 20];
    let many = (0..70).map(|i| (format!("f{i}"), Vec::new())).collect();
    let other = vec![("znodes.zip".to_owned(), vec![1])];
    let version = with_manifest(files, "\"version\": 2", "\"version\": 99");
    let text = String::from_utf8_lossy(&files[0].1).into_owned();
    let znodes = &text[text.find("\"znodes\": ").unwrap()..];
    let znodes = znodes.split_once(',').unwrap().0;
    vec![
        (with_manifest(files, znodes, "\"znodes\": 0"), "it holds no znode"),
        (changed("archive.zst", &flip), "SHA-256"),
        (changed("job.log", &flip), "SHA-256"),
        (changed("archive.zst", &cut), "are recorded"),
        (changed("archive.zst", &bomb), "more than 200 times"),
        (changed("manifest.json", &flip), "manifest.json"),
        (without("manifest.json"), "manifest.json is missing"),
        (without("manifest.json.sha256"), "manifest.json.sha256 is missing"),
        (without("archive.zst"), "archive.zst is missing"),
        (with("more", b""), "more is not recorded"),
        (with("../../evil", b"x"), "../../evil is not recorded"),
        (with("dir/", b""), "no plain file"),
        (many, "more than 64 files"),
        (other, "these are files of the Qubership backup daemon"),
        (with_manifest(files, id, "20991231T235959"), "future"),
        (with_manifest(files, id, "20991331T235959"), "backup id"),
        (version, "version 99"),
        (with_manifest(files, "\"length\": ", "\"length\": 9"), "frame 0"),
        (with_manifest(files, "\"offset\": 0", "\"offset\": 1"), "follow"),
        (
            without_znodes(files),
            "archive.zst: its manifest does not name it",
        ),
        (
            with_manifest(files, "\"znodes\": ", "\"znodes\": 9"),
            "znodes of 9",
        ),
        (
            with_manifest(files, "\"records\": ", "\"records\": 9"),
            "archive.zst",
        ),
    ]
}

#[tokio::test]
async fn anything_that_is_off_is_refused_whole() {
    let offered = Offered::new().await;
    // Also where it may take the place of what is there: that stays as it is.
    let overwriting = ImportOptions {
        overwrite: true,
        ..any()
    };
    for (files, part) in off(&unpacked(&offered.archive), &offered.id) {
        let archive = packed(&files, CompressionMethod::Deflated);
        let engines = [
            (&offered.elsewhere, any()),
            (&offered.engine, overwriting.clone()),
        ];
        for (engine, options) in engines {
            let why = refusal(engine, archive.clone(), options).await;
            assert!(why.contains(part), "{part}: {why}");
        }
    }
    offered.takes_nothing_else().await;
}

#[tokio::test]
async fn an_archive_that_is_cut_or_flipped_is_refused_whole_or_is_the_same() {
    let offered = Offered::new().await;
    let (archive, elsewhere) = (&offered.archive, &offered.elsewhere);
    for length in [0, 1, 30, archive.len() / 2, archive.len() - 1] {
        refusal(elsewhere, archive[..length].to_vec(), any()).await;
    }
    for at in (0..archive.len()).step_by(archive.len() / 97) {
        let mut flipped = archive.clone();
        flipped[at] ^= 0x55;
        // Names and lengths are there twice, and some bits mean nothing: what is taken in is the same all the same.
        match take(elsewhere, flipped, any()).await {
            Err(EngineError::Invalid(InvalidRequest::NoBackup(_))) => {}
            Ok(taken) => {
                let files = unpacked(&exported(elsewhere, &taken).await);
                assert_eq!(files, unpacked(archive), "byte {at}");
                elsewhere.evict_one(&taken).await.unwrap();
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    offered.takes_nothing_else().await;
}

#[tokio::test]
async fn what_was_not_asked_for_is_refused_whole() {
    let offered = Offered::new().await;
    let granular = ImportOptions {
        granular: Some(true),
        ..any()
    };
    let small = ImportOptions { limit: 10, ..any() };
    let named = ImportOptions {
        named: Some("20200101T000000".parse().unwrap()),
        ..any()
    };
    for (options, part) in [(granular, "full"), (small, "allowed"), (named, "announced")] {
        let why = refusal(&offered.elsewhere, offered.archive.clone(), options).await;
        assert!(why.contains(part), "{part}: {why}");
    }
    offered.takes_nothing_else().await;
}
