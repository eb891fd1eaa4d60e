//! How much memory the server takes where much data meet: each case has 286 MiB of them. `docs/PERFORMANCE.md` has the
//! figures. The server is a process of its own: this program, started again.
//!
//! `cargo run --release --example memory`
#![allow(clippy::print_stdout)]

#[path = "support/buckets.rs"]
#[allow(dead_code)] // nothing is timed here
mod buckets;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use futures::stream::{self, StreamExt, TryStreamExt};
use zk_backup_testkit::{Daemon, Distribution, S3Server, SUPER_PASSWORD, ZooKeeper};
use zookeeper_client as zk;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Set where this program is to be the server.
const SERVE: &str = "ZK_BACKUP_BENCH_SERVE";
/// Znodes of this many bytes each.
const ZNODES: usize = 300;
const BYTES: usize = 1_000_000;
/// What no case may exceed, in MiB.
const BOUND: u64 = 200;

/// Measures against a ZooKeeper of its own.
#[derive(Parser)]
struct Args {
    /// Keep the backups in a bucket
    #[arg(long)]
    s3: bool,
}

struct Bench {
    zookeeper: ZooKeeper,
    client: zk::Client,
    storage: tempfile::TempDir,
    s3: Option<S3Server>,
}

#[global_allocator]
static ALLOCATOR: zk_backup_daemon::Jemalloc = zk_backup_daemon::Jemalloc;

#[tokio::main]
async fn main() -> Outcome<()> {
    if std::env::var_os(SERVE).is_some() {
        return Ok(zk_backup_daemon::run(zk_backup_daemon::Args::parse_from(["memory"])).await?);
    }
    let args = Args::parse();
    let zookeeper = ZooKeeper::start(&Distribution::locate()?)?;
    let identity = format!("super:{SUPER_PASSWORD}");
    let connector = zk::Client::connector()
        .with_session_timeout(Duration::from_secs(60))
        .with_auth("digest", identity.as_bytes());
    let client = connector.connect(&zookeeper.address()).await?;
    let bench = Bench {
        zookeeper,
        client,
        storage: tempfile::tempdir()?,
        s3: args.s3.then(S3Server::start).transpose()?,
    };
    println!("{ZNODES} znodes of {BYTES} bytes: peak of the server's memory, MiB");
    let mut worst = 0;
    for (case, peak) in [
        (
            "a parent that cannot be created",
            bench.a_parent_that_cannot_be_created().await?,
        ),
        (
            "a level of znodes that the backup lacks",
            bench.what_the_backup_lacks().await?,
        ),
        (
            "live data larger than the backup's",
            bench.live_data_are_larger().await?,
        ),
        (
            "restrictive parents, restored without identity",
            bench.restrictive_parents().await?,
        ),
        (
            "all of it changes while it is captured",
            bench.all_changes_meanwhile().await?,
        ),
    ] {
        println!("{case:<50} {peak:>6}");
        worst = worst.max(peak);
    }
    if worst > BOUND {
        return Err(format!("{worst} MiB are more than {BOUND}").into());
    }
    Ok(())
}

fn open<'a>() -> zk::CreateOptions<'a> {
    zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all())
}

fn data(seed: usize, bytes: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(byte).take(bytes).collect()
}

impl Bench {
    fn server(&self, settings: &[(&str, &str)]) -> Outcome<Daemon> {
        let program = std::env::current_exe()?.display().to_string();
        let mut all = vec![(SERVE, "1")];
        all.extend(settings);
        let url = self.s3.as_ref().map(S3Server::url);
        all.extend(url.iter().flat_map(|url| buckets::in_bucket(url)));
        Ok(Daemon::start(
            &program,
            &self.zookeeper.address(),
            self.storage(),
            &all,
        )?)
    }

    fn storage(&self) -> &Path {
        self.storage.path()
    }

    fn as_super(&self) -> Outcome<Daemon> {
        self.server(&[
            ("ZOOKEEPER_DIGEST_USERNAME", "super"),
            ("ZOOKEEPER_DIGEST_PASSWORD", SUPER_PASSWORD),
        ])
    }

    async fn create(&self, parent: &str, bytes: usize) -> Outcome<()> {
        let paths = (0..ZNODES).map(|i| (i, format!("{parent}/n{i:03}")));
        stream::iter(paths)
            .map(|(i, path)| async move {
                self.client
                    .create(&path, &data(i, bytes), &open())
                    .await
                    .map(drop)
            })
            .buffered(4)
            .try_collect::<()>()
            .await?;
        Ok(())
    }

