//! The epoch that servers begin above after a restore by files, so that no zxid is given out twice.

use tokio::time::sleep;

use super::comparing::POLL_INTERVAL;
use crate::ensemble::Ensemble;

/// How many epochs may begin between asking the servers and stopping them: while they are stopped one after the other, those that are left elect anew,
/// and take writes.
const MARGIN: i64 = 16;
/// How often it is looked whether they have begun above it.
const TRIES: usize = 6;

/// An epoch above every one that is known, `least` among them; and whether the servers have told theirs.
pub(super) async fn to_begin_above(ensemble: &dyn Ensemble, of_backup: i64, least: u32) -> (i64, bool) {
    let live = ensemble.committed_zxid().await;
    (above(of_backup, live, least), live.is_some())
}

fn above(of_backup: i64, live: Option<i64>, least: u32) -> i64 {
    let known = (of_backup >> 32).max(live.unwrap_or(0) >> 32);
    (known + MARGIN).max(least.into())
}

/// Where the servers went on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Above,
    /// Such a server goes on after the zxid of its snapshot, whatever the files of epochs say.
    Standalone,
    /// None of them tells.
    Unknown,
}

/// Whether the servers, which have been compared, have begun above `epoch`.
///
/// # Errors
/// Where they have not, and where they are instead.
pub(super) async fn check(ensemble: &dyn Ensemble, epoch: i64) -> Result<Begun, String> {
    let is_alone = ensemble.probe().await.mode.as_deref() == Some("standalone");
    let mut tries = TRIES;
    loop {
        tries -= 1;
        // One that follows may learn of the epoch by its first transaction; looking at it was one.
        match judge(epoch, ensemble.committed_zxid().await, is_alone) {
            Ok(begun) if begun != Begun::Unknown || tries == 0 => return Ok(begun),
            Err(why) if tries == 0 => return Err(why),
            _ => sleep(POLL_INTERVAL).await,
        }
    }
}

fn judge(epoch: i64, committed: Option<i64>, is_alone: bool) -> Result<Begun, String> {
    match committed {
        Some(zxid) if zxid >> 32 > epoch => Ok(Begun::Above),
        _ if is_alone => Ok(Begun::Standalone),
        None => Ok(Begun::Unknown),
        Some(zxid) => Err(format!(
            "the servers hold what the backup holds, and go on at zxid 0x{zxid:x}, which is not above epoch {epoch}: \
             currentEpoch and acceptedEpoch have to be copied, too"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_above_all_that_is_known_and_what_may_begin_meanwhile() {
        let zxid = |epoch: i64| epoch << 32 | 7;
        assert_eq!(above(zxid(3), Some(zxid(5)), 0), 5 + MARGIN);
        assert_eq!(above(zxid(6), Some(zxid(5)), 0), 6 + MARGIN);
        assert_eq!(above(zxid(3), None, 0), 3 + MARGIN);
        assert_eq!(above(zxid(3), Some(zxid(5)), 40), 40);
    }

    #[test]
    fn an_epoch_that_was_not_raised_is_told() {
        // An election may take more than one, and nothing may have happened since.
        assert_eq!(judge(40, Some(41 << 32), false), Ok(Begun::Above));
        assert_eq!(judge(40, Some(44 << 32 | 1), false), Ok(Begun::Above));
        let why = judge(40, Some(40 << 32 | 9), false).unwrap_err();
        assert!(why.contains("0x2800000009"), "{why}");
        assert_eq!(judge(40, Some(0x19), true), Ok(Begun::Standalone));
        assert_eq!(judge(40, None, false), Ok(Begun::Unknown));
    }
}
