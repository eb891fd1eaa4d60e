//! How fast a server's files become one clean snapshot, beside reading the same snapshot and checking its Adler-32, in
//! the same run. `docs/PERFORMANCE.md` explains the table.
//!
//! `cargo run --release --example replay -- --znodes 1000000`
#![allow(clippy::print_stdout)]

#[allow(dead_code)]
#[path = "support/load.rs"]
mod load;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use load::Tree;
use zk_backup_testkit::{Distribution, ZooKeeper};
use zk_snapshot::files::{DataDirs, gather};

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
    tree.create(&load::connect(&zookeeper).await?).await?;
    zookeeper.restart()?; // which takes a snapshot
    tree.change(&load::connect(&zookeeper).await?, args.changed)
        .await?;
    zookeeper.kill();

    let dirs = DataDirs::same(zookeeper.data_directory());
    println!(
        "{} znodes of {} bytes, median of {} runs",
        args.znodes, args.bytes, args.runs
    );
    for cold in [true, false] {
        let measured = measure(&dirs, args.runs, cold)?;
        measured.print(if cold { "from the disk" } else { "from memory" });
    }
    Ok(())
}

#[derive(Default)]
struct Measured {
    bytes: u64,
    replayed: u64,
    floor: Vec<Duration>,
    copy: Vec<Duration>,
    replay: Vec<Duration>,
    write: Vec<Duration>,
}

/// Measures everything as often as `runs` says. Where it is `cold`, the files have to be read from the disk.
fn measure(dirs: &DataDirs, runs: usize, cold: bool) -> Outcome<Measured> {
    let target = tempfile::tempdir()?;
    let path = target.path().join("snapshot");
    let mut measured = Measured::default();
    let begin = || {
        if cold {
            forget(&dirs.data)?;
        }
        Ok::<_, Box<dyn Error>>(Instant::now())
    };
    for _ in 0..runs {
        let begun = begin()?;
        let gathered = gather(dirs, None)?;
        measured.replay.push(begun.elapsed());
        let begun = Instant::now();
        let mut file = File::create(&path)?;
        gathered.tree.write(|part, _| file.write_all(part))?;
        measured.write.push(begun.elapsed());
        measured.bytes = file.metadata()?.len();
        measured.replayed = gathered.report.replayed;
        let source = dirs.data.join(&gathered.report.snapshot);
        drop((gathered, file));
        fs::remove_file(&path)?;
        let begun = begin()?;
        check(&source, &mut io::sink())?;
        measured.floor.push(begun.elapsed());
        let begun = begin()?;
        check(&source, &mut File::create(&path)?)?;
        measured.copy.push(begun.elapsed());
        fs::remove_file(&path)?;
    }
    Ok(measured)
}

/// Has the system hold nothing of the files in memory.
fn forget(directory: &Path) -> Outcome<()> {
    for entry in fs::read_dir(directory)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

impl Measured {
    fn print(self, from: &str) {
        let (floor, replay, write) = (median(self.floor), median(self.replay), median(self.write));
        let title = format!("{from}, {} transactions after it", self.replayed);
        println!("{title:40}{:>8}{:>8}{:>10}", "ms", "MB/s", "of floor");
        for (name, time) in [
            ("read and check the Adler-32", floor),
            ("the same, and write what was read", median(self.copy)),
            ("load and replay", replay),
            ("write", write),
            ("load, replay and write", replay + write),
        ] {
            let speed = self.bytes as f64 / 1e6 / time.as_secs_f64();
            let ratio = 100.0 * floor.as_secs_f64() / time.as_secs_f64();
            println!("  {name:38}{:>8}{speed:>8.0}{ratio:>9.0}%", time.as_millis());
        }
    }
}

/// The floor: what anybody who wants to know whether a snapshot is whole has to do. Nobody writes it again in less time
/// than it takes to copy it as well.
fn check(path: &Path, out: &mut impl Write) -> Outcome<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
    let mut adler = simd_adler32::Adler32::new();
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => {
                adler.write(&buffer[..read]);
                out.write_all(&buffer[..read])?;
            }
        }
    }
    std::hint::black_box(adler.finish());
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
