//! What every client must do. Run it over a client of your own, against a server or a tree that may be written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use std::io::Cursor;

use tokio::sync::mpsc;

use crate::{
    Acl, AclEntry, ArchiveFile, ArchiveWriter, CaptureOptions, Found, Reading, RestoreOptions, WriteError,
    WriteOp, ZnodePath, ZnodeReader, ZnodeWriter, capture, restore,
};

/// Runs the suite below `root`, which must not exist and does not afterwards. The client must be allowed to do
/// everything there.
///
/// Panics at the first thing that does not hold.
pub async fn run<C: ZnodeReader + ZnodeWriter>(client: &C, root: &ZnodePath) {
    assert!(client.batch_size() > 0 && client.batches_in_flight() > 0);
    create(client, root, b"", Acl::open()).await.unwrap();
    what_is_written_is_read(client, root).await;
    outcomes_are_told_apart(client, root).await;
    order_is_kept(client, root).await;
    a_capture_is_restored(client, root).await;
    remove(client, root).await;
    assert!(matches!(read(client, root).await, Reading::Missing));
}

async fn create<C: ZnodeWriter>(
    client: &C,
    path: &ZnodePath,
    data: &[u8],
    acl: Acl,
) -> Result<(), WriteError> {
    let op = WriteOp::Create {
        path: path.clone(),
        data: data.to_vec(),
        acl,
    };
    write(client, op).await
}

