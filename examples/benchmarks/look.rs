//! How long it takes to look into a backup, in both modes: what the HTTP API does for `GET /listbackups/<id>/znodes`.
//! `docs/PERFORMANCE.md` explains the table.
//!
//! `cargo run --release --example look -- --znodes 1000000`
#![allow(clippy::print_stdout)]

#[allow(dead_code)]
#[path = "support/load.rs"]
mod load;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backup_engine::{BackupRequest, Driver, Engine, FilesSource, Mode, Page, ZooKeeperEnsemble};
use clap::Parser;
use load::Tree;
use zk_backup_testkit::{Distribution, ZooKeeper};
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::files::DataDirs;
use zk_snapshot::tree::ZnodePath;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measures with a ZooKeeper of its own.
#[derive(Parser)]
struct Args {
    /// Znodes in the tree
    #[arg(long, default_value_t = 1_000_000)]
    znodes: usize,
    /// Bytes of data in each
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Znodes below each parent
    #[arg(long, default_value_t = load::BELOW)]
    below: usize,
    /// Runs after the first, of which the median counts
    #[arg(long, default_value_t = 9)]
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
        below: args.below,
    };
    tree.create(&load::connect(&zookeeper).await?).await?;
    zookeeper.restart()?; // which takes a snapshot

    let dirs = DataDirs::same(zookeeper.data_directory());
    let storage = tempfile::tempdir()?;
    let config = BatchedConfig::new(zookeeper.address());
    let engine = Engine::builder(Arc::new(ZooKeeperEnsemble::new(config, Driver::Auto)))
        .storage(storage.path())?
        .states(vec![Arc::new(FilesSource(dirs))])
        .build()?;
    println!(
        "{} znodes of {} bytes, median of {} runs",
        args.znodes, args.bytes, args.runs
    );
    println!("{:16}{:30}{:>10}{:>10}", "", "children of", "children", "ms");
    let parent = tree
        .parents()
        .nth(args.znodes / args.below / 2)
        .unwrap_or_default();
    for mode in [Mode::Hierarchical, Mode::Transactional] {
        let id = engine
            .backup(BackupRequest {
                mode,
                ..BackupRequest::default()
            })
            .await?;
        while engine.step().await? {}
        let begun = Instant::now();
        let first = engine.znodes(&id, ZnodePath::root(), page()).await?;
        row(mode, "/, the first of all", first.total, begun.elapsed());
        for path in ["/", tree.top, &parent] {
            let mut times = Vec::new();
            let mut children = 0;
            for _ in 0..=args.runs {
                let begun = Instant::now();
                children = engine.znodes(&id, ZnodePath::parse(path)?, page()).await?.total;
                times.push(begun.elapsed());
            }
            row(
                mode,
                &format!("{path}, the first time"),
                children,
                times.remove(0),
            );
            times.sort();
            row(mode, path, children, times[times.len() / 2]);
        }
    }
    Ok(())
}

fn page() -> Page {
    Page {
        offset: 0,
        limit: 1_000,
    }
}

fn row(mode: Mode, path: &str, children: usize, time: Duration) {
    let ms = time.as_secs_f64() * 1e3;
    println!("{:16}{path:30}{children:>10}{ms:>10.1}", mode.as_str());
}
