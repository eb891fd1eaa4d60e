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

use std::sync::{Arc, Mutex};

use time::OffsetDateTime;
use vault_store::{CopiedNote, Manifest};
use zk_snapshot::tree::ZnodePath;

use crate::ensemble::{Ensemble, Probed, StateSource};
use crate::lock::lock;
use crate::{EngineError, InvalidRequest};

pub(crate) use self::checks::{Checks, memory};
pub use self::checks::{RestoreTests, TestEnsemble};
pub(crate) use self::clock_watch::ClockWatch;
pub(crate) use self::history::History;
pub(crate) use self::interrupted::{Asked, InterruptedRestores};
pub use self::names::SettingNames;
pub(crate) use self::policies::PolicyBook;
pub use self::policies::{NewPolicy, Policies, PolicyChange, PolicyInfo, PolicyOutcome};
pub use self::recovery::Recovery;
pub(crate) use self::retention::Retention;
pub(crate) use self::schedule::Scheduled;
pub(crate) use self::unfinished::{Origin, UnfinishedZnodes};

/// The notes that whoever takes this over needs: what was set while it ran, and when the history was broken off.
pub(crate) const NOTES: [CopiedNote; 2] = [
    CopiedNote {
        name: policies::POLICIES,
        merge: policies::merged,
        is_sound: policies::are_sound,
    },
    CopiedNote {
        name: history::BROKEN_OFF,
        merge: noted::later,
        is_sound: noted::is_sound,
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
    /// Held while what restores have noted is read and kept.
    pub(crate) reading: Mutex<()>,
}

impl Site {
    /// Reads anew what restores have noted. Not while one of this process runs. Blocks.
    pub(crate) fn reload_notes(&self) -> Result<(), EngineError> {
        self.reload_notes_while(|| true)
    }

    /// The same of a process whose restores may begin at any time from when it `follows` no more, and reads them anew then: what was read before does not come after that.
    pub(crate) fn reload_notes_while(&self, follows: impl FnOnce() -> bool) -> Result<(), EngineError> {
        let _one_by_one = lock(&self.reading);
        if !follows() {
            return Ok(());
        }
        let notes = self.unfinished.reload()?;
        self.interrupted.take(&notes)
    }

    /// Whether a backup is of this ensemble, which is not known to have begun anew since: then the ACL that a znode was created
    /// with is the one in the backup. Blocks.
    pub(crate) fn has_gone_on_since(&self, manifest: &Manifest, now: OffsetDateTime) -> bool {
        let begin = self.history.begin(now);
        manifest.source() == Some(&*self.ensemble.name())
            && begin.is_none_or(|begin| begin < manifest.started_at)
    }

    /// Whether `/` of a backup stood for what it stands for here.
    pub(crate) fn has_the_chroot_of(&self, manifest: &Manifest) -> bool {
        let ours = self.ensemble.chroot();
        manifest.source() == Some(&*self.ensemble.name()) || chroot_of(manifest) == ours
    }

    /// What stands for `/` in a backup of another chroot would replace all that `/` stands for here, its ACL included.
    pub(crate) fn refuse_whole_of_another_chroot(
        &self,
        manifest: &Manifest,
        roots: &[ZnodePath],
    ) -> Result<(), EngineError> {
        if !roots.is_empty() || manifest.source().is_none() || self.has_the_chroot_of(manifest) {
            return Ok(());
        }
        Err(InvalidRequest::OfAnotherChroot {
            id: manifest.id.clone(),
            from: chroot_of(manifest).unwrap_or_else(ZnodePath::root),
            to: self.ensemble.chroot().unwrap_or_else(ZnodePath::root),
        }
        .into())
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

/// The chroot in the name of the ensemble that a backup is of. Names that embedders give may have slashes as well.
fn chroot_of(manifest: &Manifest) -> Option<ZnodePath> {
    let source = manifest.source()?;
    let chroot = ZnodePath::parse(source.get(source.find('/')?..)?).ok()?;
    (!chroot.is_root()).then_some(chroot)
}
