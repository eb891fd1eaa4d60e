//! How fast backups and restores are, beside one request at a time and beside what the server can do at all, in the
//! same run on the same ZooKeeper; and how much memory the server takes for them. The server is a process of its
//! own: this program, started again. `docs/PERFORMANCE.md` explains the table.
//!
//! `cargo run --release --example bench -- --znodes 100000`
#![allow(clippy::print_stdout)]

mod support;

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use futures::stream::{self, StreamExt, TryStreamExt};
use support::load::{self, BELOW, Load, Tree};
use support::table::Table;
use zk_backup_testkit::{Daemon, Distribution, ZooKeeper};
use zookeeper_client as zk;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Set where this program is to be the server.
const SERVE: &str = "ZK_BACKUP_BENCH_SERVE";
/// Small `multi`s a second that other clients send meanwhile, in one row.
const LOAD: u32 = 500;

/// Measures against a ZooKeeper of its own.
#[derive(Parser)]
struct Args {
    /// Znodes in the tree, a thousand below each parent
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
    /// Leave out the plain adapter
    #[arg(long)]
    skip_plain: bool,
    /// Also a server that encrypts, beside one that does not
    #[arg(long)]
    encrypt: bool,
}

/// A key that everybody knows.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

#[global_allocator]
static ALLOCATOR: zk_backup_daemon::Jemalloc = zk_backup_daemon::Jemalloc;

#[tokio::main]
async fn main() -> Outcome<()> {
    if std::env::var_os(SERVE).is_some() {
        return Ok(zk_backup_daemon::run(zk_backup_daemon::Args::parse_from(["bench"])).await?);
    }
    let args = Args::parse();
    let zookeeper = ZooKeeper::start(&Distribution::locate()?)?;
    let tree = Tree {
        top: "/bench",
        znodes: args.znodes,
        bytes: args.bytes,
        below: BELOW,
    };
    let session = Duration::from_secs(60);
    let client = load::connect(&zookeeper).await?;
    let nothing = |_: zookeeper_async::WatchedEvent| {};
    let alone = zookeeper_async::ZooKeeper::connect(&zookeeper.address(), session, nothing).await?;
    let usual = Server::start(&zookeeper, &[])?;
    let unvalidated = Server::start(&zookeeper, &[("CONSISTENCY_ROUNDS", "0")])?;
    let plain = Server::start(&zookeeper, &[("ZOOKEEPER_DRIVER", "plain")])?;
    let keys = tempfile::tempdir()?;
    let identity = keys.path().join("identity.txt");
    std::fs::write(&identity, IDENTITY)?;
    let identity = identity.display().to_string();
    let keys = [
        ("ENCRYPTION_RECIPIENTS", RECIPIENT),
        ("ENCRYPTION_IDENTITY_FILE", &*identity),
    ];
    let sealing = args.encrypt.then(|| Server::start(&zookeeper, &keys));
    let sealing = sealing.transpose()?;

    let mut table = Table::new(args.znodes, args.bytes);
    let sample = args.sample.min(args.znodes);
    tree.create(&client).await?;
    for _ in 0..args.runs {
        read_alone(&alone, &tree, sample, &mut table).await?;
        table
            .time("read floor (multiRead, thrown away)", || {
                read_floor(&client, &tree)
            })
            .await?;
        if !args.skip_plain {
            plain.back_up(&mut table, "backup, plain adapter").await?;
        }
        usual.forget_all()?;
        usual
            .back_up(&mut table, "backup, cold (every ACL asked for)")
            .await?;
        usual.back_up(&mut table, "backup, warm (ACLs known)").await?;
        unvalidated.daemon.do_job("/backup", "")?; // so that it knows the ACLs
        unvalidated
            .back_up(&mut table, "backup, warm, not validated")
            .await?;
        if let Some(sealing) = &sealing {
            sealing.daemon.do_job("/backup", "")?; // so that it knows the ACLs
            let id = sealing.back_up(&mut table, "backup, warm, encrypted").await?;
            sealing
                .restore(&mut table, "restore where nothing differs, encrypted", &id)
                .await?;
        }
        let load = Load::start(&client, &tree, LOAD);
        usual
            .back_up(&mut table, "backup, warm, under 500 writes/s")
            .await?;
        load.stop().await?;
        let id = usual.back_up(&mut table, "backup, warm, again").await?;

        usual.restores(&mut table, &id, &tree, &client).await?;
        table
            .time("write floor (multi of creates)", || tree.create(&client))
            .await?;
        let few = Tree {
            top: "/alone",
            znodes: sample,
            ..tree
        };
        write_alone((&client, &alone), &few, &mut table).await?;
    }
    table.print();
    Ok(())
}

/// The server under measurement.
struct Server {
    daemon: Daemon,
    storage: tempfile::TempDir,
}

