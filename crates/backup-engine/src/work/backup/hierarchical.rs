//! A hierarchical backup: the znode tree, through the client API.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use vault_store::{
    AclsFrom, AsOf, Captured, Contents, FileEntry, Hierarchical, Manifest, Moving, Outcome, Skipped, Stage,
    Zxid,
};
use zk_snapshot::archive::{Amendment, ArchiveError, ArchiveWriter, Record};
use zk_snapshot::capture::{AclIndexWriter, CaptureOptions, CaptureSummary, Consistency, Portion, capture};
use zk_snapshot::tree::ZnodePath;

use super::files::{Out, file_entry, file_in};
use super::index::Index;
use super::{Staged, known_acls};
use crate::requests::BackupRequest;
use crate::site::Site;
use crate::vaults::Vaults;
use crate::vaults::records::{ACLS, AMENDMENTS, ARCHIVE};
use crate::work::context::JobContext;
use crate::work::failure::Failure;
use crate::work::progress::Progress;

/// Portions between the walk and the writer; the walk waits when the writer is behind.
const BUFFERED: usize = 8;
/// Znodes that could not be read and are named.
const NAMED: usize = 20;

struct Written {
    stage: Box<dyn Stage>,
    files: Vec<FileEntry>,
    /// Znodes whose records are too large to be read again.
    too_large: BTreeSet<ZnodePath>,
}

/// Captures what is asked for into a new stage.
pub(super) async fn stage(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    manifest: &Manifest,
    request: &BackupRequest,
) -> Result<Staged, Failure> {
    let JobContext { log, progress, .. } = context;
    progress.phase("connecting");
    let client = context.unless_stopped(site.ensemble.connect()).await??;
    progress.phase("capturing");
    let (store, here) = (Arc::clone(&vaults.store), Arc::clone(site));
    let (roots, now) = (manifest.roots.clone(), context.now());
    let known = tokio::task::spawn_blocking(move || known_acls::newest(&*store, &here, roots.as_ref(), now));
    let known = known.await?;
    if known.sealed > 0 {
        log.info(&format!(
            "{} earlier backups are sealed, and no identity is here that opens them: what they know of ACLs is asked for",
            known.sealed
        ));
    }
    if let Some((id, _)) = &known.acls {
        log.info(&format!("ACLs that did not change are those of backup {id}"));
    }
    let (sink, portions) = mpsc::channel(BUFFERED);
    let (store, id) = (Arc::clone(&vaults.store), manifest.id.clone());
    let (counter, source) = (Arc::clone(progress), site.ensemble.name());
    let storage = request.storage.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let stage = || Ok(store.stage_in(storage.as_deref(), &id)?);
        write_portions(stage, portions, &source, &counter)
    });
    let options = CaptureOptions {
        roots: request.roots.clone(),
        rounds: site.consistency_rounds,
        known_acls: known.acls.as_ref().map(|(_, index)| Arc::clone(index)),
        ..CaptureOptions::default()
    };
    // Where it is dropped the writer finds that nothing more comes, and what it has written goes with its stage.
    let captured = context.unless_stopped(capture(&*client, &options, sink)).await;
    let written = writing.await;
    let refused = matches!(&captured, Ok(Ok(summary)) if summary.unreadable > 0);
    let identities = match refused {
        true => client.identities().await.unwrap_or(None),
        false => None,
    };
    client.close().await;
    // If the writer failed, the capture only knows that nobody listened.
    let written = written??;
    let mut summary = captured??;
    for path in written.too_large {
        log.error(&format!("{path} is too large for a backup"));
        summary.unreadable += 1;
        summary.znodes = summary.znodes.saturating_sub(1);
        if summary.unreadable_paths.len() < NAMED {
            summary.unreadable_paths.push(path);
        }
    }
    if let (Some((id, _)), Some(before)) = (&known.acls, known.newest_zxid)
        && summary.unreadable == 0
        && before > summary.newest_zxid
    {
        log.error(&format!(
            "the newest zxid is 0x{:x}, and that of backup {id} was 0x{before:x}: was ZooKeeper rolled back to older data?",
            summary.newest_zxid
        ));
    }
    let outcome = tell(context, &summary, identities.as_deref());
    Ok(Staged {
        stage: written.stage,
        files: written.files,
        contents: contents(&summary, request, site.ensemble.name()),
        outcome,
    })
}

