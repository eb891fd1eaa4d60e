//! A second look at everything, for who may not read everything: servers that carry the fix for CVE-2024-23944 (3.8.4,
//! 3.9.2 and newer) send no events for znodes that the session may not read, so a watch alone does not tell of them.

use std::collections::BTreeSet;

use futures::stream::{FuturesUnordered, StreamExt};

use super::frontier::{Family, Frontier};
use super::settle::Later;
use super::walk::{EPHEMERAL, GONE, Run, UNREADABLE, Walked};
use super::{CaptureError, NAMED};
use crate::tree::keys::KeyMap;
use crate::{Changes, ClientError, History, Reading, TreeWatch, ZnodePath};

impl Run<'_> {
    /// Walks once more, after everything was settled, and compares. What has changed since then with an event is of no
    /// concern: it was as captured at that moment. What has changed without one may have before, too.
    ///
    /// Znodes that turn out to be hidden become unreadable ones; [`moving`](super::CaptureSummary::moving) counts what else
    /// cannot be explained.
    pub(super) async fn look_twice(&mut self, watch: &mut dyn TreeWatch) -> Result<Walked, CaptureError> {
        let reader = self.reader;
        let batches = reader.batches_in_flight().max(1);
        let mut frontier = Frontier::new(self.roots, batches, reader.batch_size());
        let mut in_flight = FuturesUnordered::new();
        let mut visited: KeyMap<3, ()> = KeyMap::default();
        // Judged when all events are here that were sent before the last answer.
        let mut strange: Vec<(ZnodePath, bool)> = Vec::new();
        let mut told = BTreeSet::new();
        loop {
            while in_flight.len() < batches {
                let (families, paths): (Vec<Family>, Vec<ZnodePath>) = frontier.take().into_iter().unzip();
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
            let size = |reading: &Reading| match reading {
                Reading::Found(found) => found.data.len(),
                _ => 0,
            };
            frontier.learn(
                &families
                    .into_iter()
                    .zip(readings.iter().map(size))
                    .collect::<Vec<_>>(),
            );
            for (path, reading) in paths.into_iter().zip(readings) {
                visited.insert(self.keys.path(&path), ());
                match reading {
                    Reading::Missing => {}
                    Reading::Found(found) if found.stat.is_ephemeral() => {}
                    Reading::Found(found) => {
                        frontier.push(
                            found
                                .children
                                .iter()
                                .filter_map(|name| path.child(name).ok())
                                .collect(),
                        );
                        if !self.is_as_printed(&path, &Reading::Found(found)) {
                            strange.push((path, true));
                        }
                    }
                    Reading::Denied | Reading::Undecodable(_) => {
                        if self.seen.get(&self.keys.path(&path)) != UNREADABLE {
                            strange.push((path, false));
                        }
                    }
                }
            }
            match watch.take() {
                Changes::Lost => return Ok(Walked::ConnectionLost),
                Changes::Of(paths) => told.extend(paths),
            }
        }
        for (path, readable) in strange {
            if readable && !told.contains(&path) {
                self.moves(&path);
            } else if !readable {
                self.later.insert(path, Some(Later::Unreadable));
            }
        }
        // Whatever was captured is there, or an event has said that it went.
        let explained: KeyMap<3, ()> = told.iter().map(|path| (self.keys.path(path), ())).collect();
        let later: KeyMap<3, bool> = self
            .later
            .iter()
            .map(|(path, later)| (self.keys.path(path), is_kept(later.as_ref())))
            .collect();
        let walked = self.seen.iter().filter(|(key, what)| {
            !matches!(*what, EPHEMERAL | UNREADABLE | GONE) && !later.contains_key(key)
        });
        let kept = later.iter().filter(|(_, kept)| **kept).map(|(key, _)| *key);
        let lost = walked
            .map(|(key, _)| key)
            .chain(kept)
            .filter(|key| !visited.contains_key(key) && !explained.contains_key(key));
        self.summary.moving += lost.count() as u64;
        Ok(Walked::Through)
    }

    fn moves(&mut self, path: &ZnodePath) {
        self.summary.moving += 1;
        if self.summary.moving_paths.len() < NAMED {
            self.summary.moving_paths.push(path.clone());
        }
    }
}

fn is_kept(later: Option<&Later>) -> bool {
    match later {
        Some(Later::Readable(found, _)) => !found.stat.is_ephemeral(),
        _ => false,
    }
}
