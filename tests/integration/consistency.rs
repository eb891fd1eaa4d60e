//! Writers keep an invariant across znodes while backups are taken of them: what says it is consistent keeps it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backup_engine::{Driver, Ensemble as _, ZooKeeperEnsemble};
use serde_json::json;
use zk_backup_testkit::{Proxy, SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::archive::RecordSource;
use zk_snapshot::capture::{
    CaptureError, CaptureOptions, CaptureSummary, Captured, Consistency, capture_in_memory,
};
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::tree::{Acl, Kind, WriteOp, ZnodePath};
use zookeeper_client as zk;

use crate::common::clients::connect;
use crate::common::daemons::daemon;
use crate::common::servers::server;

const ACCOUNTS: u64 = 100;
const BALANCE: u64 = 1_000_000;
const FILLERS: usize = 3_000;
/// Names items, and chooses what is written next.
static TURN: AtomicU64 = AtomicU64::new(1);

fn account(i: u64) -> String {
    format!("/bank/{}/a{i}", i % 7)
}

/// Accounts, among znodes that only make the walk longer.
async fn found_a_bank(server: &ZooKeeper) {
    let client = connect(Driver::Batched, BatchedConfig::new(server.address()))
        .await
        .unwrap();
    let create = |path: &str, data: &str| WriteOp::Create {
        path: ZnodePath::parse(path).unwrap(),
        data: data.as_bytes().to_vec(),
        acl: Acl::open(),
        kind: Kind::Persistent,
    };
    let mut ops = vec![create("/bank", ""), create("/items", "0")];
    client.write_many(&ops).await.into_iter().for_each(|o| o.unwrap());
    ops = (0..7).map(|i| create(&format!("/bank/{i}"), "")).collect();
    client.write_many(&ops).await.into_iter().for_each(|o| o.unwrap());
    ops = (0..ACCOUNTS)
        .map(|i| create(&account(i), &BALANCE.to_string()))
        .collect();
    ops.extend((0..FILLERS).map(|i| create(&format!("/bank/{}/filler{i}", i % 7), "filler")));
    client.write_many(&ops).await.into_iter().for_each(|o| o.unwrap());
    client.close().await;
}

/// Moves amounts between accounts, and creates and deletes items in step with the counter at their parent.
struct Writers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    /// Changes in a second, 0 for as many as go.
    rate: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Writers {
    /// `per_second` changes, each one `multi`; 0 for as many as go.
    async fn start(server: &ZooKeeper, per_second: u64) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let rate = Arc::new(AtomicU64::new(per_second));
        let session = Duration::from_secs(30);
        let connector = zk::Client::connector().with_session_timeout(session);
        let client = connector.connect(&server.address()).await.unwrap();
        let counts = (Arc::clone(&rate), Arc::clone(&stop), Arc::clone(&done));
        let task = tokio::spawn(write(client, counts.0, counts.1, counts.2));
        Self {
            stop,
            done,
            rate,
            task,
        }
    }

    /// Halves the rate: how many changes leave a quiet moment is up to the machine. One in a second has to.
    fn slow_down(&self) {
        let rate = self.rate.load(Ordering::Relaxed) / 2;
        assert!(rate > 0, "there is no quiet moment at any rate");
        self.rate.store(rate, Ordering::Relaxed);
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.done.load(Ordering::Relaxed)
    }
}

