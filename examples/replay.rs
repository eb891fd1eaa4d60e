//! How fast a server's files become one clean snapshot, beside reading the same snapshot and checking its Adler-32, in
//! the same run. `docs/PERFORMANCE.md` explains the table.
//!
//! `cargo run --release --example replay -- --znodes 1000000`
#![allow(clippy::print_stdout)]

#[allow(dead_code)]
#[path = "support/load.rs"]
mod load;

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use load::Tree;
use zk_backup_testkit::{Distribution, ZooKeeper};
use zk_snapshot::{DataDirs, gather};
use zookeeper_client as zk;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measures with the files of a ZooKeeper of its own.
#[derive(Parser)]
struct Args {
    /// Znodes in the tree, a thousand below each parent
    #[arg(long, default_value_t = 1_000_000)]
    znodes: usize,
    /// Bytes of data in each
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// One in so many changes after the snapshot
    #[arg(long, default_value_t = 100)]
    changed: usize,
    /// Runs, of which the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let args = Args::parse();
    let mut zookeeper = ZooKeeper::start(&Distribution::locate()?)?;
    let tree = Tree {
        top: "/bench",
        znodes: args.znodes,
        bytes: args.bytes,
        below: load::BELOW,
    };
    let connector = zk::Client::connector().with_session_timeout(Duration::from_secs(60));
    tree.create(&connector.clone().connect(&zookeeper.address()).await?)
        .await?;
    zookeeper.restart()?; // which takes a snapshot
    let client = connector.connect(&zookeeper.address()).await?;
    tree.change(&client, args.changed).await?;
    drop(client);
    zookeeper.kill();

    let data = zookeeper.data_directory();
    let dirs = DataDirs {
        log: data.clone(),
        data,
    };
    let target = tempfile::tempdir()?;
    let (mut floors, mut replays, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bytes, mut replayed) = (0, 0);
    for _ in 0..args.runs {
        let begun = Instant::now();
        let gathered = gather(&dirs, None)?;
        replays.push(begun.elapsed());
        let path = target.path().join("snapshot");
        let begun = Instant::now();
        let mut file = File::create(&path)?;
        gathered.tree.write(|part, _| file.write_all(part))?;
        writes.push(begun.elapsed());
        bytes = file.metadata()?.len();
        replayed = gathered.report.replayed;
        drop(gathered);
        let begun = Instant::now();
        check(&path)?;
        floors.push(begun.elapsed());
    }
    println!(
        "{} znodes of {} bytes, {replayed} transactions after the snapshot, median of {} runs",
        args.znodes, args.bytes, args.runs
    );
    println!("{:36}{:>8}{:>8}{:>10}", "", "ms", "MB/s", "of floor");
    let floor = median(floors);
    let (replay, write) = (median(replays), median(writes));
    for (name, time) in [
        ("read and check the Adler-32", floor),
        ("load and replay", replay),
        ("write", write),
        ("load, replay and write", replay + write),
    ] {
        let speed = bytes as f64 / 1e6 / time.as_secs_f64();
        let ratio = 100.0 * floor.as_secs_f64() / time.as_secs_f64();
        println!("{name:36}{:>8}{speed:>8.0}{ratio:>9.0}%", time.as_millis());
    }
    Ok(())
}

/// The floor: what anybody who wants to know whether a snapshot is whole has to do.
fn check(path: &Path) -> Outcome<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
    let mut adler = simd_adler32::Adler32::new();
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => adler.write(&buffer[..read]),
        }
    }
    std::hint::black_box(adler.finish());
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
