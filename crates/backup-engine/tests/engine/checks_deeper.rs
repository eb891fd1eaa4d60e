//! What a verification compares where every checksum is right: each thing that may be wrong then, and how it is told.

use std::path::Path;
use std::time::Duration;

use backup_engine::{Engine, JobState};
use vault_store::{Captured, Consistency, Contents, FsStore, Manifest, Transactional, VaultId, VaultStore};
use zk_snapshot::capture::AclIndexWriter;
use zk_snapshot::tree::{Acl, AclEntry};

use super::checks::{GOLDEN, copy, over};
use super::support::{
    HOUR, World, adler32, copied, described, full, packed, records_of, remade, run, tested, verified,
};

/// That a verification finds nothing in `id` but `what`, which is wrong with `file`, and whether it can be restored all the same.
#[track_caller]
fn found(
    engine: &Engine,
    id: &VaultId,
    (file, what): (&str, &str),
    is_spare: bool,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let job = verified(engine, Some(id.as_str()), "100%").await;
        let at = format!("{caller}: {job:?}");
        assert_eq!(job.status, JobState::Failed, "{at}");
        let damaged = &job.result["damaged"];
        assert_eq!(damaged.as_array().unwrap().len(), 1, "{at}");
        let damage = damaged[0]["damage"].as_array().unwrap();
        let told: Vec<_> = damage.iter().map(|one| (&one["file"], &one["what"])).collect();
        assert_eq!(told, [(&file.into(), &what.into())], "{at}");
        assert!(job.message.unwrap().contains(what), "{at}");
        assert_eq!(described(engine, id.as_str()).await.is_valid(), is_spare, "{at}");
    }
}

/// Whatever is chosen by how long ago it was checked.
#[tokio::test]
async fn a_check_that_a_wrong_clock_has_dated_ahead_says_nothing_of_when_it_was() {
    let world = World::new();
    let engine = world
        .start_with(|builder| builder.restore_test_schedule("0 * * * *".parse().unwrap()))
        .engine;
    let old = full(&engine).await;
    world.set_clock(time::Duration::days(3_650));
    sound(&engine, &old).await;
    assert_eq!(tested(&engine, &old).await.status, JobState::Successful);
    world.set_clock(time::Duration::days(-3_650));
    world.pass(HOUR);
    let health = engine.health().await;
    assert_eq!((health.since_last_proof, health.last_verification), (None, None));
    assert_eq!(health.since_oldest_verification, Some(HOUR));
    let new = full(&engine).await;
    sound(&engine, &new).await;
    assert_eq!(tested(&engine, &new).await.status, JobState::Successful);
    world.pass(HOUR);
    assert_eq!(engine.health().await.since_last_proof, Some(HOUR));
    let job = verified(&engine, None, "1%").await;
    assert_eq!(
        (job.status, &job.result["vaults"]),
        (JobState::Successful, &1.into())
    );
    assert_eq!(described(&engine, &old).await.verified_at, Some(world.now()));
    let (_stop, _running) = run(&engine);
    let chosen = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            for id in [&old, &new] {
                if described(&engine, id).await.tested.unwrap().at == world.now() {
                    return id;
                }
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(chosen.await.expect("one is tested"), &old);
}

async fn sound(engine: &Engine, id: &str) {
    let job = verified(engine, Some(id), "100%").await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
}

fn captured(manifest: &mut Manifest) -> &mut Captured {
    match manifest.contents.as_mut().unwrap() {
        Contents::Hierarchical(of) => &mut of.captured,
        Contents::Transactional(of) => &mut of.captured,
    }
}

fn transactional(manifest: &mut Manifest) -> &mut Transactional {
    match manifest.contents.as_mut().unwrap() {
        Contents::Transactional(of) => of,
        other => panic!("{other:?}"),
    }
}

const UNCHANGED: fn(Vec<u8>) -> Vec<u8> = |bytes| bytes;

#[tokio::test]
async fn counts_of_the_manifest_that_are_not_those_of_the_archive_are_found() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    sound(&engine, &id).await;
    let more = copied(&world.vaults, &id, UNCHANGED, |manifest| {
        captured(manifest).znodes += 1;
    });
    found(&engine, &more, ("archive.zst", "4 znodes of 5 are there"), false).await;
    let less = copied(&world.vaults, more.as_str(), UNCHANGED, |manifest| {
        let captured = captured(manifest);
        (captured.znodes, captured.bytes) = (captured.znodes - 1, captured.bytes - 1);
    });
    let what = "the znodes have 6 bytes of data, and 5 were written";
    found(&engine, &less, ("archive.zst", what), false).await;
}