impl Server {
    /// With a storage of its own.
    fn start(zookeeper: &ZooKeeper, settings: &[(&str, &str)]) -> Outcome<Self> {
        let storage = tempfile::tempdir()?;
        let program = std::env::current_exe()?.display().to_string();
        let all = [&[(SERVE, "1")], settings].concat();
        let daemon = Daemon::start(&program, &zookeeper.address(), storage.path(), &all)?;
        Ok(Self { daemon, storage })
    }

    async fn back_up(&self, table: &mut Table, row: &'static str) -> Outcome<String> {
        self.job(table, row, "/backup", "")
    }

    async fn restore(&self, table: &mut Table, row: &'static str, id: &str) -> Outcome<()> {
        self.job(table, row, "/restore", &format!(r#"{{"vault": "{id}"}}"#))?;
        Ok(())
    }

    /// Restores to more and more that differs; there is no tree afterwards.
    async fn restores(&self, table: &mut Table, id: &str, tree: &Tree, client: &zk::Client) -> Outcome<()> {
        self.restore(table, "restore where nothing differs", id).await?;
        tree.change(client, 100).await?;
        self.restore(table, "restore of 1% that changed", id).await?;
        tree.delete(client).await?;
        self.restore(table, "restore into an empty tree", id).await?;
        tree.delete(client).await
    }

    fn job(&self, table: &mut Table, row: &'static str, path: &str, body: &str) -> Outcome<String> {
        self.daemon.forget_peak_memory();
        let begun = Instant::now();
        let (id, state) = tokio::task::block_in_place(|| self.daemon.do_job(path, body))?;
        let took = begun.elapsed();
        if state.status != 200 {
            return Err(state.text.into());
        }
        table.job(row, took, self.daemon.peak_memory());
        if path == "/backup" {
            let info = self.daemon.describe(&id)?;
            table.note(row, info["consistency"].as_str().unwrap_or_default());
        }
        Ok(id)
    }

    /// Removes every backup, so that the next one knows nothing.
    fn forget_all(&self) -> Outcome<()> {
        let ids = self.daemon.http.get("/listbackups")?.json();
        for id in ids.as_array().into_iter().flatten().filter_map(|id| id.as_str()) {
            self.daemon.http.post(&format!("/evict/{id}"), "")?;
        }
        debug_assert!(self.storage.path().is_dir());
        Ok(())
    }
}

/// Reads so many znodes as the predecessor does.
async fn read_alone(
    alone: &zookeeper_async::ZooKeeper,
    tree: &Tree,
    znodes: usize,
    table: &mut Table,
) -> Outcome<()> {
    let begun = Instant::now();
    for path in tree.paths().take(znodes) {
        alone.get_data(&path, false).await?;
        alone.get_children(&path, false).await?;
        alone.get_acl(&path).await?;
    }
    let row = "read one at a time (data, children, ACL)";
    table.sample(row, znodes, begun.elapsed());
    Ok(())
}

/// Creates the tree one znode at a time, looking before or not. The first of the clients makes room for it.
async fn write_alone(
    (client, alone): (&zk::Client, &zookeeper_async::ZooKeeper),
    tree: &Tree,
    table: &mut Table,
) -> Outcome<()> {
    for (row, look) in [
        ("restore one at a time (look, create)", true),
        ("create one at a time", false),
    ] {
        tree.create_parents(client).await?;
        let begun = Instant::now();
        for path in tree.paths() {
            if look {
                alone.exists(&path, false).await?;
            }
            let open = zookeeper_async::Acl::open_unsafe().clone();
            let mode = zookeeper_async::CreateMode::Persistent;
            alone.create(&path, tree.data(&path), open, mode).await?;
        }
        table.sample(row, tree.znodes, begun.elapsed());
        tree.delete(client).await?;
    }
    Ok(())
}

/// Reads every znode in the largest requests, as many under way as a backup has, and keeps nothing.
async fn read_floor(client: &zk::Client, tree: &Tree) -> Outcome<()> {
    let parents: Vec<String> = tree.parents().collect();
    let paths: Vec<String> = tree.paths().collect();
    let mut reads = Vec::new();
    for some in parents.chunks(64) {
        reads.push((some, true));
    }
    for some in paths.chunks(((8 << 20) / (tree.bytes + 100)).clamp(1, 256)) {
        reads.push((some, false));
    }
    stream::iter(reads)
        .map(|(some, children)| {
            let mut reader = client.new_multi_reader();
            let added = some.iter().try_for_each(|path| {
                if children {
                    reader.add_get_children(path)
                } else {
                    reader.add_get_data(path)
                }
            });
            let answer = reader.commit();
            async move {
                added?;
                answer.await
            }
        })
        .buffered(4)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(())
}
