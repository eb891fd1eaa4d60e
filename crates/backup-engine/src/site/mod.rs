//! One ensemble, with what belongs to it: where its states come from, its schedule, policies, history and recovery.

mod checks;
mod clock_watch;
mod history;
mod interrupted;
pub(crate) mod live;
mod names;
mod noted;
mod policies;
mod recovery;
mod retention;
mod schedule;
mod unfinished;

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{CopiedNote, Manifest};

use crate::ensemble::{Ensemble, Probed, StateSource};
use crate::{EngineError, InvalidRequest};

pub(crate) use self::checks::{Checks, memory};
pub use self::checks::{RestoreTests, TestEnsemble};
pub(crate) use self::clock_watch::{ClockWatch, Uptime, uptime};
pub(crate) use self::history::History;
pub(crate) use self::interrupted::{Asked, InterruptedRestores, count_cut_off};
pub use self::names::SettingNames;
pub(crate) use self::policies::PolicyBook;
pub use self::policies::{NewPolicy, Policies, PolicyChange, PolicyInfo, PolicyOutcome};
pub use self::recovery::Recovery;
pub(crate) use self::retention::Retention;
pub(crate) use self::schedule::Scheduled;
pub(crate) use self::unfinished::UnfinishedZnodes;

/// The notes that whoever takes this over needs: what was set while it ran, and when the history was broken off.
pub(crate) const NOTES: [CopiedNote; 2] = [
    CopiedNote {
        name: policies::POLICIES,
        merge: policies::merged,
    },
    CopiedNote {
        name: history::BROKEN_OFF,
        merge: noted::later,
    },
];

/// An ensemble that is backed up.
pub(crate) struct Site {
    pub(crate) ensemble: Arc<dyn Ensemble>,
    /// What its settings are called.
    pub(crate) names: SettingNames,
    /// What it last said of itself.
    pub(crate) probed: Arc<Probed>,
    /// Where transactional backups come from, the best first.
    pub(crate) states: Vec<Arc<dyn StateSource>>,
    pub(crate) consistency_rounds: u32,
    pub(crate) sequence_limit: u64,
    pub(crate) schedule: Option<Scheduled>,
    pub(crate) checks: Checks,
    pub(crate) retention: Retention,
    pub(crate) recovery: Option<Recovery>,
    pub(crate) history: History,
    /// What restores have begun and not finished.
    pub(crate) unfinished: Arc<UnfinishedZnodes>,
    pub(crate) interrupted: InterruptedRestores,
}

impl Site {
    /// Reads anew what restores have noted. Not while one of this process runs. Blocks.
    pub(crate) fn reload_notes(&self) -> Result<(), EngineError> {
        let notes = self.unfinished.reload()?;
        self.interrupted.take(&notes)
    }

    /// Whether a backup is of this ensemble, which has gone on since: then what it says of a znode holds as long as the
    /// numbers of the znode's `Stat` are the same. Blocks.
    pub(crate) fn has_gone_on_since(&self, manifest: &Manifest, now: OffsetDateTime) -> bool {
        let begin = self.history.begin(now);
        manifest.source() == Some(&*self.ensemble.name())
            && begin.is_none_or(|begin| begin < manifest.started_at)
    }

    /// Where `/` is only a part of the tree, what is of the whole of it cannot be had.
    pub(crate) fn refuse_chroot(&self, what: &str) -> Result<(), EngineError> {
        match self.ensemble.chroot() {
            None => Ok(()),
            Some(chroot) => Err(InvalidRequest::BelowChroot {
                what: what.to_owned(),
                chroot,
            }
            .into()),
        }
    }
}