async fn write(client: zk::Client, rate: Arc<AtomicU64>, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    let mut balances = Vec::new();
    for i in 0..ACCOUNTS {
        let (data, _) = client.get_data(&account(i)).await.unwrap();
        balances.push(String::from_utf8(data).unwrap().parse::<u64>().unwrap());
    }
    let mut items: VecDeque<String> = client.list_children("/items").await.unwrap().into();
    let mut last = tokio::time::Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if let rate @ 1.. = rate.load(Ordering::Relaxed) {
            tokio::time::sleep_until(last + Duration::from_secs(1) / rate as u32).await;
            last = tokio::time::Instant::now(); // no bursts
        }
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let mut multi = client.new_multi_writer();
        if turn.is_multiple_of(3) {
            // The counter says how many items there are.
            if items.len() < 20 && !turn.is_multiple_of(5) {
                let item = format!("i{turn}");
                multi
                    .add_create(&format!("/items/{item}"), b"item", &options)
                    .unwrap();
                items.push_back(item);
            } else if let Some(item) = items.pop_front() {
                multi.add_delete(&format!("/items/{item}"), None).unwrap();
            }
            multi
                .add_set_data("/items", items.len().to_string().as_bytes(), None)
                .unwrap();
        } else {
            let (from, to) = (turn * 31 % ACCOUNTS, (turn * 57 + 1) % ACCOUNTS);
            if from != to {
                balances[from as usize] -= 1;
                balances[to as usize] += 1;
                for i in [from, to] {
                    let balance = balances[i as usize].to_string();
                    multi.add_set_data(&account(i), balance.as_bytes(), None).unwrap();
                }
            }
        }
        multi.commit().await.unwrap();
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// What does not hold in a capture.
fn violation(captured: &Captured) -> Option<String> {
    let mut state = BTreeMap::new();
    for index in 0..captured.records.frames() {
        for record in captured.records.frame(index).unwrap() {
            state.insert(record.path.to_string(), String::from_utf8(record.data).unwrap());
        }
    }
    let sum: u64 = (0..ACCOUNTS)
        .map(|i| state[&account(i)].parse::<u64>().unwrap())
        .sum();
    let items = state.keys().filter(|path| path.starts_with("/items/")).count();
    if sum != ACCOUNTS * BALANCE {
        return Some(format!("the balances add up to {sum}"));
    }
    (state["/items"] != items.to_string())
        .then(|| format!("{items} items where {} are counted", state["/items"]))
}

/// As `super`: from others something might be hidden, and where znodes come and go too often nothing is claimed.
async fn try_capture(
    address: &str,
    driver: Driver,
    rounds: u32,
) -> Result<(CaptureSummary, Option<String>), CaptureError> {
    let config = BatchedConfig {
        digest_auth: Some(format!("super:{SUPER_PASSWORD}")),
        ..BatchedConfig::new(address)
    };
    let ensemble = ZooKeeperEnsemble::new(config, driver);
    let client = ensemble.connect().await?;
    let options = CaptureOptions {
        rounds,
        ..CaptureOptions::default()
    };
    let captured = capture_in_memory(&*client, &options).await;
    client.close().await;
    let captured = captured?;
    let violation = violation(&captured);
    Ok((captured.summary, violation))
}

async fn capture(address: &str, driver: Driver, rounds: u32) -> (CaptureSummary, Option<String>) {
    try_capture(address, driver, rounds).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_says_it_is_consistent_keeps_the_invariant() {
    let server = server();
    found_a_bank(&server).await;
    for (driver, rate) in [
        (Driver::Batched, 20),
        (Driver::Batched, 200),
        (Driver::Batched, 1_000),
        (Driver::Plain, 20),
        (Driver::Plain, 200),
    ] {
        let writers = Writers::start(&server, rate).await;
        let mut left = 10;
        while left > 0 {
            let (summary, violation) = capture(&server.address(), driver, 200).await;
            let consistent = summary.consistency == Consistency::Consistent;
            assert!(
                !consistent || violation.is_none(),
                "at {rate}/s: {violation:?}, {summary:?}"
            );
            if !consistent {
                assert!(
                    summary.moving > 0 && !summary.moving_paths.is_empty(),
                    "{summary:?}"
                );
            }
            if consistent || driver == Driver::Plain {
                left -= 1;
                continue;
            }
            // Where the tree is watched it takes no quiet walk: with some changes in each there are quiet moments.
            let (begun, before) = (Instant::now(), writers.rate.load(Ordering::Relaxed) as f64);
            capture(&server.address(), driver, 0).await;
            let changes = before * begun.elapsed().as_secs_f64();
            assert!(changes > 3.0, "{changes} in a walk, at {before}/s: {summary:?}");
            writers.slow_down();
        }
        assert!(writers.stop().await > 0);
    }
    for driver in [Driver::Batched, Driver::Plain] {
        let (summary, violation) = capture(&server.address(), driver, 200).await;
        assert_eq!(
            (summary.consistency, violation),
            (Consistency::Consistent, None),
            "{driver:?}"
        );
    }
}

/// The test above would notice: without validation the same writers are caught in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_validation_the_invariant_breaks_and_nothing_is_claimed() {
    let server = server();
    found_a_bank(&server).await;
    for driver in [Driver::Batched, Driver::Plain] {
        let writers = Writers::start(&server, 0).await;
        let mut violations = 0;
        for _ in 0..100 {
            let (summary, violation) = capture(&server.address(), driver, 0).await;
            assert_eq!(summary.consistency, Consistency::Fuzzy);
            violations += u32::from(violation.is_some());
            if violations == 3 {
                break;
            }
        }
        writers.stop().await;
        assert_eq!(violations, 3, "{driver:?}");
    }
}

/// Connections are cut again and again while captures run: what was missed is never claimed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_starts_the_validation_over() {
    let server = server();
    found_a_bank(&server).await;
    let proxy = Arc::new(Proxy::start(&server.address()).unwrap());
    for driver in [Driver::Batched, Driver::Plain] {
        let rate = if driver == Driver::Plain { 2 } else { 300 };
        let writers = Writers::start(&server, rate).await;
        let (pause, cuts) = (Arc::new(AtomicU64::new(150)), Arc::new(AtomicU64::new(0)));
        let cutting = tokio::spawn({
            let (proxy, pause, cuts) = (Arc::clone(&proxy), Arc::clone(&pause), Arc::clone(&cuts));
            async move {
                loop {
                    // Never at the same step of a capture twice.
                    let wait = pause.load(Ordering::Relaxed) + cuts.load(Ordering::Relaxed) * 37 % 250;
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    proxy.cut();
                    cuts.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let patience = BatchedConfig::new(proxy.address()).deadline; // in which one request is answered, or none is
        let (mut captures, mut consistent) = (0, 0);
        let none_yet = |consistent| consistent == 0 && driver == Driver::Batched;
        while captures < 20 || cuts.load(Ordering::Relaxed) <= 3 || none_yet(consistent) {
            let begun = Instant::now();
            let outcome = try_capture(proxy.address(), driver, 200).await;
            captures += 1;
            // How long a machine needs between two cuts is up to it, and how many changes then leave a quiet moment.
            let too_little = match outcome {
                Ok((summary, violation)) if summary.consistency == Consistency::Consistent => {
                    consistent += 1;
                    assert_eq!(violation, None, "{driver:?}: {summary:?}");
                    false
                }
                Ok(_) if captures >= 20 && none_yet(consistent) => {
                    writers.slow_down();
                    true
                }
                Ok(_) => false,
                Err(CaptureError::Client(_)) if begun.elapsed() >= patience => true,
                Err(other) => panic!("{driver:?}, {:?}: {other}", begun.elapsed()),
            };
            if too_little {
                let more = pause.load(Ordering::Relaxed) * 2;
                assert!(more < 60_000, "{driver:?}: no time is enough");
                pause.store(more, Ordering::Relaxed);
            }
        }
        cutting.abort();
        writers.stop().await;
    }
}

/// The same through the server: `/listbackups` says it, and a restore brings the moment back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_writes_is_restored_as_of_one_moment() {
    let server = server();
    found_a_bank(&server).await;
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("ZOOKEEPER_DRIVER", "batched"),
        ("EVICTION_POLICY", "7d/delete"),
        ("ZOOKEEPER_DIGEST_USERNAME", "super"),
        ("ZOOKEEPER_DIGEST_PASSWORD", SUPER_PASSWORD),
    ];
    let daemon = daemon(&server.address(), storage.path(), &settings);
    let mut ids = Vec::new();
    let writers = Writers::start(&server, 500).await;
    while ids.len() < 5 {
        let (id, state) = daemon.do_job("/backup", "").unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        let info = daemon.describe(&id).unwrap();
        if info["moving"]["count"] != json!(0) {
            assert_eq!(info["consistency"], json!("fuzzy"), "{info:?}");
            writers.slow_down();
            continue;
        }
        assert_eq!(
            (&info["consistency"], &info["valid"], &info["moving"]["count"]),
            (&json!("consistent"), &json!(true), &json!(0)),
            "{info:?}"
        );
        assert!(info["zxid"]["newest"].as_str().unwrap().starts_with("0x"));
        ids.push(id);
    }
    assert!(writers.stop().await > 0);
    for id in ids {
        let (_, state) = daemon
            .do_job("/restore", &format!(r#"{{"vault": "{id}"}}"#))
            .unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        let (summary, violation) = capture(&server.address(), Driver::Batched, 200).await;
        assert_eq!((summary.consistency, violation), (Consistency::Consistent, None));
        let info = daemon.describe(&id).unwrap();
        assert_eq!(info["znodes"].as_u64().unwrap(), summary.znodes);
    }
}
