//! How fast backups and restores are with a bucket, beside the local disk and beside what `object_store` alone uploads and
//! downloads in parallel, in the same run; and how much memory the server takes. `docs/PERFORMANCE.md` explains the table.
//!
//! `cargo run --release --example bench_s3`
#![allow(clippy::print_stdout)]

#[path = "support/buckets.rs"]
mod buckets;
#[path = "support/load.rs"]
#[allow(dead_code)] // this one has no other clients
mod load;

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use load::{BELOW, Tree};
use zk_backup_testkit::{Daemon, Distribution, S3Server, ZooKeeper};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Set where this program is to be the server.
const SERVE: &str = "ZK_BACKUP_BENCH_SERVE";
/// Trees: znodes, and the bytes of each, which cannot be compressed.
const TREES: [(usize, usize); 2] = [(100_000, 200), (10_000, 100 << 10)];

/// Measures against a ZooKeeper and an S3 server of its own.
#[derive(Parser)]
struct Args {
    /// Runs, of which the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Of each tree only one znode in so many
    #[arg(long, default_value_t = 1)]
    one_in: usize,
}

#[global_allocator]
static ALLOCATOR: zk_backup_daemon::Jemalloc = zk_backup_daemon::Jemalloc;

#[tokio::main]
async fn main() -> Outcome<()> {
    if std::env::var_os(SERVE).is_some() {
        return Ok(zk_backup_daemon::run(zk_backup_daemon::Args::parse_from(["bench"])).await?);
    }
    let args = Args::parse();
    for (znodes, bytes) in TREES {
        measure(&args, znodes / args.one_in, bytes).await?;
    }
    Ok(())
}

/// One row: how long each run took, and the highest memory in KiB.
#[derive(Default)]
struct Row {
    took: Vec<Duration>,
    memory: Option<u64>,
}

impl Row {
    fn note(&mut self, took: Duration, memory: Option<u64>) {
        self.took.push(took);
        self.memory = self.memory.max(memory);
    }

    fn median(&self) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort();
        sorted
            .get(sorted.len() / 2)
            .copied()
            .unwrap_or_default()
            .as_secs_f64()
    }
}

async fn measure(args: &Args, znodes: usize, bytes: usize) -> Outcome<()> {
    let zookeeper = ZooKeeper::start(&Distribution::locate()?)?;
    let tree = Tree {
        top: "/bench",
        znodes,
        bytes,
        below: BELOW,
    };
    tree.create(&load::connect(&zookeeper).await?).await?;
    let s3 = S3Server::start()?;
    let (url, program) = (s3.url(), std::env::current_exe()?.display().to_string());
    let storages = [tempfile::tempdir()?, tempfile::tempdir()?];
    let start = |storage: &tempfile::TempDir, settings: &[(&str, &str)]| {
        let all = [&[(SERVE, "1")], settings].concat();
        Daemon::start(&program, &zookeeper.address(), storage.path(), &all)
    };
    let disk = start(&storages[0], &[])?;
    let bucket = start(&storages[1], &buckets::in_bucket(&url))?;
    let servers = [&disk, &bucket];
    let mut rows: [Row; 6] = Default::default();
    for server in servers {
        job(server, "/backup", "")?; // so that it knows the ACLs
    }
    for _ in 0..args.runs {
        for (row, server) in servers.into_iter().enumerate() {
            let (id, took, memory) = job(server, "/backup", "")?;
            rows[row].note(took, memory);
            let (_, took, memory) = job(server, "/restore", &format!(r#"{{"vault": "{id}"}}"#))?;
            rows[3 + row].note(took, memory);
        }
        let (up, down) = buckets::alone(&s3, znodes * bytes).await?;
        rows[2].note(up, None);
        rows[5].note(down, None);
    }
    println!("{znodes} znodes of {bytes} bytes, median of {} runs", args.runs);
    println!("{:<44}{:>9}{:>9}{:>11}", "", "MB/s", "of disk", "peak MiB");
    let names = [
        "backup, warm, local disk",
        "backup, warm, bucket",
        "upload by object_store alone",
        "restore where nothing differs, local disk",
        "restore where nothing differs, bucket",
        "download by object_store alone",
    ];
    for (index, (name, row)) in names.into_iter().zip(&rows).enumerate() {
        let disk = rows[index / 3 * 3].median();
        let memory = row.memory.map_or(String::new(), |kib| (kib / 1024).to_string());
        println!(
            "{name:<44}{:>9.1}{:>8.0}%{memory:>11}",
            (znodes * bytes) as f64 / 1e6 / row.median(),
            disk / row.median() * 100.0,
        );
    }
    println!();
    Ok(())
}

/// Does a job: its id, how long it took, and the peak of memory.
fn job(server: &Daemon, path: &str, body: &str) -> Outcome<(String, Duration, Option<u64>)> {
    server.forget_peak_memory();
    let begun = Instant::now();
    let (id, state) = tokio::task::block_in_place(|| server.do_job(path, body))?;
    let took = begun.elapsed();
    match state.status {
        200 => Ok((id, took, server.peak_memory())),
        _ => Err(state.text.into()),
    }
}
