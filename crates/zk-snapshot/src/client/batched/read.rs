//! Reading many znodes at once, and watching them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout_at};
use zookeeper_client as zk;

use super::session::{Session, is_lost, is_undecodable};
use super::{BatchedClient, wire};
use crate::client::four_letter_word;
use crate::client::relay::Relay;
use crate::tree::{
    AclFound, Changes, ClientError, Found, History, Reading, TreeWatch, ZnodePath, ZnodeReader,
};

/// Znodes in one `multiRead`, and requests in flight: with four a backup waits for answers a sixth of its time, and with more than
/// sixteen it is no faster.
const READS: usize = 256;
const READS_IN_FLIGHT: usize = 16;
/// Bytes of paths in one request: a server takes none above `jute.maxbuffer`, 1 MiB if not set.
pub(super) const REQUEST_BYTES: usize = 512 << 10;
/// A server that closes the connection as often on a longer request may do so because of its length.
const LOST_WITH_IT: usize = 2;
/// Requests are not made shorter than that.
const LEAST_BYTES: usize = 16 << 10;
/// Names of children in one reply, as far as the `Stat` tells.
const NAMES: i64 = 65_536;
/// Bytes of data that are held together where each znode is asked for alone: of [`READS`] that have 1 MiB each.
const MOST_TOGETHER: usize = 256 << 20;
/// Changes that are told at once; more are as good as none.
const MOST_TOLD: usize = 1 << 20;
/// Requests for ACLs under way over all connections: four fifths of what a server queues before it stops listening to its clients
/// (`globalOutstandingLimit`, 1000 if not set).
pub(super) const ACLS_IN_FLIGHT: usize = 800;
/// Up to so many ACLs are asked for on the connection of the data.
const FEW_ACLS: usize = 32;

impl BatchedClient {
    /// The answer of each of `paths`, or why it cannot be decoded: one that cannot takes the others with it, and together
    /// they may be too large, so then each is asked for alone.
    async fn multi_read(
        &self,
        paths: &[&ZnodePath],
        children: bool,
    ) -> Result<Vec<Result<zk::MultiReadResult, String>>, ClientError> {
        if let Some(results) = self.multi_read_together(paths, children).await? {
            return Ok(results.into_iter().map(Ok).collect());
        }
        let (mut results, mut bytes) = (Vec::with_capacity(paths.len()), 0);
        for path in paths {
            if let Some(Ok(zk::MultiReadResult::Data { data, .. })) = results.last() {
                bytes += data.len();
            }
            if bytes > MOST_TOGETHER {
                let cause = format!("more than {MOST_TOGETHER} bytes in {} znodes", results.len());
                return Err(self.not_taken(cause));
            }
            let begun = Instant::now();
            results.push(match self.multi_read_at_once(&[path], children, || true).await {
                Ok(mut one) if one.len() == 1 => Ok(one.remove(0)),
                Ok(_) => Err("an answer of another length".to_owned()),
                Err(error) if is_undecodable(&error) => Err(error.to_string()),
                Err(error) => return Err(self.client_error(&error, begun)),
            });
        }
        Ok(results)
    }

    /// The answer of each of `paths` to one request; `None` where there is none that can be decoded, or is not refused, or the
    /// request itself may be too long for the server. What is asked later is shorter then.
    async fn multi_read_together(
        &self,
        paths: &[&ZnodePath],
        children: bool,
    ) -> Result<Option<Vec<zk::MultiReadResult>>, ClientError> {
        let (begun, lost) = (Instant::now(), AtomicUsize::new(0));
        let bytes: usize = paths.iter().map(|path| bytes_of(path)).sum();
        let is_too_long = || bytes > LEAST_BYTES && lost.load(Ordering::Relaxed) >= LOST_WITH_IT;
        let again = || {
            lost.fetch_add(1, Ordering::Relaxed);
            // At once, as whoever asks may begin anew where a connection is lost.
            let shorter = (bytes / 4).max(LEAST_BYTES);
            self.request_bytes.fetch_min(shorter, Ordering::Relaxed);
            paths.len() == 1 || (self.refusal(begun).is_none() && !is_too_long())
        };
        match self.multi_read_at_once(paths, children, again).await {
            Err(error) if is_undecodable(&error) => Ok(None),
            Err(_) if paths.len() > 1 && self.refusal(begun).is_some() => Ok(None),
            Err(_) if paths.len() > 1 && is_too_long() => Ok(None),
            Err(error) => Err(self.client_error(&error, begun)),
            Ok(results) if results.len() == paths.len() => Ok(Some(results)),
            Ok(results) => {
                let cause = format!("{} answers to {} questions", results.len(), paths.len());
                Err(self.not_taken(cause))
            }
        }
    }

