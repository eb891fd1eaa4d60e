//! Whether a state that was read from files is one of the ensemble that is live.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use zk_snapshot::files::{Gathered, Sample};
use zk_snapshot::tree::{ClientError, History, Reading, ZnodePath, ZnodeReader};

use super::source::StateError;
use crate::ensemble::traits::Ensemble;

/// How long an ensemble may take to tell that it has committed what one of its servers shows.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a server may lag that is looked at without a sync or a session that is a transaction.
const LAG: Duration = Duration::from_secs(3);

/// A znode of the files, and what is in its place.
struct Place {
    then: Sample,
    now: Reading,
    /// Where it is gone: the `pzxid` of the nearest znode above it that is there, read afterwards. `None` where that may not be read.
    above: Option<i64>,
}

/// What a snapshot shows beyond what was known to be committed, the ensemble must soon be known to have committed as
/// well. Files of a time that it has forgotten are found by that, and another ensemble's by their znodes. Where it does not answer, neither is known.
pub(super) async fn confirmed(
    gathered: Gathered,
    committed: Option<i64>,
    ensemble: &dyn Ensemble,
) -> Result<Gathered, StateError> {
    let (zxid, patience) = (gathered.tree.zxid(), Instant::now() + PATIENCE);
    let mut known = committed;
    while known.is_some_and(|known| known < zxid) || known.is_none() && committed.is_some() {
        if Instant::now() > patience {
            let known = known.map_or("does not answer any more".to_owned(), |known| {
                format!("has only come to 0x{known:x}")
            });
            return Err(StateError::Foreign(format!(
                "{} shows changes up to 0x{zxid:x}, and the ensemble {known}: are these its files?",
                gathered.report.snapshot
            )));
        }
        sleep(POLL_INTERVAL).await;
        known = ensemble.committed_zxid().await;
    }
    if committed.is_some() {
        check(&gathered, ensemble).await?;
    }
    Ok(gathered)
}

/// Compares some znodes of `gathered` with those of the ensemble, which must have come at least as far. Others may change all of them meanwhile.
///
/// # Errors
/// [`StateError::Foreign`] where one cannot have become what is live.
async fn check(gathered: &Gathered, ensemble: &dyn Ensemble) -> Result<(), StateError> {
    let client = ensemble.connect().await?;
    let (zxid, patience) = (gathered.tree.zxid(), Instant::now() + LAG);
    let found = loop {
        let places = look(&*client, gathered.tree.samples()).await;
        match places.map(|places| compare(&places, zxid)) {
            Ok(Err(_)) if Instant::now() < patience => sleep(POLL_INTERVAL).await,
            found => break found,
        }
    };
    client.close().await;
    found?.map_err(|why| {
        let snapshot = &gathered.report.snapshot;
        StateError::Foreign(format!("{snapshot} and its logs are of another ensemble: {why}"))
    })
}

async fn look<R: ZnodeReader + ?Sized>(live: &R, samples: Vec<Sample>) -> Result<Vec<Place>, ClientError> {
    // Its session is a transaction after all that was committed before, so its server has come as far; but local sessions are none.
    live.sync().await?;
    let mut places = Vec::with_capacity(samples.len());
    for some in samples.chunks(live.batch_size().max(1)) {
        let paths: Vec<_> = some.iter().map(|sample| sample.path.clone()).collect();
        let readings = live.read_many(&paths, History::One).await?;
        for (then, now) in some.iter().cloned().zip(readings) {
            let above = match now {
                Reading::Missing => pzxid_above(live, &then.path).await?,
                _ => None,
            };
            places.push(Place { then, now, above });
        }
    }
    Ok(places)
}

async fn pzxid_above<R: ZnodeReader + ?Sized>(
    live: &R,
    path: &ZnodePath,
) -> Result<Option<i64>, ClientError> {
    let mut above = path.parent();
    while let Some(path) = above {
        let mut readings = live.read_many(std::slice::from_ref(&path), History::One).await?;
        above = match readings.pop() {
            Some(Reading::Found(found)) => return Ok(Some(found.stat.pzxid)),
            Some(Reading::Missing) => path.parent(),
            _ => None,
        };
    }
    Ok(None)
}

