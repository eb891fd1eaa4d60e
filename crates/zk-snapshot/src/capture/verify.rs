//! For those from whom ACLs hide something: whether something happened that no watch told.

use std::collections::{HashMap, HashSet};

use futures::stream::{FuturesUnordered, StreamExt};

use super::CaptureError;
use super::frontier::Frontier;
use super::second_look::AT_ONCE;
use super::state::{CaptureState, Fingerprint, MOST_TOLD};
use super::visit::bytes;
use crate::tree::{Changes, ClientError, Found, History, Reading, TreeWatch, ZnodePath};

/// How a second look at everything ended.
pub(super) enum Verified {
    Same,
    Differs,
    ConnectionLost,
}

/// What the watch told since the capture was settled.
#[derive(Default)]
struct Told {
    changes: HashMap<ZnodePath, u32>,
    lost: bool,
}

impl Told {
    /// Those that were told of this time.
    fn take(&mut self, watch: &mut dyn TreeWatch) -> HashSet<ZnodePath> {
        let mut now = HashSet::new();
        match watch.take() {
            Changes::Lost => self.lost = true,
            Changes::Of(paths) => {
                for path in paths {
                    *self.changes.entry(path.clone()).or_default() += 1;
                    now.insert(path);
                }
            }
        }
        self.lost |= self.changes.len() > MOST_TOLD;
        now
    }
}

impl CaptureState<'_> {
    /// Looks at everything again once it is settled, and counts: whatever changed a znode that we could read all
    /// the time was told, so a change that was not told was hidden from us. `docs/decisions/0014` has the proof.
    pub(super) async fn verify(
        &mut self,
        watch: &mut dyn TreeWatch,
        rounds: &mut u32,
    ) -> Result<Verified, CaptureError> {
        let mut open = std::mem::take(&mut self.fingerprints);
        let (mut told, mut restless) = (Told::default(), Vec::new());
        let reader = self.reader;
        let batches = reader.batches_in_flight().max(1);
        let mut frontier = Frontier::new(self.roots, batches, reader.batch_size());
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < batches {
                let (families, paths): (Vec<_>, Vec<_>) = frontier.take(in_flight.len()).into_iter().unzip();
                if paths.is_empty() {
                    break;
                }
                in_flight.push(async move {
                    let readings = reader.read_many(&paths, History::One).await?;
                    Ok::<_, ClientError>((families, paths, readings))
                });
            }
            let Some(answer) = in_flight.next().await else {
                break;
            };
            let (families, paths, readings) = answer?;
            let sizes = families.into_iter().zip(readings.iter().map(bytes));
            frontier.learn(&sizes.collect::<Vec<_>>());
            for (path, reading) in paths.into_iter().zip(readings) {
                let key = self.keys.path(&path);
                let Some(then) = open.get(&key).copied() else {
                    continue; // not in the capture, or kept by the server
                };
                let Reading::Found(found) = reading else {
                    return Ok(self.differs(path));
                };
                let now = Fingerprint::of(&found.stat);
                if now.which != then.which {
                    return Ok(self.differs(path));
                }
                open.remove(&key);
                frontier.push(children(&path, &found));
                if now != then {
                    restless.push((path, then));
                }
            }
            told.take(watch);
            if told.lost {
                return Ok(Verified::ConnectionLost);
            }
        }
        if !open.is_empty() {
            // It went meanwhile: what it was when the capture was settled nobody can say any more.
            let told = told.changes.into_keys().max();
            return Ok(self.differs(told.unwrap_or_else(|| self.roots[0].clone())));
        }
        self.count(watch, rounds, told, restless).await
    }

    /// Reads each of `restless` until it is quiet for the time of one read: then all its changes have been told.
    async fn count(
        &mut self,
        watch: &mut dyn TreeWatch,
        rounds: &mut u32,
        mut told: Told,
        mut restless: Vec<(ZnodePath, Fingerprint)>,
    ) -> Result<Verified, CaptureError> {
        while !restless.is_empty() {
            if *rounds == 0 {
                return Ok(self.differs(restless.swap_remove(0).0));
            }
            *rounds -= 1;
            let mut later = Vec::new();
            for some in restless.chunks(AT_ONCE) {
                let paths: Vec<_> = some.iter().map(|(path, _)| path.clone()).collect();
                let readings = self.reader.read_many(&paths, History::One).await?;
                let now = told.take(watch);
                if told.lost {
                    return Ok(Verified::ConnectionLost);
                }
                for ((path, then), reading) in some.iter().zip(readings) {
                    let Reading::Found(found) = reading else {
                        return Ok(self.differs(path.clone()));
                    };
                    let fingerprint = Fingerprint::of(&found.stat);
                    let changes = fingerprint.changes.wrapping_sub(then.changes);
                    if fingerprint.which != then.which {
                        return Ok(self.differs(path.clone()));
                    } else if now.contains(path) {
                        later.push((path.clone(), *then));
                    } else if told.changes.get(path).copied().unwrap_or(0) != changes {
                        return Ok(self.differs(path.clone()));
                    }
                }
            }
            restless = later;
        }
        Ok(Verified::Same)
    }

    fn differs(&mut self, path: ZnodePath) -> Verified {
        self.unverified = Some(path);
        Verified::Differs
    }
}

fn children(path: &ZnodePath, found: &Found) -> Vec<ZnodePath> {
    let names = found.children.iter();
    names.filter_map(|name| path.child(name).ok()).collect()
}