    /// Sent again over another connection while `again` says so.
    async fn multi_read_at_once(
        &self,
        paths: &[&ZnodePath],
        children: bool,
        again: impl Fn() -> bool,
    ) -> Result<Vec<zk::MultiReadResult>, zk::Error> {
        let answer = self.main.call_while(self.deadline(), again, |zk| {
            let mut reader = zk.new_multi_reader();
            let added = paths.iter().try_for_each(|path| {
                if children {
                    reader.add_get_children(path.as_str())
                } else {
                    reader.add_get_data(path.as_str())
                }
            });
            let answer = reader.commit().boxed();
            async move {
                added?;
                answer.await
            }
            .boxed()
        });
        answer.await
    }

    /// What was answered when data were asked for.
    fn data(&self, result: zk::MultiReadResult) -> Result<Reading, ClientError> {
        match result {
            zk::MultiReadResult::Data { data, stat } => Ok(Reading::Found(Found {
                data,
                stat: wire::stat(&stat),
                children: Vec::new(),
            })),
            zk::MultiReadResult::Error { err } => self.not_found(&err, Instant::now()),
            _ => Err(self.not_taken("an answer of another kind")),
        }
    }

    /// Reads `paths`, few enough for one request.
    async fn read_some(&self, paths: &[ZnodePath]) -> Result<Vec<Reading>, ClientError> {
        let all: Vec<_> = paths.iter().collect();
        let results = self.multi_read(&all, false).await?.into_iter();
        let mut readings = results
            .map(|result| result.map_or_else(|why| Ok(Reading::Undecodable(why)), |data| self.data(data)))
            .collect::<Result<Vec<_>, _>>()?;
        let (mut parents, mut names) = (Vec::new(), 0);
        for index in 0..paths.len() {
            if let Reading::Found(found) = &readings[index]
                && found.stat.num_children > 0
            {
                parents.push(index);
                names += i64::from(found.stat.num_children);
            }
            if !parents.is_empty() && (names >= NAMES || index + 1 == paths.len()) {
                self.read_children(paths, &parents, &mut readings).await?;
                parents.clear();
                names = 0;
            }
        }
        if !parents.is_empty() {
            self.read_children(paths, &parents, &mut readings).await?;
        }
        Ok(readings)
    }

    async fn read_children(
        &self,
        paths: &[ZnodePath],
        parents: &[usize],
        readings: &mut [Reading],
    ) -> Result<(), ClientError> {
        let asked: Vec<_> = parents.iter().map(|index| &paths[*index]).collect();
        let results = self.multi_read(&asked, true).await?;
        for (index, result) in parents.iter().zip(results) {
            match (result, &mut readings[*index]) {
                (Err(why), reading) => *reading = Reading::Undecodable(why),
                (Ok(zk::MultiReadResult::Children { children }), Reading::Found(found)) => {
                    found.children = children;
                }
                (Ok(zk::MultiReadResult::Error { err }), reading) => {
                    *reading = self.not_found(&err, Instant::now())?;
                }
                _ => {
                    return Err(self.not_taken("an answer of another kind"));
                }
            }
        }
        Ok(())
    }

    /// What `error` says of a znode, which is the answer to a request that was `begun` then.
    fn not_found<T>(&self, error: &zk::Error, begun: Instant) -> Result<Reading<T>, ClientError> {
        match error {
            zk::Error::NoNode => Ok(Reading::Missing),
            zk::Error::NoAuth => Ok(Reading::Denied),
            error => Err(self.client_error(error, begun)),
        }
    }

    async fn read_acl(&self, session: &Session, path: &ZnodePath) -> Result<Reading<AclFound>, ClientError> {
        let ask = || {
            session.call(self.deadline(), |zk| {
                let (zk, path) = (zk.clone(), path.clone());
                async move { zk.get_acl(path.as_str()).await }.boxed()
            })
        };
        // It is never closed.
        let _one_of_them = self.acl_requests.acquire().await.ok();
        let mut begun = Instant::now();
        let mut answer = ask().await;
        if answer.as_ref().is_err_and(is_undecodable) {
            begun = Instant::now();
            answer = ask().await; // a connection that was lost looks like this too
        }
        match answer {
            Err(error) if is_undecodable(&error) => Ok(Reading::Undecodable(error.to_string())),
            Ok((acl, stat)) => Ok(Reading::Found(AclFound {
                acl: wire::from_wire(&acl),
                stat: wire::stat(&stat),
            })),
            Err(error) => self.not_found(&error, begun),
        }
    }
}

