//! What another client does between two requests of a restore: it is planned again, from what is there by then.

use std::sync::Arc;
use std::sync::Mutex;

use backup_engine::Driver;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use zk_backup_testkit::Proxy;
use zookeeper_async::{Acl, CreateMode, ZooKeeper as Observer};

use crate::common::by_each_adapter;
use crate::common::clients::observer;
use crate::common::daemons::{AS_SUPER, back_up, daemon_by, restore};
use crate::common::servers::server;
use crate::common::trees::plant;

/// What is done, once, when bytes that only a certain write has are on their way to the server.
type Trap = Arc<Mutex<Option<(&'static [u8], Act)>>>;
type Act = Box<dyn FnOnce() + Send>;

fn sprung(trap: &Trap) -> impl Fn(&[u8]) + Send + Sync + use<> {
    let trap = Arc::clone(trap);
    move |bytes| {
        let mut trap = trap.lock().unwrap();
        let is_here = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
        if trap.as_ref().is_some_and(|(wanted, _)| is_here(wanted))
            && let Some((_, act)) = trap.take()
        {
            act();
        }
    }
}

/// Who acts in between.
struct Other(Arc<Observer>, Handle);

impl Other {
    fn creates(
        &self,
        path: &'static str,
        data: &'static [u8],
        mode: CreateMode,
    ) -> impl FnOnce() + Send + use<> {
        let (zookeeper, handle) = (Arc::clone(&self.0), self.1.clone());
        move || {
            let acl = Acl::open_unsafe().clone();
            handle
                .block_on(zookeeper.create(path, data.to_vec(), acl, mode))
                .unwrap();
        }
    }
}

by_each_adapter!(what_comes_in_between_is_not_overwritten_but_where_the_policy_says_so);

async fn what_comes_in_between_is_not_overwritten_but_where_the_policy_says_so(driver: Driver) {
    let zookeeper = server();
    let outside = Arc::new(observer(&zookeeper).await);
    let trap = Trap::default();
    let proxy = Proxy::start_with(&zookeeper.address(), sprung(&trap)).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, proxy.address(), storage.path(), &AS_SUPER);
    let other = Other(Arc::clone(&outside), Handle::current());
    plant(
        &outside,
        &[
            ("/m", b""),
            ("/m/x", b"of the backup"),
            ("/m/x/y", b"below, of the backup"),
        ],
    )
    .await;
    let id = back_up(&daemon, r#"{"dbs": ["m"]}"#);
    let data = async |path: &str| outside.get_data(path, false).await.map(|(data, _)| data);
    let gone = async || {
        for path in ["/m/x/stranger", "/m/x/y", "/m/x"] {
            let _ = outside.delete(path, None).await; // some are not there
        }
    };
    let set = |wanted: &'static [u8], act: Act| *trap.lock().unwrap() = Some((wanted, act));
    let restored = |more: &str| -> (u16, Value) {
        let (status, state) = restore(&daemon, &id, more);
        assert!(trap.lock().unwrap().is_none(), "nothing came in between: {state}");
        (status, state["result"]["report"].clone())
    };

    gone().await;
    set(
        b"of the backup",
        Box::new(other.creates("/m/x", b"newer", CreateMode::Persistent)),
    );
    let (status, report) = restored(r#", "policy": "missing""#);
    assert_eq!(
        (status, &report["met_paths"]),
        (200, &json!(["/m/x"])),
        "{report}"
    );
    assert_eq!(
        (data("/m/x").await.unwrap(), data("/m/x/y").await.unwrap()),
        (b"newer".to_vec(), b"below, of the backup".to_vec())
    );

    // An ancestor of what is asked for is not ours either.
    gone().await;
    set(
        b"of the backup",
        Box::new(other.creates("/m/x", b"newer", CreateMode::Persistent)),
    );
    let (status, report) = restored(r#", "dbs": ["m/x/y"]"#);
    assert_eq!(
        (status, &report["met_paths"]),
        (200, &json!(["/m/x"])),
        "{report}"
    );
    assert_eq!(data("/m/x").await.unwrap(), b"newer");

    // Where all is to be as in the backup, it becomes that, with what came below it.
    gone().await;
    let (above, below) = (
        other.creates("/m/x", b"newer", CreateMode::Persistent),
        other.creates("/m/x/stranger", b"", CreateMode::Persistent),
    );
    set(
        b"of the backup",
        Box::new(move || {
            above();
            below();
        }),
    );
    let (status, report) = restored("");
    assert_eq!(status, 200, "{report}");
    assert_eq!(
        (&report["data_changed"], &report["deleted"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(data("/m/x").await.unwrap(), b"of the backup");
    assert!(data("/m/x/stranger").await.is_err());

    // A client's ephemeral znode stays, and what it keeps out is named.
    gone().await;
    set(
        b"of the backup",
        Box::new(other.creates("/m/x", b"a lock", CreateMode::Ephemeral)),
    );
    let (status, report) = restored("");
    assert_eq!((status, &report["failed"]), (500, &json!(2)), "{report}");
    assert!(report["failures"].to_string().contains("ephemeral"), "{report}");
    assert_eq!(data("/m/x").await.unwrap(), b"a lock");

    // Data that changed after they were read are no longer those that were compared.
    gone().await;
    plant(&outside, &[("/m/x", b"old")]).await;
    let (zookeeper, handle) = (Arc::clone(&outside), Handle::current());
    set(
        b"of the backup",
        Box::new(move || {
            handle.block_on(zookeeper.delete("/m/x", None)).unwrap();
        }),
    );
    let (status, report) = restored("");
    assert_eq!((status, &report["created"]), (200, &json!(2)), "{report}");
    assert_eq!(data("/m/x").await.unwrap(), b"of the backup");

    // What is to be deleted gets a child just then.
    plant(&outside, &[("/m/x/stranger", b""), ("/m/x/stranger/a", b"")]).await;
    let child = other.creates("/m/x/stranger/b", b"", CreateMode::Persistent);
    set(b"/m/x/stranger/a", Box::new(child));
    let (status, report) = restored("");
    assert_eq!((status, &report["failed"]), (200, &json!(0)), "{report}");
    assert!(data("/m/x/stranger").await.is_err());
}
