//! What is still to be read, and how much of it at once.
//!
//! A request does not say how large its answer will be, and a server that holds too many large answers runs out
//! of memory. Siblings are mostly alike, so a few of each family are read first, and tell how many of the others
//! go together. No more than [`WITH_RESTRAINT`] are under way of which nothing is known, and of all together until as many were no
//! larger than was expected.

use std::collections::HashMap;

use crate::tree::ZnodePath;
use crate::tree::access::WITH_RESTRAINT;

/// Bytes of data in all answers under way, as far as can be told.
const BYTES_IN_FLIGHT: usize = 8 << 20;
/// Siblings that are read before any of them has told its size.
const SAMPLES: usize = 8;
/// What more is no surprise.
const MUCH: usize = 4 << 10;
/// What a znode costs besides its data.
const OVERHEAD: usize = 256;
/// What a znode is taken for while none has been read.
const AT_FIRST: usize = 64 << 10;

/// The number of a family of siblings.
pub(crate) type Family = usize;

struct Siblings {
    waiting: Vec<ZnodePath>,
    under_way: usize,
    /// The largest of late, once one has been read.
    size: Option<usize>,
}

pub(crate) struct Frontier {
    families: HashMap<Family, Siblings>,
    /// Those with znodes that wait; the last goes first, so that few families are open at once.
    open: Vec<Family>,
    next: Family,
    /// The largest of late, whatever its family.
    usual: usize,
    /// Znodes under way, and those of them whose family has not told its size.
    under_way: usize,
    samples: usize,
    /// Znodes that were as expected since one was much larger.
    as_expected: usize,
    batches: usize,
    batch_size: usize,
}

impl Frontier {
    pub(crate) fn new(roots: &[ZnodePath], batches: usize, batch_size: usize) -> Self {
        let mut frontier = Self {
            families: HashMap::new(),
            open: Vec::new(),
            next: 0,
            usual: AT_FIRST,
            under_way: 0,
            samples: 0,
            as_expected: 0,
            batches: batches.max(1),
            batch_size: batch_size.max(1),
        };
        frontier.push(roots.to_vec());
        frontier
    }

    /// Adds siblings.
    pub(crate) fn push(&mut self, waiting: Vec<ZnodePath>) {
        if !waiting.is_empty() {
            let siblings = Siblings {
                waiting,
                under_way: 0,
                size: None,
            };
            self.families.insert(self.next, siblings);
            self.open.push(self.next);
            self.next += 1;
        }
    }

    /// What is to be read next, in one call, while so many calls are under way; nothing if their answers must be waited for.
    pub(crate) fn take(&mut self, calls: usize) -> Vec<(Family, ZnodePath)> {
        if calls == 0 {
            (self.under_way, self.samples) = (0, 0);
            let families = self.families.values_mut();
            families.for_each(|siblings| siblings.under_way = 0);
        }
        let mut batch = Vec::new();
        let mut left = BYTES_IN_FLIGHT / self.batches;
        let few = WITH_RESTRAINT.max(self.batch_size);
        let mut room = self.as_expected.max(few).saturating_sub(self.under_way);
        let restrained = (calls + 1) * self.batch_size <= few;
        // What has no room for a whole batch waits: small ones would bring only room for small ones.
        let whole = if restrained { 1 } else { self.batch_size };
        if room < whole {
            return batch;
        }
        let may_sample = self.samples + whole <= few;
        for at in (0..self.open.len()).rev() {
            let family = self.open[at];
            let Some(siblings) = self.families.get_mut(&family) else {
                continue;
            };
            let cost = siblings.size.unwrap_or(self.usual) + OVERHEAD;
            let may = match siblings.size {
                Some(_) => usize::MAX,
                None if !may_sample => break,
                None => SAMPLES
                    .saturating_sub(siblings.under_way)
                    .min(few.saturating_sub(self.samples)),
            };
            // One that is too large for its part goes alone, beside few others.
            let fit = (left / cost).max(usize::from(restrained && batch.is_empty()));
            if fit == 0 && batch.is_empty() {
                break;
            }
            let count = may
                .min(fit)
                .min(room)
                .min(self.batch_size - batch.len())
                .min(siblings.waiting.len());
            let some = siblings.waiting.split_off(siblings.waiting.len() - count);
            siblings.under_way += count;
            self.under_way += count;
            room -= count;
            if siblings.size.is_none() {
                self.samples += count;
            }
            left = left.saturating_sub(count * cost);
            batch.extend(some.into_iter().map(|path| (family, path)));
            if siblings.waiting.is_empty() {
                self.open.remove(at);
            }
            if batch.len() >= self.batch_size || left < OVERHEAD + self.usual {
                break;
            }
        }
        batch
    }

