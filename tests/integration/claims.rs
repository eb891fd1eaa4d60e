//! What a backup claims where ACLs hide something, or cannot be decoded.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backup_engine::{Driver, Ensemble as _, ZooKeeperEnsemble};
use zk_backup_testkit::ZooKeeper;
use zk_snapshot::{
    Acl, BatchedConfig, CaptureOptions, Captured, Consistency, Kind, RecordSource, Role, WriteError, WriteOp,
    ZnodePath, capture_in_memory,
};

use crate::live::{as_super, closed, connect, server};

fn create(path: &str, data: &str, acl: Acl) -> WriteOp {
    WriteOp::Create {
        path: ZnodePath::parse(path).unwrap(),
        data: data.as_bytes().to_vec(),
        acl,
        kind: Kind::Persistent,
    }
}

async fn capture(config: BatchedConfig, driver: Driver) -> Captured {
    let client = ZooKeeperEnsemble::new(config, driver).connect().await.unwrap();
    let captured = capture_in_memory(&*client, &CaptureOptions::default())
        .await
        .unwrap();
    client.close().await;
    captured
}

/// Path → data, or `None` where it could not be read.
fn held(captured: &Captured) -> BTreeMap<String, Option<Vec<u8>>> {
    let frames = 0..captured.records.frames();
    let records = frames.flat_map(|index| captured.records.frame(index).unwrap());
    let of = |record: zk_snapshot::Record| (record.role != Role::Unreadable).then_some(record.data);
    records
        .map(|record| (record.path.to_string(), of(record)))
        .collect()
}

/// Znodes that nobody may read are created one by one, and each is counted where everybody may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_hidden_is_in_the_backup_that_has_what_came_later() {
    let server = server();
    let setup = connect(as_super(&server)).await.unwrap();
    let mut ops = vec![create("/a", "", Acl::open()), create("/a/v", "0", Acl::open())];
    ops.extend((0..1_500).map(|i| create(&format!("/n{i}"), "", Acl::open())));
    setup
        .write_many(&ops)
        .await
        .into_iter()
        .for_each(|outcome| outcome.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                let hidden = [create(&format!("/a/h{count}"), "", closed())];
                setup.write_many(&hidden).await.remove(0).unwrap();
                let counted = [WriteOp::SetData {
                    path: ZnodePath::parse("/a/v").unwrap(),
                    data: count.to_string().into_bytes(),
                    version: None,
                }];
                setup.write_many(&counted).await.remove(0).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await; // a rate, not a wait
            }
            setup.close().await;
            count
        }
    });
    let check = |captured: &Captured| {
        let held = held(captured);
        let hidden = held.keys().filter(|path| path.starts_with("/a/h")).count();
        let counted = String::from_utf8(held["/a/v"].clone().unwrap()).unwrap();
        let counted: usize = counted.parse().unwrap();
        let consistent = captured.summary.consistency == Consistency::Consistent;
        assert!(
            !consistent || hidden == counted || hidden == counted + 1,
            "{hidden} of {counted}: {:?}",
            captured.summary
        );
        (consistent, hidden)
    };
    for _ in 0..6 {
        check(&capture(BatchedConfig::new(server.address()), Driver::Batched).await);
        let (consistent, _) = check(&capture(as_super(&server), Driver::Batched).await);
        assert!(consistent, "nothing is hidden from super");
    }
    stop.store(true, Ordering::Relaxed);
    let count = writing.await.unwrap();
    for driver in [Driver::Batched, Driver::Plain] {
        let captured = capture(BatchedConfig::new(server.address()), driver).await;
        assert_eq!(check(&captured), (true, count));
        assert_eq!(captured.summary.unreadable, count as u64);
    }
}

/// Sets an ACL of one entry for `world:anyone`, with whatever bits: client libraries send none that they do not know.
fn set_raw_acl(server: &ZooKeeper, path: &str, perms: i32, scheme: &[u8], id: &[u8]) {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let mut exchange = |body: &[u8]| {
        socket.write_all(&(body.len() as u32).to_be_bytes()).unwrap();
        socket.write_all(body).unwrap();
        let mut length = [0; 4];
        socket.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        socket.read_exact(&mut answer).unwrap();
        answer
    };
    let text = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let number = |number: i32| number.to_be_bytes().to_vec();
    exchange(&[&[0; 12][..], &number(10_000), &[0; 8], &text(&[0; 16]), &[0]].concat());
    let parts = [
        number(1),
        number(7),
        text(path.as_bytes()),
        number(1),
        number(perms),
        text(scheme),
        text(id),
        number(-1),
    ];
    let answer = exchange(&parts.concat());
    assert_eq!(answer[12..16], [0; 4], "the server refused the ACL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acl_that_cannot_be_decoded_costs_its_znode_alone() {
    let server = server();
    let client = connect(as_super(&server)).await.unwrap();
    let names = ["/w", "/w/minus", "/w/more", "/w/java", "/w/fine"];
    let ops: Vec<_> = names.iter().map(|path| create(path, path, Acl::open())).collect();
    client
        .write_many(&ops)
        .await
        .into_iter()
        .for_each(|outcome| outcome.unwrap());
    client.close().await;
    set_raw_acl(&server, "/w/minus", -1, b"world", b"anyone");
    set_raw_acl(&server, "/w/more", 63, b"world", b"anyone");
    // What Java sends for U+1F600: two surrogates, each as if it were a character.
    let smile = b"user:\xed\xa0\xbd\xed\xb8\x80";
    set_raw_acl(&server, "/w/java", 31, b"digest", smile);
    for driver in [Driver::Batched, Driver::Plain] {
        let captured = capture(as_super(&server), driver).await;
        let held = held(&captured);
        for bad in ["/w/minus", "/w/more"] {
            assert_eq!(held[bad], None, "{driver:?}");
        }
        assert_eq!(held["/w/fine"], Some(b"/w/fine".to_vec()), "{driver:?}");
        assert_eq!(held["/w"], Some(b"/w".to_vec()), "{driver:?}");
        let named: Vec<_> = captured
            .summary
            .unreadable_paths
            .iter()
            .map(ZnodePath::as_str)
            .collect();
        assert!(
            named.contains(&"/w/minus") && named.contains(&"/w/more"),
            "{named:?}"
        );
        assert!(!named.contains(&"/w/fine"), "{named:?}");
        // A server may store question marks in place of what is no UTF-8.
        assert!(
            held["/w/java"].is_none() == named.contains(&"/w/java"),
            "{driver:?}: {named:?}"
        );
    }
    for driver in [Driver::Batched, Driver::Plain] {
        let client = ZooKeeperEnsemble::new(as_super(&server), driver)
            .connect()
            .await
            .unwrap();
        let mut entry = Acl::open().entries()[0].clone();
        entry.perms = 63;
        let unsendable = create("/w/new", "", Acl::new(vec![entry]));
        let outcomes = client
            .write_many(&[
                create("/w/before", "", Acl::open()),
                unsendable,
                create("/w/after", "", Acl::open()),
            ])
            .await;
        assert!(
            matches!(&outcomes[..], [Ok(()), Err(WriteError::Refused(_)), Ok(())]),
            "{driver:?}: {outcomes:?}"
        );
        let delete = |path: &str| WriteOp::Delete {
            path: ZnodePath::parse(path).unwrap(),
            version: None,
        };
        for outcome in client
            .write_many(&[delete("/w/before"), delete("/w/after")])
            .await
        {
            outcome.unwrap();
        }
        client.close().await;
    }
}
