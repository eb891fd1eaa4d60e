//! What every client must do. Run it over a client of your own, against a server or a tree that may be written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::capture::{CaptureOptions, Consistency, capture_in_memory};
use crate::restore::{RestoreOptions, restore};
use crate::tree::{
    Acl, AclEntry, Changes, Found, History, Kind, Reading, WriteError, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

mod claims;
mod guards;
mod records;

pub use guards::guards;
pub use records::records;

/// Runs the suite below `root`, which must not exist and does not afterwards. The client must be allowed to do
/// everything there.
///
/// Panics at the first thing that does not hold.
pub async fn run<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, root: &ZnodePath) {
    assert!(client.batch_size() > 0 && client.batches_in_flight() > 0);
    create(client, root, b"", Acl::open()).await.unwrap();
    what_is_written_is_read(client, root).await;
    outcomes_are_told_apart(client, root).await;
    versions_are_asked_for(client, root).await;
    order_is_kept(client, root).await;
    claims::what_is_claimed_holds(client, root).await;
    a_watch_sees_what_a_read_sees(client, root).await;
    a_capture_is_restored(client, root).await;
    numbers_are_not_given_twice(client, root).await;
    remove(client, root).await;
    assert!(matches!(read(client, root).await, Reading::Missing));
}

async fn create<C: ZnodeWriter + ?Sized>(
    client: &C,
    path: &ZnodePath,
    data: &[u8],
    acl: Acl,
) -> Result<(), WriteError> {
    let op = WriteOp::Create {
        path: path.clone(),
        data: data.to_vec(),
        acl,
        kind: Kind::Persistent,
    };
    write(client, op).await
}

async fn write<C: ZnodeWriter + ?Sized>(client: &C, op: WriteOp) -> Result<(), WriteError> {
    let mut outcomes = client.write_many(&[op]).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

async fn read<C: ZnodeReader + ?Sized>(client: &C, path: &ZnodePath) -> Reading {
    let one = std::slice::from_ref(path);
    let mut readings = client.read_many(one, History::One).await.unwrap();
    assert_eq!(readings.len(), 1);
    readings.remove(0)
}

async fn found<C: ZnodeReader + ?Sized>(client: &C, path: &ZnodePath) -> Found {
    match read(client, path).await {
        Reading::Found(found) => found,
        other => panic!("{path} is not there: {other:?}"),
    }
}

async fn acl<C: ZnodeReader + ?Sized>(client: &C, path: &ZnodePath) -> Acl {
    let mut readings = client.read_acls(std::slice::from_ref(path)).await.unwrap();
    assert_eq!(readings.len(), 1);
    match readings.remove(0) {
        Reading::Found(guard) => {
            assert_eq!(guard.stat.czxid, found(client, path).await.stat.czxid);
            guard.acl
        }
        other => panic!("{path} has no ACL: {other:?}"),
    }
}

async fn remove<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, path: &ZnodePath) {
    let mut waiting = vec![path.clone()];
    let mut all = Vec::new();
    while let Some(path) = waiting.pop() {
        let children = found(client, &path).await.children;
        waiting.extend(children.iter().map(|name| path.child(name).unwrap()));
        all.push(path);
    }
    for path in all.into_iter().rev() {
        write(client, WriteOp::Delete { path, version: None })
            .await
            .unwrap();
    }
}

