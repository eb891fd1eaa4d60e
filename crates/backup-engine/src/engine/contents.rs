//! What backups there are, and what is in them.

use std::sync::Arc;

use vault_store::{StoreError, VaultId};
use zk_snapshot::archive::Comparison;
use zk_snapshot::tree::ZnodePath;

use super::Engine;
use crate::blocking::blocking;
use crate::clock::ms;
use crate::error::EngineError;
use crate::info::BackupInfo;
use crate::site::live;
use crate::vaults::browse::{CompareWith, Page, WholeZnodePage, ZnodeContent, ZnodePage};
use crate::vaults::changes::ZnodeHistory;
use crate::vaults::finding::ZnodeFinds;
use crate::vaults::{LATEST, Stored, compare, records};
use crate::work::with_live;

impl Engine {
    /// The ids of all finished backups, oldest first.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn list(&self) -> Result<Vec<String>, EngineError> {
        let vaults = Arc::clone(&self.vaults);
        blocking(move || Ok(vaults.ids()?.iter().map(ToString::to_string).collect())).await
    }

    /// What is known of a backup, finished or not; `None` if there is none, or its id is no id. `latest` is the newest good one.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn describe(&self, id: &str) -> Result<Option<BackupInfo>, EngineError> {
        if id != LATEST && id.parse::<VaultId>().is_err() {
            return Ok(None);
        }
        let (vaults, _, requests) = self.rooms();
        let asked = id.to_owned();
        blocking(move || {
            let id = match vaults.named(&asked) {
                Err(EngineError::BackupNotFound(_)) => return Ok(None),
                found => found?,
            };
            let read = || match Stored::read(&*vaults.store, &id) {
                Err(StoreError::NotFound(_)) => Ok(None),
                found => found.map(|found| Some(BackupInfo::of(&vaults, found))),
            };
            if let Some(found) = read()? {
                return Ok(Some(found));
            }
            match requests.pending(&id)? {
                Some(job) => Ok(Some(BackupInfo::pending(&vaults, id, job))),
                // It may have ended in between, and what it has stored is there now.
                None => Ok(read()?),
            }
        })
        .await
    }

    /// The first good backup at or after a time, full or granular, in ms since the Unix epoch.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn find(&self, since: i64) -> Result<Option<BackupInfo>, EngineError> {
        let vaults = Arc::clone(&self.vaults);
        blocking(move || {
            let all = vaults.all_to_choose()?.into_iter();
            let found = vaults.first_good(all.filter(|stored| ms(stored.date()) >= since))?;
            Ok(found.map(|stored| BackupInfo::of(&vaults, stored)))
        })
        .await
    }

    /// The children of a znode in a backup, by name. `latest` is the newest good backup. The first call for a backup reads through it.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`], [`EngineError::ZnodeNotFound`]; [`EngineError::Invalid`] for a backup that
    /// failed; [`EngineError::Damaged`]; [`EngineError::Storage`].
    pub async fn znodes(&self, id: &str, path: ZnodePath, page: Page) -> Result<ZnodePage, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        blocking(move || {
            let id = vaults.named(&id)?;
            vaults.catalogs.znodes(&*vaults.store, &id, &path, page)
        })
        .await
    }

    /// [`znodes`](Self::znodes) with their data and ACLs.
    ///
    /// # Errors
    /// As there.
    pub async fn whole_znodes(
        &self,
        id: &str,
        path: ZnodePath,
        page: Page,
    ) -> Result<WholeZnodePage, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        blocking(move || {
            let id = vaults.named(&id)?;
            vaults.catalogs.whole_znodes(&*vaults.store, &id, &path, page)
        })
        .await
    }

    /// A znode in a backup, with data and ACL.
    ///
    /// # Errors
    /// As [`znodes`](Self::znodes).
    pub async fn znode(&self, id: &str, path: ZnodePath) -> Result<ZnodeContent, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        blocking(move || {
            let id = vaults.named(&id)?;
            vaults.catalogs.znode(&*vaults.store, &id, &path)
        })
        .await
    }

    /// A znode as it is in ZooKeeper now. Its data and its ACL may stem from slightly different moments.
    ///
    /// # Errors
    /// [`EngineError::ZnodeNotFound`]; [`EngineError::ZooKeeper`], also where it is not shown to this identity.
    pub async fn live_znode(&self, path: ZnodePath) -> Result<ZnodeContent, EngineError> {
        live::znode(&*self.site.ensemble, path).await
    }

    /// What the job of a backup said, line by line: the first 8 MiB of it, and nothing where that was not kept. `latest` is the newest good
    /// backup.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::Sealed`]; [`EngineError::Storage`].
    pub async fn log(&self, id: &str) -> Result<String, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        blocking(move || {
            let id = vaults.named(&id)?;
            records::log(&*vaults.store, &id)
        })
        .await
    }

    /// What became of the znodes of the backup `from`, all but those below `/zookeeper`. `latest` is the newest good backup. Nothing more is read
    /// once the future is dropped.
    ///
    /// # Errors
    /// As [`znodes`](Self::znodes); [`EngineError::ZooKeeper`].
    pub async fn compare(&self, from: &str, to: CompareWith, page: Page) -> Result<Comparison, EngineError> {
        let (from, vaults) = (from.to_owned(), Arc::clone(&self.vaults));
        match to {
            CompareWith::Live => {
                let store = Arc::clone(&vaults.store);
                let from = blocking(move || vaults.named(&from)).await?;
                with_live(store, Arc::clone(&self.site), &from, page, self.now()).await
            }
            CompareWith::Backup(to) => {
                let waits = Arc::new(()); // until this is dropped
                let waiting = Arc::downgrade(&waits);
                blocking(move || {
                    let (from, to) = (vaults.named(&from)?, vaults.named(&to)?);
                    compare::between(&*vaults.store, &from, &to, page, &waiting)
                })
                .await
            }
        }
    }

    /// The backups that have a znode. `page` counts the backups that are looked into, newest first; after ten seconds no further one is.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn find_znode(&self, path: ZnodePath, page: Page) -> Result<ZnodeFinds, EngineError> {
        let vaults = Arc::clone(&self.vaults);
        blocking(move || vaults.find(&path, page)).await
    }

    /// The backups in which a znode was another than in the one before. `page` counts the backups that are looked into, oldest first; after ten
    /// seconds no further one is.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn history(&self, path: ZnodePath, page: Page) -> Result<ZnodeHistory, EngineError> {
        let vaults = Arc::clone(&self.vaults);
        blocking(move || vaults.history(&path, page)).await
    }
}