/// Whether what was as in the files at `zxid` can be as it is now.
fn compare(places: &[Place], zxid: i64) -> Result<(), String> {
    let (mut same, mut gone, mut hidden) = (0, 0, 0);
    for Place { then, now, above } in places {
        let path = &then.path;
        match now {
            Reading::Found(found) => {
                let now = &found.stat;
                let was_there = now.czxid <= zxid;
                let created = (now.czxid, now.ctime) == (then.czxid, then.ctime);
                let changed = (now.mzxid, now.mtime) == (then.mzxid, then.mtime);
                // Of an empty tree the root alone tells. Where there is more it is not asked: servers before 3.6 can leave an older or newer one behind.
                let is_alone = path.is_root() && places.len() == 1;
                let other_children = is_alone && now.pzxid <= zxid && now.pzxid != then.pzxid;
                if was_there && (!created || now.mzxid <= zxid && !changed) || other_children {
                    return Err(format!("{path} has another history there"));
                }
                same += usize::from(was_there && !path.is_root());
            }
            // Only a deletion afterwards takes it, and that shows above.
            Reading::Missing if above.is_some_and(|pzxid| pzxid <= zxid) => {
                return Err(format!(
                    "{path} is not there, and was not deleted after 0x{zxid:x}"
                ));
            }
            Reading::Missing => gone += 1,
            Reading::Denied | Reading::Undecodable(_) => hidden += 1,
        }
    }
    // What may not be read may be the same.
    match same == 0 && hidden == 0 && gone > 0 {
        true => Err(format!("{gone} znodes are not there, and none that is")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use zk_snapshot::tree::{Found, Stat};

    use super::*;

    fn sample(text: &str, zxid: i64) -> Sample {
        Sample {
            path: ZnodePath::parse(text).unwrap(),
            czxid: zxid,
            ctime: 1_000 * zxid,
            mzxid: zxid,
            mtime: 1_000 * zxid,
            pzxid: zxid.max(3),
        }
    }

    fn found(text: &str, zxid: i64, change: impl Fn(&mut Stat)) -> Place {
        let then = sample(text, zxid);
        let mut stat = Stat {
            czxid: then.czxid,
            ctime: then.ctime,
            mzxid: then.mzxid,
            mtime: then.mtime,
            pzxid: then.pzxid,
            ..Stat::default()
        };
        change(&mut stat);
        let found = Found {
            data: Vec::new(),
            stat,
            children: Vec::new(),
        };
        Place {
            then,
            now: Reading::Found(found),
            above: None,
        }
    }

    fn missing(text: &str, zxid: i64, above: Option<i64>) -> Place {
        Place {
            then: sample(text, zxid),
            now: Reading::Missing,
            above,
        }
    }

    #[test]
    fn what_goes_on_is_ours_and_what_was_otherwise_is_not() {
        let is_ours = |change: &dyn Fn(&mut Stat)| {
            let same = |text, zxid| found(text, zxid, |_| {});
            compare(&[same("/", 0), found("/a", 2, change), same("/b", 3)], 9).is_ok()
        };
        assert!(is_ours(&|_| {}));
        // Data and children changed afterwards, or it was created anew.
        assert!(is_ours(&|stat| (stat.mzxid, stat.mtime) = (10, 1)));
        assert!(is_ours(&|stat| stat.pzxid = 11));
        assert!(is_ours(&|stat| (stat.czxid, stat.mzxid, stat.ctime) = (10, 10, 1)));
        // The same numbers at another time, other numbers, and data that the files do not have.
        assert!(!is_ours(&|stat| stat.ctime += 1));
        assert!(!is_ours(&|stat| stat.czxid = 4));
        assert!(!is_ours(&|stat| (stat.mzxid, stat.mtime) = (8, 8_000)));
        assert!(!is_ours(&|stat| stat.mtime += 1));
        // Of an empty tree the root tells.
        let root = |pzxid| found("/", 0, move |stat| stat.pzxid = pzxid);
        assert_eq!(
            [3, 4, 10].map(|pzxid| compare(&[root(pzxid)], 9).is_ok()),
            [true, false, true]
        );
    }

    #[test]
    fn what_is_gone_was_deleted_afterwards() {
        let with = |place: Place| compare(&[found("/c", 3, |_| {}), place], 9).is_ok();
        assert!(with(missing("/a/b", 2, Some(10))));
        assert!(!with(missing("/a/b", 2, Some(3))));
        assert!(with(missing("/a/b", 2, None)));
        // Somebody writes to the root all the time, and nothing of the files is there.
        assert!(compare(&[missing("/a", 2, Some(10))], 9).is_err());
        // What may not be read tells nothing.
        let denied = Place {
            now: Reading::Denied,
            ..missing("/a", 2, None)
        };
        assert!(compare(&[denied, missing("/q/1", 2, None)], 9).is_ok());
    }
}