async fn what_is_written_is_read<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, root: &ZnodePath) {
    let bytes: Vec<u8> = (0..=255).collect();
    let closed = Acl::new(vec![
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
    for (name, data, guard) in [
        ("bytes", &bytes[..], Acl::open()),
        ("empty", b"", Acl::open()),
        ("ł ☃ %2e", b"\r\n\r", closed.clone()),
    ] {
        let path = root.child(name).unwrap();
        create(client, &path, data, guard.clone()).await.unwrap();
        let znode = found(client, &path).await;
        assert_eq!(
            (&znode.data[..], acl(client, &path).await),
            (data, guard),
            "{path}"
        );
        assert!(!znode.stat.is_ephemeral() && znode.stat.czxid > 0 && znode.children.is_empty());
    }
    let path = root.child("bytes").unwrap();
    let before = found(client, &path).await.stat;
    let (data, changed) = (b"2".to_vec(), path.clone());
    write(
        client,
        WriteOp::SetData {
            path: changed,
            data,
            version: None,
        },
    )
    .await
    .unwrap();
    let changed = path.clone();
    write(
        client,
        WriteOp::SetAcl {
            path: changed,
            acl: closed.clone(),
            version: Some(before.aversion),
        },
    )
    .await
    .unwrap();
    let after = found(client, &path).await;
    assert_eq!((&after.data[..], acl(client, &path).await), (&b"2"[..], closed));
    assert_eq!(after.stat.czxid, before.czxid, "it is the same znode");
    assert!(after.stat.mzxid > before.mzxid && after.stat.aversion > before.aversion);
    let parent = found(client, root).await;
    let mut children = parent.children;
    children.sort();
    assert_eq!(children, ["bytes", "empty", "ł ☃ %2e"]);
    assert_eq!(parent.stat.num_children, 3);
}

async fn outcomes_are_told_apart<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, root: &ZnodePath) {
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
            kind: Kind::Persistent,
        },
        WriteOp::SetData {
            path: missing.clone(),
            data: vec![],
            version: None,
        },
        WriteOp::SetAcl {
            path: missing.clone(),
            acl: Acl::open(),
            version: None,
        },
        WriteOp::Delete {
            path: missing.clone(),
            version: None,
        },
    ] {
        let outcome = write(client, op).await;
        assert!(matches!(outcome, Err(WriteError::NoNode)), "{outcome:?}");
    }
    let outcome = write(
        client,
        WriteOp::Delete {
            path: root.clone(),
            version: None,
        },
    )
    .await;
    assert!(matches!(outcome, Err(WriteError::NotEmpty)), "{outcome:?}");
}

/// A write that asks for a version is done at that version only, alone and together with others.
async fn versions_are_asked_for<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, root: &ZnodePath) {
    let path = root.child("versions").unwrap();
    let other = root.child("empty").unwrap();
    create(client, &path, b"0", Acl::open()).await.unwrap();
    let set = |version, data: &[u8]| WriteOp::SetData {
        path: path.clone(),
        data: data.to_vec(),
        version,
    };
    let beside = WriteOp::SetData {
        path: other.clone(),
        data: Vec::new(),
        version: None,
    };
    write(client, set(Some(0), b"1")).await.unwrap();
    assert_eq!(write(client, set(Some(0), b"2")).await, Err(WriteError::Changed));
    let outcomes = client.write_many(&[set(Some(0), b"2"), beside]).await;
    assert_eq!(outcomes, [Err(WriteError::Changed), Ok(())]);
    let guard = |version| WriteOp::SetAcl {
        path: path.clone(),
        acl: Acl::open(),
        version,
    };
    assert_eq!(write(client, guard(Some(7))).await, Err(WriteError::Changed));
    write(client, guard(Some(0))).await.unwrap();
    let delete = |version| WriteOp::Delete {
        path: path.clone(),
        version,
    };
    assert_eq!(write(client, delete(Some(0))).await, Err(WriteError::Changed));
    assert_eq!(found(client, &path).await.data, b"1");
    write(client, delete(Some(1))).await.unwrap();
}

/// Answers come in the order of the questions, also where some of them fail.
async fn order_is_kept<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, root: &ZnodePath) {
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
        kind: Kind::Persistent,
    };
    let ops: Vec<_> = (0..500).map(op).collect();
    let outcomes = client.write_many(&ops).await;
    assert_eq!(outcomes.len(), 500);
    for (i, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_err(), i.is_multiple_of(10), "{i}: {outcome:?}");
    }
    let paths: Vec<_> = (0..500).map(path).collect();
    for (i, reading) in client
        .read_many(&paths, History::Any)
        .await
        .unwrap()
        .into_iter()
        .enumerate()
    {
        match reading {
            Reading::Found(znode) => assert_eq!(znode.data, i.to_string().into_bytes()),
            Reading::Missing => assert!(i.is_multiple_of(10), "{i}"),
            other => panic!("{i} is {other:?}"),
        }
    }
}