/// Writes what the capture hands on, from the beginning in a new stage wherever it starts over.
fn write_portions(
    stage: impl Fn() -> Result<Box<dyn Stage>, Failure>,
    mut portions: mpsc::Receiver<Portion>,
    source: &str,
    progress: &Progress,
) -> Result<Written, Failure> {
    'anew: loop {
        let mut vault = Vault::begin(stage()?)?;
        while let Some(portion) = portions.blocking_recv() {
            match portion {
                Portion::Restart => {
                    progress.restart();
                    continue 'anew;
                }
                Portion::Records(records) => {
                    for record in records {
                        progress.add(1, record.data.len());
                        vault.record(record)?;
                    }
                }
                Portion::Amendments(more) => more.into_iter().try_for_each(|one| vault.amend(one))?,
            }
        }
        return vault.finish(source);
    }
}

/// The files of a vault that are being written.
struct Vault {
    stage: Box<dyn Stage>,
    archive: ArchiveWriter<Out>,
    amendments: Option<ArchiveWriter<Out>>,
    acls: AclIndexWriter,
    index: Index,
    too_large: BTreeSet<ZnodePath>,
}

impl Vault {
    fn begin(mut stage: Box<dyn Stage>) -> Result<Self, Failure> {
        let archive = ArchiveWriter::new(file_in(&mut *stage, &ARCHIVE)?);
        Ok(Self {
            stage,
            archive,
            amendments: None,
            acls: AclIndexWriter::default(),
            index: Index::new(),
            too_large: BTreeSet::new(),
        })
    }

    fn record(&mut self, mut record: Record) -> Result<(), Failure> {
        self.acls.add(&record.path, &record.stat, &record.acl);
        let frame = self.archive.frame();
        match self.archive.push(&record) {
            Err(ArchiveError::TooLarge(path)) => {
                record = Record::unreadable(path.clone());
                self.archive.push(&record)?;
                self.too_large.insert(path);
            }
            pushed => pushed?,
        }
        self.index.add(&record, frame);
        Ok(())
    }

    fn amend(&mut self, mut amendment: Amendment) -> Result<(), Failure> {
        if let Some(record) = &amendment.record {
            self.acls.add(&record.path, &record.stat, &record.acl);
        }
        let archive = match &mut self.amendments {
            Some(archive) => archive,
            none => none.insert(ArchiveWriter::new(file_in(&mut *self.stage, &AMENDMENTS)?)),
        };
        self.too_large.remove(&amendment.path);
        let frame = archive.frame();
        match archive.amend(&amendment) {
            Err(ArchiveError::TooLarge(path)) => {
                amendment.record = Some(Record::unreadable(path.clone()));
                archive.amend(&amendment)?;
                self.too_large.insert(path);
            }
            amended => amended?,
        }
        self.index.amend(&amendment, frame);
        Ok(())
    }

    /// Ends all files. The index is sorted meanwhile.
    fn finish(self, source: &str) -> Result<Written, Failure> {
        let Self {
            mut stage,
            archive,
            amendments,
            acls,
            index,
            too_large,
        } = self;
        let files = std::thread::scope(|scope| {
            let index = scope.spawn(|| index.sort());
            let (out, frames) = archive.finish()?;
            let mut files = vec![file_entry(ARCHIVE, out, frames)?];
            if let Some(amendments) = amendments {
                let (out, frames) = amendments.finish()?;
                files.push(file_entry(AMENDMENTS, out, frames)?);
            }
            let mut known = Vec::new();
            acls.finish(source, &mut known)?;
            files.push(stage.put(&ACLS, &known)?);
            let index = index.join();
            if let Some(index) = index.map_err(|_| Failure::from("the index could not be sorted"))? {
                files.push(index.write(&mut *stage)?);
            }
            Ok::<_, Failure>(files)
        })?;
        Ok(Written {
            stage,
            files,
            too_large,
        })
    }
}

