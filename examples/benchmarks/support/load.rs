//! A tree to measure with, and other clients that write to it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinHandle;
use zk_backup_testkit::ZooKeeper;
use zookeeper_client as zk;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Znodes below each parent, where nothing else is said.
pub(crate) const BELOW: usize = 1_000;
/// Operations in one `multi`, and `multi`s under way.
const TOGETHER: usize = 256;
const UNDER_WAY: usize = 8;
/// Bytes in one `multi`: a server takes no more than 1 MiB.
const REQUEST: usize = 512 << 10;

/// A client whose session outlasts what is measured.
pub(crate) async fn connect(zookeeper: &ZooKeeper) -> Outcome<zk::Client> {
    let connector = zk::Client::connector().with_session_timeout(Duration::from_secs(60));
    Ok(connector.connect(&zookeeper.address()).await?)
}

/// Znodes of one size, as many below each parent.
#[derive(Clone, Copy)]
pub(crate) struct Tree {
    pub(crate) top: &'static str,
    pub(crate) znodes: usize,
    pub(crate) bytes: usize,
    pub(crate) below: usize,
}

impl Tree {
    pub(crate) fn parents(&self) -> impl Iterator<Item = String> + use<> {
        let top = self.top;
        (0..self.znodes.div_ceil(self.below)).map(move |i| format!("{top}/p{i:04}"))
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = String> + use<> {
        let (top, below) = (self.top, self.below);
        (0..self.znodes).map(move |i| format!("{top}/p{:04}/n{i:07}", i / below))
    }

    /// Data that zstd cannot make much smaller than they are.
    pub(crate) fn data(&self, path: &str) -> Vec<u8> {
        let mut state = path
            .bytes()
            .fold(7_u64, |a, b| a.wrapping_mul(31).wrapping_add(b.into()));
        let byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(byte).take(self.bytes).collect()
    }

    pub(crate) async fn create_parents(&self, client: &zk::Client) -> Outcome<()> {
        let parents: Vec<_> = std::iter::once(self.top.to_owned())
            .chain(self.parents())
            .collect();
        self.multis(client, &parents, |multi, path| {
            multi.add_create(
                path,
                b"",
                &zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all()),
            )
        })
        .await
    }

    pub(crate) async fn create(&self, client: &zk::Client) -> Outcome<()> {
        self.create_parents(client).await?;
        let paths: Vec<_> = self.paths().collect();
        self.multis(client, &paths, |multi, path| {
            let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
            multi.add_create(path, &self.data(path), &options)
        })
        .await
    }

    /// Gives other data to every `one_in`th znode.
    pub(crate) async fn change(&self, client: &zk::Client, one_in: usize) -> Outcome<()> {
        let paths: Vec<_> = self.paths().step_by(one_in).collect();
        self.multis(client, &paths, |multi, path| {
            multi.add_set_data(path, b"changed", None)
        })
        .await
    }

    pub(crate) async fn delete(&self, client: &zk::Client) -> Outcome<()> {
        let mut paths: Vec<_> = self.paths().chain(self.parents()).collect();
        paths.push(self.top.to_owned());
        self.multis(client, &paths, |multi, path| multi.add_delete(path, None))
            .await
    }

    /// Requests go out when they are made, so they keep the order of `paths`.
    async fn multis(
        &self,
        client: &zk::Client,
        paths: &[String],
        add: impl Fn(&mut zk::MultiWriter<'_>, &str) -> Result<(), zk::Error>,
    ) -> Outcome<()> {
        let together = TOGETHER.min(REQUEST / (self.bytes + 100)).max(1);
        stream::iter(paths.chunks(together))
            .map(|some| {
                let mut multi = client.new_multi_writer();
                let added = some.iter().try_for_each(|path| add(&mut multi, path));
                let answer = multi.commit();
                async move {
                    added?;
                    answer.await.map_err(zk::Error::from)
                }
            })
            .buffered(UNDER_WAY)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }
}

/// Other clients, at work until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<(), zk::Error>>,
}

impl Load {
    /// `per_second` `multi`s, each of which changes two of the tree's znodes.
    pub(crate) fn start(client: &zk::Client, tree: &Tree, per_second: u32) -> Self {
        let (client, stop) = (client.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let every = (tree.znodes / 400).max(1);
        let accounts: Vec<_> = tree.paths().step_by(every).collect();
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
            for turn in 0_usize.. {
                pace.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let mut multi = client.new_multi_writer();
                for i in [turn, turn * 31 + 1] {
                    multi.add_set_data(&accounts[i % accounts.len()], turn.to_string().as_bytes(), None)?;
                }
                multi.commit().await?;
            }
            Ok(())
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Outcome<()> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.task.await??)
    }
}