/// Where the server can watch: what was written before a read is known when the read is answered.
async fn a_watch_sees_what_a_read_sees<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, root: &ZnodePath) {
    let Some(mut watch) = client.watch(std::slice::from_ref(root)).await.unwrap() else {
        return;
    };
    let (parent, child) = (
        root.child("bytes").unwrap(),
        root.child("bytes").unwrap().child("c").unwrap(),
    );
    let seen = |watch: &mut Box<dyn crate::tree::TreeWatch>| match watch.take() {
        Changes::Of(paths) => paths.into_iter().collect::<BTreeSet<_>>(),
        Changes::Lost => panic!("the connection was lost"),
    };
    let both = BTreeSet::from([parent.clone(), child.clone()]);
    create(client, &child, b"", Acl::open()).await.unwrap();
    found(client, root).await;
    assert_eq!(seen(&mut watch), both);
    let (path, data) = (child.clone(), b"2".to_vec());
    write(
        client,
        WriteOp::SetData {
            path,
            data,
            version: None,
        },
    )
    .await
    .unwrap();
    found(client, root).await;
    assert_eq!(seen(&mut watch), BTreeSet::from([child.clone()]));
    write(
        client,
        WriteOp::Delete {
            path: child,
            version: None,
        },
    )
    .await
    .unwrap();
    found(client, root).await;
    assert_eq!(seen(&mut watch), both);
    found(client, root).await;
    assert_eq!(seen(&mut watch), BTreeSet::new());
}

async fn a_capture_is_restored<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, root: &ZnodePath) {
    let options = CaptureOptions {
        roots: vec![root.clone()],
        ..CaptureOptions::default()
    };
    let captured = capture_in_memory(&client, &options).await.unwrap();
    let summary = captured.summary;
    assert!(!summary.is_partial(), "{summary:?}");
    assert_eq!(summary.consistency, Consistency::Consistent, "{summary:?}");
    let source = Arc::new(captured.records);
    let options = RestoreOptions {
        roots: vec![root.clone()],
        ..RestoreOptions::default()
    };
    remove(client, root).await;
    let report = restore(source.clone(), client, &options).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.created, summary.znodes);
    let again = restore(source, client, &options).await.unwrap();
    assert_eq!(again.unchanged, summary.znodes, "{again:?}");
    assert_eq!(
        again.created + again.data_changed + again.acl_changed + again.deleted + again.counters_raised,
        0
    );
}

/// A parent that had more children than it has comes back so that the next one gets the number it would have had.
async fn numbers_are_not_given_twice<C: ZnodeReader + ZnodeWriter + ?Sized>(client: &C, root: &ZnodePath) {
    let (queue, item) = (root.child("queue").unwrap(), |i: usize| {
        root.child("queue").unwrap().child(&format!("{i}"))
    });
    create(client, &queue, b"", Acl::open()).await.unwrap();
    for i in 0..20 {
        create(client, &item(i).unwrap(), b"", Acl::open()).await.unwrap();
        if i != 7 {
            let path = item(i).unwrap();
            write(client, WriteOp::Delete { path, version: None })
                .await
                .unwrap();
        }
    }
    assert_eq!(found(client, &queue).await.stat.next_sequence(), 20);
    let mut options = CaptureOptions::default();
    options.roots.push(queue.clone());
    let source = Arc::new(capture_in_memory(&client, &options).await.unwrap().records);
    for (limit, raised, left) in [(18, 0, 1), (19, 1, 0), (19, 0, 0)] {
        if raised == 1 {
            remove(client, &queue).await;
        }
        let options = RestoreOptions {
            roots: vec![queue.clone()],
            sequence_limit: limit,
            ..RestoreOptions::default()
        };
        if limit == 18 {
            remove(client, &queue).await;
        }
        let report = restore(source.clone(), client, &options).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(
            (report.counters_raised, report.counters_left),
            (raised, left),
            "{report:?}"
        );
        let next = found(client, &queue).await.stat;
        assert_eq!(next.next_sequence(), if left == 1 { 1 } else { 20 });
        assert_eq!(next.num_children, 1);
    }
}