    async fn delete(&self, parent: &str) -> Outcome<()> {
        let mut waiting = vec![parent.to_owned()];
        let mut all = Vec::new();
        while let Some(path) = waiting.pop() {
            let children = self.client.list_children(&path).await?;
            waiting.extend(children.iter().map(|name| format!("{path}/{name}")));
            all.push(path);
        }
        for path in all.iter().rev() {
            self.client.delete(path, None).await?;
        }
        Ok(())
    }

    async fn job(&self, daemon: &Daemon, path: &str, body: &str) -> Outcome<(String, u64)> {
        daemon.forget_peak_memory();
        let (id, _) = tokio::task::block_in_place(|| daemon.do_job(path, body))?;
        let kib = daemon
            .peak_memory()
            .ok_or("the peak of memory cannot be read here")?;
        Ok((id, kib / 1024))
    }

    /// Nobody but eve may create below `/case`, and nobody may let us.
    async fn a_parent_that_cannot_be_created(&self) -> Outcome<u64> {
        self.client.create("/case", b"", &open()).await?;
        self.client.create("/case/parent", b"", &open()).await?;
        self.create("/case/parent", BYTES).await?;
        let (id, _) = self
            .job(&self.as_super()?, "/backup", r#"{"dbs": ["case"]}"#)
            .await?;
        self.delete("/case/parent").await?;
        let shut = [zk::Acl::new(zk::Permission::READ, zk::AuthId::anyone())];
        self.client.set_acl("/case", &shut, None).await?;
        let body = format!(r#"{{"vault": "{id}", "policy": "merge"}}"#);
        let (_, peak) = self.job(&self.server(&[])?, "/restore", &body).await?;
        self.delete("/case").await?;
        Ok(peak)
    }

    async fn what_the_backup_lacks(&self) -> Outcome<u64> {
        self.client.create("/case", b"", &open()).await?;
        let daemon = self.as_super()?;
        let (id, _) = self.job(&daemon, "/backup", r#"{"dbs": ["case"]}"#).await?;
        self.create("/case", BYTES).await?;
        let (_, peak) = self
            .job(&daemon, "/restore", &format!(r#"{{"vault": "{id}"}}"#))
            .await?;
        self.delete("/case").await?;
        Ok(peak)
    }

    async fn live_data_are_larger(&self) -> Outcome<u64> {
        self.client.create("/case", b"", &open()).await?;
        self.create("/case", 10).await?;
        let daemon = self.as_super()?;
        let (id, _) = self.job(&daemon, "/backup", r#"{"dbs": ["case"]}"#).await?;
        for i in 0..ZNODES {
            self.client
                .set_data(&format!("/case/n{i:03}"), &data(i, BYTES), None)
                .await?;
        }
        let (_, peak) = self
            .job(&daemon, "/restore", &format!(r#"{{"vault": "{id}"}}"#))
            .await?;
        self.delete("/case").await?;
        Ok(peak)
    }

    /// Their data may only be written when nothing is left to be done below them.
    async fn restrictive_parents(&self) -> Outcome<u64> {
        self.client.create("/case", b"", &open()).await?;
        self.create("/case", BYTES).await?;
        let eve = zk::AuthId::new("digest", "eve:tPVS62yQF/M0lNvU6mzotOuRJxo=");
        let only_eve = [zk::Acl::new(zk::Permission::ALL, eve)];
        for i in 0..ZNODES {
            self.client
                .create(&format!("/case/n{i:03}/child"), b"", &open())
                .await?;
            self.client
                .set_acl(&format!("/case/n{i:03}"), &only_eve, None)
                .await?;
        }
        let (id, _) = self
            .job(&self.as_super()?, "/backup", r#"{"dbs": ["case"]}"#)
            .await?;
        self.delete("/case").await?;
        let (_, peak) = self
            .job(&self.server(&[])?, "/restore", &format!(r#"{{"vault": "{id}"}}"#))
            .await?;
        self.delete("/case").await?;
        Ok(peak)
    }

    /// Everything is written again and again until the capture is over.
    async fn all_changes_meanwhile(&self) -> Outcome<u64> {
        self.client.create("/case", b"", &open()).await?;
        self.create("/case", BYTES).await?;
        let daemon = self.as_super()?;
        let (over, mut is_over) = tokio::sync::oneshot::channel::<()>();
        let client = self.client.clone();
        let writing = tokio::spawn(async move {
            for i in (0..ZNODES).cycle() {
                if is_over.try_recv().is_ok() {
                    break;
                }
                client
                    .set_data(&format!("/case/n{i:03}"), &data(i + 7, BYTES), None)
                    .await?;
            }
            Ok::<_, zk::Error>(())
        });
        let (_, peak) = self.job(&daemon, "/backup", r#"{"dbs": ["case"]}"#).await?;
        let _ = over.send(()); // it may have failed already, which the next line says
        writing.await??;
        self.delete("/case").await?;
        Ok(peak)
    }
}
