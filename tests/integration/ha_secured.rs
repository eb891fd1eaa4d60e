//! Several servers over one bucket, and an ensemble that speaks TLS.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use zk_backup_testkit::{Distribution, Proxy, Setup, ZooKeeper};

use crate::common::clients::{as_super, observer};
use crate::common::daemons::{AS_SUPER, back_up};
use crate::common::trees::{assert_same, dump, fill, plant};
use crate::ha::{Group, leads, once_so_much_is_sent, signal, wait_to_lead};
use crate::secured::{certificate_files, certificates, with_tls};

/// What it had sent is held back as long as it stands still: it is in a network that is slow, or in the client library.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_past_its_lease_writes_nothing_by_tls_when_it_goes_on() {
    let certificates = certificates();
    let mut setup = with_tls(Setup::default(), &certificates);
    // Sessions may have from 2 to 20 seconds: the longest would outlive the lease.
    setup.config += "tickTime=1000\n";
    let (zookeeper, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/other", b"kept")]).await;
    fill(&as_super(&zookeeper), 20_000).await;

    let files = certificate_files(&certificates, true);
    let mut settings = AS_SUPER.to_vec();
    settings.extend([
        ("ZOOKEEPER_ENABLE_SSL", "true"),
        ("ZOOKEEPER_TLS_PATH", files.path().to_str().unwrap()),
        ("ZOOKEEPER_DRIVER", "auto"),
        ("HA_LEASE_SECONDS", "12"),
        ("ZOOKEEPER_TIMEOUT", "5"),
    ]);
    let mut group = Group::new();
    let stopped = Arc::new(OnceLock::<(u32, Arc<Proxy>)>::new());
    let stops = Arc::clone(&stopped);
    // One proxy sees how much is sent, and the one behind it holds it back.
    let holding = Arc::new(Proxy::start(&format!("127.0.0.1:{port}")).unwrap());
    let (seeing, armed) = once_so_much_is_sent(holding.address(), 2_000_000, move || {
        let (process, holding) = stops.get().unwrap();
        holding.hold_after(0);
        signal(*process, "-STOP");
    });
    let mut one = group.start(seeing.address(), "one", &settings);
    assert!(stopped.set((one.id(), Arc::clone(&holding))).is_ok());
    let two = group.start(&format!("localhost:{port}"), "two", &settings);
    let id = back_up(&one, "");
    armed.store(true, Ordering::SeqCst);
    let body = json!({"vault": id, "dbs": ["fill"], "changeDbNames": {"fill": "copy"}});
    let task = two.http.post("/restore", &body.to_string()).unwrap();
    assert_eq!(task.status, 200, "{}", task.text);

    let taken = wait_to_lead(&two);
    assert!(
        taken < Duration::from_secs(18),
        "a long session is over, too: {taken:?}"
    );
    assert!(holding.holds());
    let before = dump(&outside).await;
    let copied = before.keys().filter(|path| path.starts_with("/copy/")).count();
    assert!((1..20_000).contains(&copied), "{copied} znodes were written");
    holding.go_on();
    signal(one.id(), "-CONT");
    one.wait_for_line("was somebody else's to end").unwrap();
    assert_same(&before, &dump(&outside).await);
    assert!(!leads(&one) && leads(&two));
    let told = two.wait_for_job(&task.text).unwrap();
    assert!(told.text.contains("interrupted"), "{}", told.text);
}
