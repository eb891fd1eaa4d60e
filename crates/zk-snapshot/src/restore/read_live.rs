//! What is live in the places of a backup's records, read in an order and in portions that bound what is held.

use std::collections::{HashMap, VecDeque};

use futures::stream::{FuturesOrdered, StreamExt};

use super::error::Stop;
use super::question::LiveZnode;
use super::replan::TRIES;
use super::scope::Placed;
use super::state::RestoreState;
use super::{Change, Policy};
use crate::archive::Role;
use crate::capture::frontier::{Family, Frontier};
use crate::tree::{
    AclEntry, AclFound, ClientError, History, Reading, Stat, ZnodePath, ZnodeReader, ZnodeWriter,
};

/// A znode and its ACL are read together this often, until both are of one version.
const ATTEMPTS: usize = 4;
const ADMIN: u32 = 16;

/// What of a live znode is asked for besides its data.
#[derive(Clone, Copy)]
struct Asking {
    /// Policy and ledger say that it may be changed, or it may be what this restore has created.
    compared: bool,
    same_ensemble: bool,
    renamed: bool,
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Plans each of `records`, none of which lies below another, against what is live there.
    pub(super) async fn look(&mut self, records: Vec<Placed>) -> Result<(), Stop> {
        let live = self.live;
        let batches = live.batches_in_flight().max(1);
        let mut frontier = Frontier::new(&[], batches, live.batch_size());
        let mut waiting = HashMap::with_capacity(records.len());
        let mut families: Vec<(Option<ZnodePath>, Vec<ZnodePath>)> = Vec::new();
        for placed in records {
            let (path, parent) = (placed.record.path.clone(), placed.record.path.parent());
            match families.last_mut() {
                Some((last, siblings)) if *last == parent => siblings.push(path.clone()),
                _ => families.push((parent, vec![path.clone()])),
            }
            waiting.insert(path, placed);
        }
        // The last that is pushed is read first, and of each the last.
        for (_, mut siblings) in families.into_iter().rev() {
            siblings.reverse();
            frontier.push(siblings);
        }
        let (mut in_flight, mut ready) = (FuturesOrdered::new(), VecDeque::new());
        loop {
            while in_flight.len() + ready.len() < batches {
                let batch = frontier.take(in_flight.len() + ready.len());
                if batch.is_empty() {
                    break;
                }
                self.writer.check_permit()?;
                let find = |(family, path): (Family, ZnodePath)| {
                    let placed = waiting.remove(&path)?;
                    let asking = self.asking(&placed);
                    Some((family, placed, asking))
                };
                let batch: Vec<_> = batch.into_iter().rev().filter_map(find).collect();
                in_flight.push_back(read(live, batch));
            }
            let answer = match ready.pop_front() {
                Some(answer) => answer,
                None => match self.writer.beside(in_flight.next()).await {
                    Some(answer) => answer?,
                    None => return Ok(()),
                },
            };
            let sizes = answer.iter().map(|(family, _, live)| (*family, bytes(live)));
            frontier.learn(&sizes.collect::<Vec<_>>());
            let (mut decided, mut denied) = (Vec::new(), Vec::new());
            for (_, placed, live) in answer {
                if matches!(live, LiveZnode::Denied) {
                    denied.push(placed);
                    continue;
                }
                let one = self.decide(&placed, &live);
                if !one.steps.is_empty() {
                    decided.push((placed.record.path, one));
                }
            }
            if decided.is_empty() && denied.is_empty() {
                continue;
            }
            // While writes are waited for nobody would drive the reads, which may hold what the writes need.
            while let Some(answer) = self.writer.beside(in_flight.next()).await {
                ready.push_back(answer?);
            }
            for (path, one) in decided {
                self.carry_out(path, one).await?;
            }
            for placed in denied {
                let found = self.find_hidden(&placed.record.path).await?;
                self.plan_one(placed, &found).await?;
            }
        }
    }

    /// Whether what may not be read is unfinished work of ours, hidden from everybody until it gets its own ACL, or may be
    /// opened by us: the list is shown to who may read or change it, and we may not read.
    async fn find_hidden(&mut self, path: &ZnodePath) -> Result<LiveZnode, Stop> {
        let live = self.live;
        let mut guards = self
            .writer
            .beside(live.read_acls(std::slice::from_ref(path)))
            .await?;
        let Some(Reading::Found(guard)) = guards.pop() else {
            return Ok(LiveZnode::Denied);
        };
        let admits = |entry: &AclEntry| entry.perms & ADMIN != 0;
        let may_be_opened = !guard.acl.is_masked() && guard.acl.entries().iter().any(admits);
        let opened = self.writer.surprises.get(path).map_or(0, |known| known.opened);
        let noted = self.writer.unfinished.get(path);
        let is_left = noted.is_some_and(|noted| noted.is_left(&guard.stat, &guard.acl, &self.guards));
        if guard.acl.same_as(&self.guards.narrow) && is_left {
            Ok(LiveZnode::Hidden(guard.stat))
        } else if may_be_opened && opened < TRIES {
            Ok(LiveZnode::Shut(guard.stat, guard.acl))
        } else {
            Ok(LiveZnode::Denied)
        }
    }