    /// Notes the sizes of what one call has read.
    pub(crate) fn learn(&mut self, sizes: &[(Family, usize)]) {
        let mut largest: HashMap<Family, (usize, usize)> = HashMap::new();
        for (family, size) in sizes {
            let (count, most) = largest.entry(*family).or_default();
            *count += 1;
            *most = (*most).max(*size);
        }
        let usual = self.usual;
        self.usual = sizes
            .iter()
            .map(|(_, size)| *size)
            .fold(self.usual / 2, usize::max);
        self.as_expected += sizes.len();
        for (family, (count, most)) in largest {
            self.under_way = self.under_way.saturating_sub(count);
            if let Some(siblings) = self.families.get_mut(&family) {
                if most > 2 * siblings.size.unwrap_or(usual) + MUCH {
                    self.as_expected = 0;
                }
                if siblings.size.is_none() {
                    self.samples = self.samples.saturating_sub(siblings.under_way);
                }
                siblings.under_way = siblings.under_way.saturating_sub(count);
                siblings.size = Some(most.max(siblings.size.unwrap_or(0) / 2));
                if siblings.waiting.is_empty() && siblings.under_way == 0 {
                    self.families.remove(&family);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(parent: &str, count: usize) -> Vec<ZnodePath> {
        let path = |i| ZnodePath::parse(&format!("{parent}/n{i}")).unwrap();
        (0..count).map(path).collect()
    }

    const BATCHES: usize = 16;

    /// Reads everything: the most bytes that were under way, and the number of calls.
    fn read(frontier: &mut Frontier, size: impl Fn(&ZnodePath) -> usize) -> (usize, usize) {
        let mut under_way = std::collections::VecDeque::new();
        let (mut most, mut calls) = (0, 0);
        loop {
            while under_way.len() < BATCHES {
                let batch = frontier.take(under_way.len());
                if batch.is_empty() {
                    break;
                }
                calls += 1;
                under_way.push_back(batch);
                let bytes: usize = under_way.iter().flatten().map(|(_, path)| size(path)).sum();
                most = most.max(bytes);
            }
            let Some(batch) = under_way.pop_front() else {
                return (most, calls);
            };
            let sizes: Vec<_> = batch.iter().map(|(family, path)| (*family, size(path))).collect();
            frontier.learn(&sizes);
        }
    }

    #[test]
    fn small_znodes_go_together_and_large_ones_do_not() {
        let mut frontier = Frontier::new(&family("/small", 100_000), BATCHES, 256);
        let (_, calls) = read(&mut frontier, |_| 200);
        assert!(calls < 420, "{calls} calls for 100,000 small znodes");
        let (most, _) = {
            frontier.push(family("/large", 300));
            read(&mut frontier, |_| 1 << 20)
        };
        assert!(most <= 16 << 20, "{most} bytes under way");
    }

    /// However many families there are, of which nothing is known yet.
    #[test]
    fn what_may_be_large_is_asked_for_with_restraint() {
        let mut frontier = Frontier::new(&family("/small", 5_000), BATCHES, 256);
        read(&mut frontier, |_| 100);
        (0..10_000).for_each(|i| frontier.push(family(&format!("/f{i}"), 3)));
        let mut calls = 0;
        while !frontier.take(calls).is_empty() {
            calls += 1;
        }
        assert_eq!(calls, WITH_RESTRAINT / 256);
    }

    #[test]
    fn after_a_surprise_fewer_go_together_until_as_many_were_none() {
        let mut frontier = Frontier::new(&family("/mixed", 100_000), BATCHES, 256);
        let (mut under_way, mut counts) = (std::collections::VecDeque::new(), Vec::new());
        loop {
            while under_way.len() < BATCHES {
                let batch = frontier.take(under_way.len());
                if batch.is_empty() {
                    break;
                }
                under_way.push_back(batch);
            }
            let Some(batch) = under_way.pop_front() else {
                break;
            };
            let size = if counts.len() == 100 { 8 << 10 } else { 100 };
            counts.push(under_way.len() + 1);
            let sizes: Vec<_> = batch.iter().map(|(family, _)| (*family, size)).collect();
            frontier.learn(&sizes);
        }
        assert_eq!((counts[100], counts[140]), (BATCHES, BATCHES));
        assert_eq!(counts[100..140].iter().min(), Some(&(BATCHES / 2)));
    }

    #[test]
    fn many_small_families_go_together() {
        let mut frontier = Frontier::new(&family("/a", 1), BATCHES, 256);
        (0..10_000).for_each(|i| frontier.push(family(&format!("/f{i}"), 3)));
        let (_, calls) = read(&mut frontier, |_| 100);
        assert!(calls < 200, "{calls} calls for 30,000 znodes");
    }

    #[test]
    fn a_large_one_among_small_ones_slows_down_for_a_while_only() {
        let mut frontier = Frontier::new(&family("/mixed", 100_000), BATCHES, 256);
        let (most, calls) = read(
            &mut frontier,
            |path| if path.name() == "n50000" { 1 << 20 } else { 100 },
        );
        assert!(most < 3 << 20 && calls < 900, "{most} bytes, {calls} calls");
    }
}
