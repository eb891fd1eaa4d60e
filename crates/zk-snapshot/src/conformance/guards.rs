//! Who may do what: for clients that are not allowed everything.

use super::{acl, create, found, read, remove, write};
use crate::tree::{
    Acl, AclEntry, Changes, Reading, WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter,
};

const READ: u32 = 1;
const WRITE: u32 = 2;
const CREATE: u32 = 4;
const DELETE: u32 = 8;
const ADMIN: u32 = 16;

fn only(perms: u32, entry: &AclEntry) -> Acl {
    let entry = entry.clone();
    Acl::new(vec![AclEntry { perms, ..entry }])
}

/// Runs what concerns ACLs below `root`, which must not exist and does not afterwards. `owner` passes every check,
/// `other` has one `digest` identity.
///
/// Tells whether a watch of `other` keeps quiet about znodes that it may not read, where the client can watch; servers
/// differ in that (CVE-2024-23944). Panics at the first thing that does not hold.
pub async fn guards<C: ZnodeReader + ZnodeWriter + ?Sized>(
    owner: &C,
    other: &C,
    root: &ZnodePath,
) -> Option<bool> {
    create(owner, root, b"", Acl::open()).await.unwrap();
    let own = root.child("own").unwrap();
    create(other, &own, b"", Acl::creator()).await.unwrap();
    let id = match acl(owner, &own).await.entries() {
        [entry] if entry.perms == 31 && entry.scheme == "digest" => entry.clone(),
        other => panic!("`auth` became {other:?}"),
    };
    for permission in [READ, WRITE, CREATE, DELETE, ADMIN] {
        one_permission(owner, other, root, &id, permission).await;
    }
    numbers_move(owner, root).await;
    let hides = what_is_hidden(owner, other, root, &id).await;
    remove(owner, root).await;
    hides
}

async fn one_permission<C: ZnodeReader + ZnodeWriter + ?Sized>(
    owner: &C,
    other: &C,
    root: &ZnodePath,
    id: &AclEntry,
    permission: u32,
) {
    let path = root.child(&format!("p{permission}")).unwrap();
    let guard = only(permission, id);
    create(owner, &path, b"x", guard.clone()).await.unwrap();
    let (child, new) = (path.child("child").unwrap(), path.child("new").unwrap());
    let nobody = only(
        31,
        &AclEntry {
            id: "nobody:x".to_owned(),
            ..id.clone()
        },
    );
    create(owner, &child, b"", nobody).await.unwrap();
    let may = |needed: u32| {
        if permission & needed == 0 {
            Err(WriteError::NoAuth)
        } else {
            Ok(())
        }
    };
    match read(other, &path).await {
        Reading::Found(found) => assert!(permission == READ && found.children == ["child"]),
        reading => assert!(permission != READ && reading == Reading::Denied, "{reading:?}"),
    }
    match other
        .read_acls(std::slice::from_ref(&path))
        .await
        .unwrap()
        .remove(0)
    {
        Reading::Found(shown) if permission == ADMIN => assert_eq!(shown.acl, guard),
        Reading::Found(shown) => assert!(permission == READ && shown.acl.is_masked()),
        reading => assert!(permission & (READ | ADMIN) == 0 && reading == Reading::Denied),
    }
    let set = |version| WriteOp::SetData {
        path: path.clone(),
        data: b"y".to_vec(),
        version,
    };
    let stale = if permission == WRITE {
        Err(WriteError::Changed)
    } else {
        Err(WriteError::NoAuth)
    };
    assert_eq!(write(other, set(Some(7))).await, stale);
    assert_eq!(write(other, set(Some(0))).await, may(WRITE));
    assert_eq!(create(other, &new, b"", Acl::open()).await, may(CREATE));
    let again = create(other, &child, b"", Acl::open()).await;
    let exists = may(CREATE).and(Err(WriteError::NodeExists));
    assert_eq!(again, exists, "who may not create is not told what exists");
    let delete = WriteOp::Delete {
        path: child,
        version: None,
    };
    assert_eq!(
        write(other, delete).await,
        may(DELETE),
        "its own ACL says nothing of it"
    );
    let unknown = Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "unheard-of".to_owned(),
        id: "x".to_owned(),
    }]);
    for (acl, expected) in [(unknown, Err(WriteError::InvalidAcl)), (Acl::open(), may(ADMIN))] {
        let path = path.clone();
        let set = WriteOp::SetAcl {
            path,
            acl,
            version: Some(0),
        };
        assert_eq!(write(other, set).await, expected);
    }
}

/// What of a `Stat` moves with what.
async fn numbers_move<C: ZnodeReader + ZnodeWriter + ?Sized>(owner: &C, root: &ZnodePath) {
    let path = root.child("numbers").unwrap();
    create(owner, &path, b"", Acl::open()).await.unwrap();
    let before = found(owner, &path).await.stat;
    assert_eq!(
        (before.version, before.cversion, before.aversion, before.pzxid),
        (0, 0, 0, before.czxid)
    );
    let child = path.child("child").unwrap();
    create(owner, &child, b"", Acl::open()).await.unwrap();
    let born = found(owner, &child).await.stat.czxid;
    let parent = found(owner, &path).await.stat;
    assert_eq!((parent.pzxid, parent.cversion, parent.num_children), (born, 1, 1));
    let set = WriteOp::SetAcl {
        path: path.clone(),
        acl: Acl::open(),
        version: Some(0),
    };
    write(owner, set).await.unwrap();
    let delete = WriteOp::Delete {
        path: child,
        version: Some(0),
    };
    write(owner, delete).await.unwrap();
    let after = found(owner, &path).await.stat;
    assert_eq!(
        (after.version, after.cversion, after.aversion, after.mzxid),
        (0, 2, 1, before.mzxid)
    );
    assert!(after.pzxid > born && after.next_sequence() == 1);
}

async fn what_is_hidden<C: ZnodeReader + ZnodeWriter + ?Sized>(
    owner: &C,
    other: &C,
    root: &ZnodePath,
    id: &AclEntry,
) -> Option<bool> {
    let mut watch = other.watch(std::slice::from_ref(root)).await.unwrap()?;
    let (hidden, shown) = (root.child("hidden").unwrap(), root.child("shown").unwrap());
    create(owner, &hidden, b"", only(ADMIN, id)).await.unwrap();
    create(owner, &shown, b"", only(READ, id)).await.unwrap();
    // The reader may ask another server.
    while !found(other, root).await.children.contains(&"shown".to_owned()) {}
    match watch.take() {
        Changes::Of(paths) => {
            assert!(paths.contains(&shown), "{paths:?}");
            Some(!paths.contains(&hidden))
        }
        Changes::Lost => panic!("the connection was lost"),
    }
}
