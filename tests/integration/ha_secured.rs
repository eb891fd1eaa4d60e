//! Several servers over one bucket, and an ensemble that speaks TLS.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::json;
use zk_backup_testkit::{Distribution, Proxy, Setup, ZooKeeper};

use crate::common::clients::{as_super, observer};
use crate::common::daemons::{AS_SUPER, back_up};
use crate::common::group::{Group, leads, once_so_much_is_sent, signal, wait_to_lead};
use crate::common::tls::{certificate_files, certificates, with_tls};
use crate::common::trees::{assert_same, dump, fill, plant};

/// What it had sent is held back as long as it stands still: it is in a network that is slow, or in the client library.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_past_its_lease_writes_nothing_by_tls_when_it_goes_on() {
    // A machine that has much to do may have a long session end as well before another leads, and that proves nothing.
    let mut late = Vec::new();
    while let Some(since) = is_late().await {
        late.push(since);
        assert!(late.len() < 3, "a long session is over, too: {late:?}");
    }
}

/// Has a leader stopped and go on. How long it stood still, where that was so long that a long session was over, too.
async fn is_late() -> Option<Duration> {
    let certificates = certificates();
    let mut setup = with_tls(Setup::default(), &certificates);
    // Sessions may have from 2 to 20 seconds: the longest would outlive the lease.
    setup.config += "tickTime=1000\n";
    let (zookeeper, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/other", b"kept")]).await;
    fill(&as_super(&zookeeper), 20_000).await;
    let mut before = dump(&outside).await;

    let files = certificate_files(&certificates, true);
    let mut settings = AS_SUPER.to_vec();
    settings.extend([
        ("ZOOKEEPER_ENABLE_SSL", "true"),
        ("ZOOKEEPER_TLS_PATH", files.path().to_str().unwrap()),
        ("ZOOKEEPER_DRIVER", "auto"),
        ("HA_LEASE_SECONDS", "12"),
        ("ZOOKEEPER_TIMEOUT", "6"),
    ]);
    let mut group = Group::new();
    let (process, stopped) = (Arc::new(OnceLock::<u32>::new()), Arc::new(OnceLock::new()));
    let (stops, notes) = (Arc::clone(&process), Arc::clone(&stopped));
    // One proxy sees how much is sent, and the one behind it holds it back.
    let holding = Arc::new(Proxy::start(&format!("127.0.0.1:{port}")).unwrap());
    let holds = Arc::clone(&holding);
    let (seeing, armed) = once_so_much_is_sent(holding.address(), 2_000_000, move || {
        notes.set(Instant::now()).unwrap();
        holds.hold_after(0);
        signal(*stops.get().unwrap(), "-STOP");
    });
    let mut one = group.start(seeing.address(), "one", &settings);
    process.set(one.id()).unwrap();
    let two = group.start(&format!("localhost:{port}"), "two", &settings);
    let id = back_up(&one, "");
    armed.store(true, Ordering::SeqCst);
    let body = json!({"vault": id, "dbs": ["fill"], "changeDbNames": {"fill": "copy"}});
    let task = two.http.post("/restore", &body.to_string()).unwrap();
    assert_eq!(task.status, 200, "{}", task.text);

    wait_to_lead(&two);
    assert!(holding.holds());
    // In one request, as what is looked at in many takes its time.
    let copied = outside.get_children("/copy", false).await.unwrap();
    assert!((1..20_000).contains(&copied.len()), "{}", copied.len());
    let since = stopped.get().unwrap().elapsed();
    if since >= Duration::from_secs(19) {
        return Some(since);
    }
    holding.go_on();
    signal(one.id(), "-CONT");
    one.wait_for_line("was somebody else's to end").unwrap();
    let copies = copied.iter().map(|name| format!("/{name}"));
    for below in copies.chain([String::new()]) {
        let filled = before[&format!("/fill{below}")].clone();
        before.insert(format!("/copy{below}"), filled);
    }
    assert_same(&before, &dump(&outside).await);
    assert!(!leads(&one) && leads(&two));
    let told = two.wait_for_job(&task.text).unwrap();
    assert!(told.text.contains("interrupted"), "{}", told.text);
    None
}