#[async_trait]
impl ZnodeReader for BatchedClient {
    async fn read_many(&self, paths: &[ZnodePath], _history: History) -> Result<Vec<Reading>, ClientError> {
        let (mut readings, mut begin, mut bytes) = (Vec::with_capacity(paths.len()), 0, 0);
        for (index, path) in paths.iter().enumerate() {
            let most = self.request_bytes.load(Ordering::Relaxed);
            if index > begin && (index - begin >= READS || bytes + bytes_of(path) > most) {
                readings.extend(self.read_some(&paths[begin..index]).await?);
                (begin, bytes) = (index, 0);
            }
            bytes += bytes_of(path);
        }
        if begin < paths.len() {
            readings.extend(self.read_some(&paths[begin..]).await?);
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let alone = paths.len() <= FEW_ACLS || self.acls.is_empty();
        let sessions = if alone {
            std::slice::from_ref(&self.main)
        } else {
            &self.acls[..]
        };
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut asked = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            let session = &sessions[(first as usize + index) % sessions.len()];
            asked.push(self.read_acl(session, path));
        }
        stream::iter(asked).buffered(ACLS_IN_FLIGHT).try_collect().await
    }

    fn batch_size(&self) -> usize {
        READS
    }

    fn batches_in_flight(&self) -> usize {
        READS_IN_FLIGHT
    }

    fn epoch(&self) -> u64 {
        self.main.epoch()
    }

    async fn session(&self) -> Result<Option<i64>, ClientError> {
        let begun = Instant::now();
        let client = self.main.get(self.deadline()).await;
        let (client, _) = client.map_err(|error| self.client_error(&error, begun))?;
        Ok(Some(client.session_id().0))
    }

    /// Servers before 3.7 do not say.
    async fn identities(&self) -> Result<Option<Vec<String>>, ClientError> {
        let begun = Instant::now();
        let answer = self.main.call(self.deadline(), |zk| {
            let zk = zk.clone();
            async move { zk.list_auth_users().await }.boxed()
        });
        match answer.await {
            Ok(users) => {
                let named = |user: &zk::AuthUser| format!("{}:{}", user.scheme(), user.user());
                Ok(Some(users.iter().map(named).collect()))
            }
            Err(error) if is_lost(&error) && !is_undecodable(&error) => Err(self.client_error(&error, begun)),
            Err(_) => Ok(None),
        }
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        let identities = self.identities().await?;
        Ok(identities.is_some_and(|all| all.iter().any(|identity| identity.starts_with("super:"))))
    }

    async fn applied(&self) -> Option<i64> {
        // Only where there is but one server that can be meant, and it can be asked without certificates. Behind one address
        // there may be several: a standalone server is alone.
        let address = Some(self.config.address.trim()).filter(|address| !address.contains(','))?;
        if self.config.tls.is_some() {
            return None;
        }
        let asked = four_letter_word(&self.config, address, "srvr");
        let answer = timeout_at(self.deadline(), asked).await.ok()?.ok()?;
        answer.lines().find(|line| line.trim() == "Mode: standalone")?;
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x"))?;
        i64::from_str_radix(zxid.trim(), 16).ok()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        let begun = Instant::now();
        let answer = self.main.call(self.deadline(), |zk| {
            let zk = zk.clone();
            async move { zk.sync("/").await }.boxed()
        });
        let done = answer.await.map(|()| true);
        done.map_err(|error| self.client_error(&error, begun))
    }

    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        let bytes: usize = paths.iter().map(bytes_of).sum();
        if bytes > self.request_bytes.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let all: Vec<_> = paths.iter().collect();
        let results = self.multi_read_together(&all, false).await?;
        results
            .map(|results| results.into_iter().map(|result| self.data(result)).collect())
            .transpose()
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        let mut watchers = Vec::new();
        if let Some(relay) = &self.relay {
            relay.looked_at(); // there is no queue yet
        }
        let before = self.main.epoch();
        for root in roots {
            let begun = Instant::now();
            let answer = self.main.call(self.deadline(), |zk| {
                let (zk, root) = (zk.clone(), root.clone());
                let mode = zk::AddWatchMode::PersistentRecursive;
                async move { zk.watch(root.as_str(), mode).await }.boxed()
            });
            match answer.await {
                Ok(watcher) => watchers.push(watcher),
                Err(zk::Error::Unimplemented) => return Ok(None),
                Err(error) => return Err(self.client_error(&error, begun)),
            }
        }
        Ok(Some(Box::new(Watch {
            watchers,
            lost: self.main.epoch() != before && roots.len() > 1,
            relay: self.relay.clone(),
        })))
    }
}

/// What a path takes in a request, and the head of its question.
fn bytes_of(path: &ZnodePath) -> usize {
    path.as_str().len() + 16
}

struct Watch {
    watchers: Vec<zk::PersistentWatcher>,
    lost: bool,
    relay: Option<Arc<Relay>>,
}

impl TreeWatch for Watch {
    fn take(&mut self) -> Changes {
        let mut changed = Vec::new();
        if let Some(relay) = &self.relay {
            relay.looked_at();
        }
        for watcher in &mut self.watchers {
            // After the event of a session that has ended, asking again would panic.
            while !self.lost
                && let Some(event) = watcher.changed().now_or_never()
            {
                self.lost = !wire::changed(&event, &mut changed) || changed.len() > MOST_TOLD;
            }
        }
        if self.lost {
            Changes::Lost
        } else {
            Changes::Of(changed)
        }
    }
}