    fn asking(&self, placed: &Placed) -> Asking {
        let record = &placed.record;
        let ours = record.role == Role::Captured && self.options.policy != Policy::Missing;
        let known = self.writer.surprises.get(&record.path);
        let may_be_made = self.writer.places.at(&record.path).is_created()
            || known.is_some_and(|known| known.unsure == Some(Change::Create));
        Asking {
            compared: ours || may_be_made || self.writer.unfinished.contains_key(&record.path),
            same_ensemble: self.options.same_ensemble,
            renamed: placed.from.is_some(),
        }
    }
}

fn bytes(live: &LiveZnode) -> usize {
    match live {
        LiveZnode::Found { found, .. } => found.data.len(),
        _ => 0,
    }
}

/// Reads znodes, and the ACLs of those that may have another than the backup.
async fn read<T: ZnodeReader + ?Sized>(
    live: &T,
    batch: Vec<(Family, Placed, Asking)>,
) -> Result<Vec<(Family, Placed, LiveZnode)>, ClientError> {
    let paths: Vec<_> = batch
        .iter()
        .map(|(_, placed, _)| placed.record.path.clone())
        .collect();
    let mut lives: Vec<_> = live
        .read_many(&paths, History::Any)
        .await?
        .into_iter()
        .map(of_reading)
        .collect();
    let mut unknown: Vec<_> = batch
        .iter()
        .zip(&lives)
        .enumerate()
        .filter(|(_, ((_, placed, asking), live))| match live {
            LiveZnode::Found { found, .. } => {
                asking.compared
                    && !found.stat.is_ephemeral()
                    && !is_guarded_alike(*asking, &placed.record.stat, &found.stat)
            }
            _ => false,
        })
        .map(|(index, _)| index)
        .collect();
    for attempt in 0..ATTEMPTS {
        let asked: Vec<_> = unknown.iter().map(|index| paths[*index].clone()).collect();
        if asked.is_empty() {
            break;
        }
        if attempt > 0 {
            let again = live.read_many(&asked, History::Any).await?;
            for (index, reading) in unknown.iter().zip(again) {
                lives[*index] = of_reading(reading);
            }
        }
        let guards = live.read_acls(&asked).await?;
        let mut torn = Vec::new();
        for (index, guard) in unknown.into_iter().zip(guards) {
            if !guarded(&mut lives[index], guard) {
                torn.push(index);
            }
        }
        unknown = torn;
    }
    for index in unknown {
        lives[index] = LiveZnode::Torn;
    }
    let placed = batch.into_iter().map(|(family, placed, _)| (family, placed));
    Ok(placed
        .zip(lives)
        .map(|((family, placed), live)| (family, placed, live))
        .collect())
}

/// Puts the ACL with what is live; `false` if both are not of one znode at one version.
fn guarded(live: &mut LiveZnode, guard: Reading<AclFound>) -> bool {
    match (guard, &mut *live) {
        (Reading::Found(guard), LiveZnode::Found { found, acl }) => {
            let of = |stat: &Stat| (stat.czxid, stat.version, stat.ephemeral_owner);
            if of(&guard.stat) != of(&found.stat) {
                return false;
            }
            found.stat.aversion = guard.stat.aversion;
            *acl = Some(guard.acl);
        }
        (Reading::Missing, _) => *live = LiveZnode::Missing,
        (Reading::Undecodable(why), _) => *live = LiveZnode::Undecodable(why),
        (Reading::Denied, _) => *live = LiveZnode::Denied,
        (Reading::Found(_), _) => {}
    }
    true
}

fn of_reading(reading: Reading) -> LiveZnode {
    match reading {
        Reading::Missing => LiveZnode::Missing,
        Reading::Denied => LiveZnode::Denied,
        Reading::Undecodable(why) => LiveZnode::Undecodable(why),
        Reading::Found(found) => LiveZnode::Found { found, acl: None },
    }
}

/// Whether a live znode is known to have the ACL of the backup: it is the very znode, with the list that it was created with.
fn is_guarded_alike(asking: Asking, then: &Stat, live: &Stat) -> bool {
    asking.same_ensemble
        && !asking.renamed
        && then.acl_is_of_creation()
        && (then.czxid, then.ctime, then.aversion) == (live.czxid, live.ctime, live.aversion)
}
