//! How fast a backup and a restore are, compared with one request at a time on the same ZooKeeper in the same run,
//! and how much memory the server takes for them. The server is a process of its own: this program, started again.
//!
//! `cargo run --release --example bench -- --znodes 100000`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use zk_backup_testkit::{Daemon, Distribution, ZooKeeper};
use zookeeper_async::{Acl, CreateMode};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Set where this program is to be the server.
const SERVE: &str = "ZK_BACKUP_BENCH_SERVE";

/// Measures against a ZooKeeper of its own.
#[derive(Parser)]
struct Args {
    /// Znodes in the tree
    #[arg(long, default_value_t = 100_000)]
    znodes: usize,
    /// Bytes of data in each
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Znodes that are read and written one at a time
    #[arg(long, default_value_t = 10_000)]
    sample: usize,
    /// Runs, of which the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    if std::env::var_os(SERVE).is_some() {
        return Ok(zk_backup_daemon::run(zk_backup_daemon::Args::parse_from(["bench"])).await?);
    }
    let args = Args::parse();
    let zookeeper = ZooKeeper::start(&Distribution::locate()?)?;
    let (address, session) = (zookeeper.address(), Duration::from_secs(60));
    let nothing = |_: zookeeper_async::WatchedEvent| {};
    let client = zookeeper_async::ZooKeeper::connect(&address, session, nothing).await?;
    create(&client, "/bench", 0).await?;
    futures::future::try_join_all((0..args.znodes).map(|i| create_owned(&client, i, args.bytes))).await?;

    let sample = args.sample.min(args.znodes);
    let (mut reads, mut writes, mut backups, mut restores, mut compares) =
        (vec![], vec![], vec![], vec![], vec![]);
    let storage = tempfile::tempdir()?;
    let program = std::env::current_exe()?.display().to_string();
    let daemon = Daemon::start(&program, &address, storage.path(), &[(SERVE, "1")])?;
    for _ in 0..args.runs {
        reads.push(read_one_at_a_time(&client, sample).await?);
        create(&client, "/alone", 0).await?;
        let begun = Instant::now();
        for i in 0..sample {
            create(&client, &format!("/alone/n{i}"), args.bytes).await?;
        }
        writes.push(rate(sample, begun));
        clear(&client, "/alone").await?;

        let begun = Instant::now();
        let id = finish(&daemon, "/backup", "")?;
        backups.push(rate(args.znodes, begun));
        let restore = format!(r#"{{"vault": "{id}"}}"#);
        let begun = Instant::now();
        finish(&daemon, "/restore", &restore)?;
        compares.push(rate(args.znodes, begun));
        clear(&client, "/bench").await?;
        let begun = Instant::now();
        finish(&daemon, "/restore", &restore)?;
        restores.push(rate(args.znodes, begun));
    }

    println!(
        "{} znodes of {} bytes, median of {} runs",
        args.znodes, args.bytes, args.runs
    );
    println!("{:<52}{:>12}{:>12}", "", "znodes/s", "ratio");
    let (read, write) = (median(reads), median(writes));
    for (name, rate, base) in [
        ("read one at a time (data, children, ACL)", read, read),
        ("backup (compressed, checksummed, fsynced)", median(backups), read),
        ("create one at a time", write, write),
        ("restore into an empty tree", median(restores), write),
        ("restore where nothing differs", median(compares), read),
    ] {
        println!("{name:<52}{rate:>12.0}{:>12.1}", rate / base);
    }
    if let Some(kib) = daemon.peak_memory() {
        println!("peak memory of the server: {} MiB", kib / 1024);
    }
    Ok(())
}

fn finish(daemon: &Daemon, path: &str, body: &str) -> Outcome<String> {
    let (id, state) = daemon.do_job(path, body)?;
    if state.status == 200 {
        Ok(id)
    } else {
        Err(state.text.into())
    }
}

async fn read_one_at_a_time(client: &zookeeper_async::ZooKeeper, znodes: usize) -> Outcome<f64> {
    let begun = Instant::now();
    for i in 0..znodes {
        let path = format!("/bench/n{i}");
        client.get_data(&path, false).await?;
        client.get_children(&path, false).await?;
        client.get_acl(&path).await?;
    }
    Ok(rate(znodes, begun))
}

async fn create(client: &zookeeper_async::ZooKeeper, path: &str, bytes: usize) -> Outcome<()> {
    // Data that zstd cannot make much smaller than it is.
    let mut state = path
        .bytes()
        .fold(7_u64, |a, b| a.wrapping_mul(31).wrapping_add(b.into()));
    let byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let data = std::iter::repeat_with(byte).take(bytes).collect();
    client
        .create(path, data, Acl::open_unsafe().clone(), CreateMode::Persistent)
        .await?;
    Ok(())
}

async fn create_owned(client: &zookeeper_async::ZooKeeper, i: usize, bytes: usize) -> Outcome<()> {
    create(client, &format!("/bench/n{i}"), bytes).await
}

async fn clear(client: &zookeeper_async::ZooKeeper, top: &str) -> Outcome<()> {
    let children = client.get_children(top, false).await?;
    let paths: Vec<_> = children.iter().map(|name| format!("{top}/{name}")).collect();
    futures::future::try_join_all(paths.iter().map(|path| client.delete(path, None))).await?;
    Ok(client.delete(top, None).await?)
}

fn rate(znodes: usize, begun: Instant) -> f64 {
    znodes as f64 / begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