/// Says what a capture found, and what is to be thought of it.
fn tell(context: &JobContext, summary: &CaptureSummary, identities: Option<&[String]>) -> Outcome {
    let JobContext { log, metrics, .. } = context;
    metrics.captured(
        claim(summary.consistency).as_str(),
        &[
            ("ephemeral", summary.ephemerals_skipped),
            ("unreadable", summary.unreadable),
            ("vanished", summary.vanished),
        ],
    );
    log.info(&format!(
        "captured {} znodes, {} bytes of data; skipped {} ephemeral ones",
        summary.znodes, summary.bytes, summary.ephemerals_skipped
    ));
    log.info(&match summary.consistency {
        Consistency::Consistent => format!(
            "consistent as of zxid 0x{:x} after {} rounds",
            summary.newest_zxid, summary.rounds
        ),
        Consistency::Fuzzy => format!(
            "fuzzy: {} znodes still changed after {} rounds",
            summary.moving, summary.rounds
        ),
    });
    if summary.ancestors_apart > 0 {
        log.info(&format!(
            "{} ancestors of what was backed up changed meanwhile: they are of another moment",
            summary.ancestors_apart
        ));
    }
    if !summary.counters_known {
        log.info(
            "ClickHouse Keeper: its counters of sequential children are not known, and /keeper is left out",
        );
    }
    if !summary.is_partial() {
        return Outcome::Complete;
    }
    let paths = summary.unreadable_paths.iter().map(ToString::to_string);
    let names: Vec<_> = paths.chain(summary.refused_names.iter().cloned()).collect();
    let more = if summary.unreadable as usize > names.len() {
        ", …"
    } else {
        ""
    };
    Outcome::Partial {
        reason: format!(
            "partial: {} znodes could not be read in full: {}{more}{}",
            summary.unreadable,
            names.join(", "),
            unread(summary, identities)
        ),
    }
}

/// Why not. Whom ZooKeeper takes us for matters where it has refused something.
fn unread(summary: &CaptureSummary, identities: Option<&[String]>) -> String {
    let refused = (!summary.unreadable_paths.is_empty())
        .then_some(identities)
        .flatten();
    let mut why = refused.map_or(String::new(), needed);
    if !summary.refused_names.is_empty() {
        why +=
            "; no backup takes what lies deeper than 4,096, has a path above 256 KiB or a name that is none";
    }
    why
}

/// As whom we have asked, and what that needs.
fn needed(identities: &[String]) -> String {
    let names = identities.join(", ");
    if identities.iter().any(|identity| identity.starts_with("super:")) {
        return format!(
            "; ZooKeeper knows us as {names}, and hides nothing from super: an ACL whose digests are really called `x` looks as \
             if they were hidden. Nobody can log in by these: set such an ACL anew"
        );
    }
    format!("; ZooKeeper knows us as {names}, and READ is needed there, with ADMIN where an ACL has digests")
}

fn claim(consistency: Consistency) -> vault_store::Consistency {
    match consistency {
        Consistency::Consistent => vault_store::Consistency::Consistent,
        Consistency::Fuzzy => vault_store::Consistency::Fuzzy,
    }
}

fn contents(summary: &CaptureSummary, request: &BackupRequest, source: String) -> Contents {
    let texts = |paths: &[ZnodePath]| paths.iter().map(ToString::to_string).collect();
    Contents::Hierarchical(Hierarchical {
        captured: Captured {
            consistency: claim(summary.consistency),
            zxid: AsOf {
                newest: Zxid(summary.newest_zxid),
            },
            znodes: summary.znodes,
            bytes: summary.bytes,
            allow_partial: request.allow_partial,
            source: Some(source),
        },
        rounds: Some(summary.rounds),
        moving: Some(Moving {
            count: summary.moving,
            paths: texts(&summary.moving_paths),
        }),
        ancestors_apart: Some(summary.ancestors_apart),
        counters_known: Some(summary.counters_known),
        vanished: summary.vanished,
        skipped: Skipped {
            ephemeral: summary.ephemerals_skipped,
            unreadable: summary.unreadable,
            unreadable_paths: texts(&summary.unreadable_paths),
            refused_names: Some(summary.refused_names.clone()),
        },
        acls: Some(AclsFrom {
            read: summary.acls_read,
            reused: summary.acls_reused,
        }),
    })
}
