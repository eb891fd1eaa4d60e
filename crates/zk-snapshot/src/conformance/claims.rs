//! What a client says of itself: each claim that it makes must hold, and it may make none.

use super::{create, read, write};
use crate::tree::{Acl, AclEntry, History, Reading, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// Every permission but to read.
const ALL_BUT_READ: u32 = 30;

pub(super) async fn what_is_claimed_holds<C: ZnodeReader + ZnodeWriter + ?Sized>(
    client: &C,
    root: &ZnodePath,
) {
    let path = root.child("claims").unwrap();
    let (epoch, session) = (client.epoch(), client.session().await.unwrap());
    let before = client.applied().await;
    create(client, &path, b"1", Acl::open()).await.unwrap();
    let can_sync = client.sync().await.unwrap();
    let Reading::Found(found) = read(client, &path).await else {
        panic!(
            "what it has written itself is not there (it {} sync)",
            if can_sync { "can" } else { "cannot" }
        );
    };
    if let (Some(before), Some(after)) = (before, client.applied().await) {
        assert!(
            before < found.stat.czxid && found.stat.czxid <= after,
            "what was applied is not told"
        );
    }

    let paths = [path.clone(), root.child("none").unwrap(), root.clone()];
    if let Some(readings) = client.read_at_once(&paths).await.unwrap() {
        assert_eq!(readings.len(), paths.len());
        assert!(
            matches!(&readings[0], Reading::Found(found) if found.data == b"1" && found.children.is_empty())
        );
        assert_eq!(readings[1], Reading::Missing);
        assert!(
            matches!(&readings[2], Reading::Found(found) if found.children.is_empty()),
            "what is read at once comes without children"
        );
    }

    if client.reads_everything().await.unwrap() {
        let hidden = root.child("hidden").unwrap();
        let acl = Acl::new(vec![AclEntry {
            perms: ALL_BUT_READ,
            scheme: "world".to_owned(),
            id: "anyone".to_owned(),
        }]);
        create(client, &hidden, b"2", acl).await.unwrap();
        let readings = client
            .read_many(std::slice::from_ref(&hidden), History::Any)
            .await;
        assert!(
            matches!(&readings.unwrap()[..], [Reading::Found(_)]),
            "something is hidden from it"
        );
        remove(client, hidden).await;
    }

    remove(client, path).await;
    assert!(client.epoch() >= epoch, "an epoch never shrinks");
    if client.epoch() == epoch {
        assert_eq!(
            client.session().await.unwrap(),
            session,
            "one connection has one session"
        );
    }
}

async fn remove<C: ZnodeWriter + ?Sized>(client: &C, path: ZnodePath) {
    write(client, WriteOp::Delete { path, version: None })
        .await
        .unwrap();
}