/// Of a backup whose znodes may be of different moments that is no damage.
#[tokio::test]
async fn a_znode_whose_parent_is_missing_is_found() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    let mut records = records_of(&world.vaults, &id);
    records.retain(|record| record.path.as_str() != "/b");
    assert_eq!(records.len(), 3);
    let archive = packed(&records);
    let lacking = copied(
        &world.vaults,
        &id,
        |_| archive,
        |manifest| {
            manifest.files[0].frames[0].records = 3;
            captured(manifest).znodes = 3;
        },
    );
    let what = "/b/c is there, and its parent is not";
    found(&engine, &lacking, ("archive.zst", what), false).await;
    let fuzzy = copied(&world.vaults, lacking.as_str(), UNCHANGED, |manifest| {
        captured(manifest).consistency = Consistency::Fuzzy;
    });
    sound(&engine, fuzzy.as_str()).await;
}

/// No restore reads it: the backup stays good.
#[tokio::test]
async fn an_index_of_acls_that_tells_something_else_is_found() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    let (records, manifest) = (
        records_of(&world.vaults, &id),
        world.vaults.manifest(&id.parse().unwrap()).unwrap(),
    );
    let source = manifest.source().unwrap();
    let index = |of: &str, of_a: &Acl| {
        let mut writer = AclIndexWriter::default();
        for record in &records {
            let acl = if record.path.as_str() == "/a" {
                of_a
            } else {
                &record.acl
            };
            writer.add(&record.path, &record.stat, acl);
        }
        let mut bytes = Vec::new();
        writer.finish(of, &mut bytes).unwrap();
        bytes
    };
    let with = |id: &str, bytes: Vec<u8>| remade(&world.vaults, id, "acls.idx", |_| bytes.clone(), |_| {});
    let same = with(&id, index(source, &Acl::open()));
    sound(&engine, same.as_str()).await;
    let readable = Acl::new(vec![AclEntry {
        perms: 1,
        scheme: "world".to_owned(),
        id: "anyone".to_owned(),
    }]);
    let other = with(same.as_str(), index(source, &readable));
    found(&engine, &other, ("acls.idx", "it has another ACL of /a"), true).await;
    let foreign = with(other.as_str(), index("elsewhere", &Acl::open()));
    let what = format!("it is not of {source}, or of a version that is not known");
    found(&engine, &foreign, ("acls.idx", &what), true).await;
}

/// The golden vault of a snapshot, and that.
const SNAPSHOT: (&str, &str) = ("20261122T000000", "snapshot.18");

/// With another digest of its znodes, and right checksums.
fn with_another_digest(mut bytes: Vec<u8>) -> Vec<u8> {
    // At the end: a zxid, a version, the digest, a checksum and `/`; the last zxid, a checksum and `/`.
    let length = bytes.len();
    bytes[length - 35] ^= 1;
    for sum in [length - 34, length - 13] {
        let of = adler32(&bytes[..sum]);
        bytes[sum..sum + 8].copy_from_slice(&of.to_be_bytes());
    }
    bytes
}

#[tokio::test]
async fn a_snapshot_that_is_not_what_it_tells_or_was_written_is_found() {
    let (id, file) = SNAPSHOT;
    let (world, storage) = (World::new(), tempfile::tempdir().unwrap());
    copy(&Path::new(GOLDEN).join(id), &storage.path().join(id));
    let store = FsStore::open(storage.path()).unwrap();
    let digest = remade(&store, id, file, with_another_digest, |_| {});
    let count = remade(&store, digest.as_str(), file, with_another_digest, |manifest| {
        captured(manifest).znodes = 13;
    });
    let kinds = remade(&store, count.as_str(), file, UNCHANGED, |manifest| {
        let of = transactional(manifest);
        of.captured.znodes = 12;
        let kinds = of.kinds.as_mut().unwrap();
        (kinds.ttl, kinds.container) = (0, 2);
    });
    drop(store);
    let engine = over(&world, storage.path());
    sound(&engine, id).await;
    let what = "the digest of its znodes is not the one that it tells";
    found(&engine, &digest, (file, what), false).await;
    found(&engine, &count, (file, "12 znodes of 13 are there"), false).await;
    let what = "its znodes are not of the kinds that were written";
    found(&engine, &kinds, (file, what), false).await;
}
