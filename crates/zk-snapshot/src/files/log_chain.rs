//! The logs of a server one after another, also while it writes them.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::data_dirs::{Unfit, log_files};
use super::log::{Amiss, LogReader, Step, open};
use super::txn::Txn;
use super::{Fault, FileError};

/// How often it is looked whether more was written.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How often a damaged place is read again: a server writes a record in several pieces.
const SECOND_LOOKS: usize = 5;

/// Reads all transactions after `last`, without a hole.
pub(super) struct LogChain<'a> {
    /// The last one so far.
    pub(super) last: i64,
    /// Nothing after it is taken, and it is waited for until `patience` ends.
    pub(super) committed: Option<i64>,
    pub(super) patience: Instant,
    pub(super) readers: Vec<LogReader>,
    /// The one that is being read.
    pub(super) current: usize,
    /// The one that `last` is from, or the first.
    pub(super) last_in: usize,
    pub(super) directory: &'a Path,
    /// Where the newest log that is known begins.
    pub(super) newest: i64,
    /// The zxids of newer snapshots, which are of no use.
    pub(super) newer: &'a [i64],
    /// Where transactions may be missing, which only a digest can tell: a member that was sent a snapshot between two
    /// epochs has never logged what led to it, and a log that is damaged where it ends may have held more.
    pub(super) doubt: Option<Doubt>,
}

/// That transactions may be missing.
#[derive(Clone)]
pub(super) struct Doubt {
    /// From here on a digest tells.
    pub(super) from: i64,
    pub(super) why: FileError,
    /// Whether what is missing was, as a rule, never committed.
    pub(super) is_tail: bool,
}

impl Doubt {
    /// Whether nothing is missing, as far as can be known: `agreed` is the last zxid at which a digest was as it should be, and `agrees` tells whether all
    /// were, if there were any.
    pub(super) fn is_settled(&self, agreed: i64, agrees: Option<bool>) -> bool {
        match agrees {
            Some(agrees) => agrees && agreed >= self.from,
            None => self.is_tail,
        }
    }
}

type Take<'a> = dyn FnMut(&Txn<'_>, &LogReader) -> Result<(), FileError> + 'a;

impl LogChain<'_> {
    /// Those that were read from.
    pub(super) fn names(&self) -> Vec<String> {
        let read = self.readers.iter().take(self.current + 1);
        read.map(|reader| reader.name().to_owned()).collect()
    }

    /// The same transactions once more, from after `zxid`.
    pub(super) fn second_time(mut self, zxid: i64) -> Result<Self, FileError> {
        self.readers.iter_mut().try_for_each(LogReader::rewind)?;
        (self.committed, self.last) = (Some(self.last), zxid);
        (self.current, self.last_in) = (0, 0);
        Ok(self)
    }

    fn is_done(&self) -> bool {
        self.committed.is_some_and(|committed| self.last >= committed)
    }

    fn is_last(&self) -> bool {
        self.current + 1 >= self.readers.len()
    }

    /// Reads on, also in logs that are begun meanwhile.
    pub(super) fn run(&mut self, take: &mut Take<'_>) -> Result<(), Unfit> {
        while self.current < self.readers.len() {
            let torn = self.read(self.is_last(), take)?;
            if self.is_done() {
                return Ok(());
            }
            if self.is_last() {
                for (begin, path) in log_files(self.directory).unwrap_or_default() {
                    if begin > self.newest {
                        self.readers.push(open(&path)?);
                        self.newest = begin;
                    }
                }
                if self.is_last() {
                    match self.committed {
                        Some(_) if Instant::now() < self.patience => sleep(POLL_INTERVAL),
                        Some(_) if torn => {
                            return Err(self.readers[self.current].fault(Fault::Truncated).into());
                        }
                        _ => return Ok(()),
                    }
                    continue;
                }
                // Where another log was begun, this one has been written to its end.
                self.read(false, take)?;
            }
            self.current += 1;
        }
        Ok(())
    }

    /// Reads what the current log holds by now, and says whether it ends in a torn record. In the last log, nothing
    /// may follow that.
    fn read(&mut self, is_last: bool, take: &mut Take<'_>) -> Result<bool, FileError> {
        let mut looks = 0;
        while !self.is_done() {
            let reader = &mut self.readers[self.current];
            match reader.step() {
                Ok(Step::Record) => {
                    looks = 0;
                    let (last, committed) = (self.last, self.committed);
                    let (before, reader) = self.readers.split_at_mut(self.current);
                    let reader = &reader[0];
                    let txn = reader.record()?;
                    let found = txn.header.zxid;
                    if found <= last || committed.is_some_and(|committed| found > committed) {
                        continue;
                    }
                    let new_epoch = found >> 32 > last >> 32 && found & 0xffff_ffff == 1;
                    if found != last + 1 && !new_epoch {
                        return Err(reader.fault(Fault::Hole { last, found }));
                    }
                    if new_epoch && self.newer.iter().any(|zxid| (last + 1..found).contains(zxid)) {
                        let why = reader.fault(Fault::Hole { last, found });
                        let is_tail = false;
                        self.doubt = Some(Doubt {
                            from: found,
                            why,
                            is_tail,
                        });
                    }
                    // Else what is missing would be a hole.
                    for before in before.iter_mut().skip(self.last_in).filter(|_| new_epoch) {
                        let (why, is_tail) = match before.amiss()? {
                            None => continue,
                            Some(Amiss::Within(why)) => (why, false),
                            Some(Amiss::Tail(why)) => (why, true),
                        };
                        // One that nothing but a digest settles stays.
                        if !is_tail || self.doubt.as_ref().is_none_or(|known| known.is_tail) {
                            self.doubt = Some(Doubt {
                                from: found,
                                why,
                                is_tail,
                            });
                        }
                    }
                    take(&txn, reader)?;
                    (self.last, self.last_in) = (found, self.current);
                }
                Ok(end) => {
                    if !is_last || !reader.more_follows()? {
                        return Ok(matches!(end, Step::Torn));
                    }
                    if looks == SECOND_LOOKS {
                        return Err(reader.fault(Fault::Gap));
                    }
                    looks += 1;
                    sleep(POLL_INTERVAL);
                }
                Err(error) if looks == SECOND_LOOKS => return Err(error),
                Err(_) => {
                    looks += 1;
                    sleep(POLL_INTERVAL);
                }
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_settles_every_doubt_and_without_any_a_torn_tail_is_none() {
        let doubt = |is_tail| Doubt {
            from: 0x2_0000_0001,
            why: FileError::new("log.100000001", 16, Fault::Gap),
            is_tail,
        };
        for is_tail in [false, true] {
            let doubt = doubt(is_tail);
            assert!(doubt.is_settled(0x2_0000_0001, Some(true)));
            assert!(
                !doubt.is_settled(0x1_0000_0009, Some(true)),
                "only one after it tells"
            );
            assert!(!doubt.is_settled(0x2_0000_0001, Some(false)));
            assert_eq!(doubt.is_settled(i64::MIN, None), is_tail);
        }
    }
}
