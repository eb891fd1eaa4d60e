//! How long the engine takes to tell of many vaults: health, metrics, what the policies would evict, the list.
//! `docs/PERFORMANCE.md` has the figures.
//!
//! `cargo run --release --example many_vaults -- --vaults 10000`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backup_engine::{Engine, MemoryEnsemble};
use clap::Parser;
use vault_store::{FileName, FsStore, Manifest, Mode, Outcome, VaultId, VaultStore as _};
use zk_snapshot::tree::MemoryTree;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures over vaults in a directory of its own.
#[derive(Parser)]
struct Args {
    /// How many
    #[arg(long, default_value_t = 10_000)]
    vaults: usize,
    /// How often each question is asked
    #[arg(long, default_value_t = 21)]
    times: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let storage = tempfile::tempdir()?;
    fill(storage.path(), args.vaults)?;
    let ensemble = Arc::new(MemoryEnsemble::new(Arc::new(MemoryTree::new())));
    let engine = Engine::builder(ensemble).storage(storage.path())?.build()?;
    println!(
        "{} vaults; ms, the median of {} and the longest",
        args.vaults, args.times
    );
    let begun = Instant::now();
    let found = engine.health().await.storage.backups;
    println!("{:<22}{:>9.1}", "health, the first", ms(begun.elapsed()));
    if found != args.vaults {
        return Err(format!("{found} vaults were found").into());
    }
    show(
        "health",
        &measure(args.times, async || drop(engine.health().await)).await,
    );
    show(
        "metrics",
        &measure(args.times, async || drop(engine.metrics().await)).await,
    );
    show(
        "evict, dry run",
        &measure(args.times, async || drop(engine.evict(true).await)).await,
    );
    show(
        "list",
        &measure(args.times, async || drop(engine.list().await)).await,
    );
    Ok(())
}

/// Backups an hour apart, as they are after a year.
fn fill(storage: &Path, vaults: usize) -> Result<()> {
    let store = FsStore::open(storage)?;
    let mut id: VaultId = "20200101T000000".parse()?;
    for _ in 0..vaults {
        let mut stage = store.stage(&id)?;
        let mut manifest = Manifest::new(&id, Mode::Hierarchical, id.time(), Outcome::Complete);
        for (name, bytes) in [
            ("archive.zst", &[7; 4_096][..]),
            ("acls.idx", &[7; 64]),
            ("job.log", b"log\n"),
        ] {
            manifest.files.push(stage.put(&name.parse::<FileName>()?, bytes)?);
        }
        stage.commit(&manifest)?;
        id = VaultId::from_time(id.time() + time::Duration::HOUR).ok_or("no later id")?;
    }
    Ok(())
}

async fn measure(times: usize, ask: impl AsyncFn()) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..times {
        let begun = Instant::now();
        ask().await;
        took.push(begun.elapsed());
    }
    took.sort();
    took
}

fn show(what: &str, took: &[Duration]) {
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{what:<22}{:>9.1}{:>9.1}", ms(median), ms(longest));
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}