async fn write<C: ZnodeWriter>(client: &C, op: WriteOp) -> Result<(), WriteError> {
    let mut outcomes = client.write_many(vec![op]).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

async fn read<C: ZnodeReader>(client: &C, path: &ZnodePath) -> Reading {
    let mut readings = client.read_many(std::slice::from_ref(path)).await.unwrap();
    assert_eq!(readings.len(), 1);
    readings.remove(0)
}

async fn found<C: ZnodeReader>(client: &C, path: &ZnodePath) -> Found {
    match read(client, path).await {
        Reading::Found(found) => found,
        other => panic!("{path} is not there: {other:?}"),
    }
}

async fn remove<C: ZnodeReader + ZnodeWriter>(client: &C, path: &ZnodePath) {
    let mut waiting = vec![path.clone()];
    let mut all = Vec::new();
    while let Some(path) = waiting.pop() {
        let children = found(client, &path).await.children;
        waiting.extend(children.iter().map(|name| path.child(name).unwrap()));
        all.push(path);
    }
    for path in all.into_iter().rev() {
        write(client, WriteOp::Delete { path }).await.unwrap();
    }
}

async fn what_is_written_is_read<C: ZnodeReader + ZnodeWriter>(client: &C, root: &ZnodePath) {
    let bytes: Vec<u8> = (0..=255).collect();
    let acl = Acl(vec![
        AclEntry {
            perms: 1,
            scheme: "world".to_owned(),
            id: "anyone".to_owned(),
        },
        AclEntry {
            perms: 31,
            scheme: "digest".to_owned(),
            id: "bob:ZWxzZXdoZXJlIQ==".to_owned(),
        },
    ]);
    for (name, data, acl) in [
        ("bytes", &bytes[..], Acl::open()),
        ("empty", b"", Acl::open()),
        ("ł ☃ %2e", b"\r\n\r", acl.clone()),
    ] {
        let path = root.child(name).unwrap();
        create(client, &path, data, acl.clone()).await.unwrap();
        let znode = found(client, &path).await;
        assert_eq!((&znode.data[..], &znode.acl), (data, &acl), "{path}");
        assert!(!znode.stat.is_ephemeral() && znode.stat.czxid > 0 && znode.children.is_empty());
    }
    let path = root.child("bytes").unwrap();
    let before = found(client, &path).await.stat;
    let (data, changed) = (b"2".to_vec(), path.clone());
    write(client, WriteOp::SetData { path: changed, data })
        .await
        .unwrap();
    let changed = path.clone();
    write(
        client,
        WriteOp::SetAcl {
            path: changed,
            acl: acl.clone(),
        },
    )
    .await
    .unwrap();
    let after = found(client, &path).await;
    assert_eq!((&after.data[..], &after.acl), (&b"2"[..], &acl));
    assert_eq!(after.stat.czxid, before.czxid, "it is the same znode");
    assert!(after.stat.mzxid > before.mzxid && after.stat.aversion > before.aversion);
    let parent = found(client, root).await;
    let mut children = parent.children;
    children.sort();
    assert_eq!(children, ["bytes", "empty", "ł ☃ %2e"]);
    assert_eq!(parent.stat.num_children, 3);
}

async fn outcomes_are_told_apart<C: ZnodeReader + ZnodeWriter>(client: &C, root: &ZnodePath) {
    let (missing, there) = (root.child("missing").unwrap(), root.child("empty").unwrap());
    assert!(matches!(read(client, &missing).await, Reading::Missing));
    let outcome = create(client, &there, b"", Acl::open()).await;
    assert!(matches!(outcome, Err(WriteError::NodeExists)), "{outcome:?}");
    let below = missing.child("below").unwrap();
    for op in [
        WriteOp::Create {
            path: below,
            data: vec![],
            acl: Acl::open(),
        },
        WriteOp::SetData {
            path: missing.clone(),
            data: vec![],
        },
        WriteOp::SetAcl {
            path: missing.clone(),
            acl: Acl::open(),
        },
        WriteOp::Delete {
            path: missing.clone(),
        },
    ] {
        let outcome = write(client, op).await;
        assert!(matches!(outcome, Err(WriteError::NoNode)), "{outcome:?}");
    }
    let outcome = write(client, WriteOp::Delete { path: root.clone() }).await;
    assert!(matches!(outcome, Err(WriteError::NotEmpty)), "{outcome:?}");
}

/// Answers come in the order of the questions, also where some of them fail.
async fn order_is_kept<C: ZnodeReader + ZnodeWriter>(client: &C, root: &ZnodePath) {
    let many = root.child("many").unwrap();
    create(client, &many, b"", Acl::open()).await.unwrap();
    let path = |i: usize| many.child(&format!("n{i}")).unwrap();
    let op = |i: usize| WriteOp::Create {
        path: if i.is_multiple_of(10) {
            many.clone()
        } else {
            path(i)
        },
        data: i.to_string().into_bytes(),
        acl: Acl::open(),
    };
    let outcomes = client.write_many((0..500).map(op).collect()).await;
    assert_eq!(outcomes.len(), 500);
    for (i, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_err(), i.is_multiple_of(10), "{i}: {outcome:?}");
    }
    let paths: Vec<_> = (0..500).map(path).collect();
    for (i, reading) in client.read_many(&paths).await.unwrap().into_iter().enumerate() {
        match reading {
            Reading::Found(znode) => assert_eq!(znode.data, i.to_string().into_bytes()),
            Reading::Missing => assert!(i.is_multiple_of(10), "{i}"),
            Reading::Denied => panic!("{i} is denied"),
        }
    }
}

async fn a_capture_is_restored<C: ZnodeReader + ZnodeWriter>(client: &C, root: &ZnodePath) {
    let options = CaptureOptions {
        roots: vec![root.clone()],
    };
    let (sender, mut records) = mpsc::channel(10_000);
    let summary = capture(client, &options, sender).await.unwrap();
    assert!(!summary.is_partial(), "{summary:?}");
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::new(&mut bytes);
    while let Some(record) = records.recv().await {
        writer.push(&record).unwrap();
    }
    let frames = writer.finish().unwrap();
    let archive = ArchiveFile::new(Cursor::new(bytes), frames);
    let options = RestoreOptions {
        roots: vec![root.clone()],
        ..RestoreOptions::default()
    };
    remove(client, root).await;
    let report = restore(&archive, client, &options).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.created, summary.znodes);
    let again = restore(&archive, client, &options).await.unwrap();
    assert_eq!(again.unchanged, summary.znodes, "{again:?}");
    assert_eq!(
        again.created + again.data_changed + again.acl_changed + again.deleted,
        0
    );
}
