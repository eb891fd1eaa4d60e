//! Which records of a backup are wanted, and where they go.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::places::Places;
use super::{RestoreError, RestoreOptions};
use crate::{ArchiveError, Outline, Record, RecordSource, Role, ZnodePath};

/// Frames that are read ahead of their use.
const AHEAD: usize = 6;

/// The part of a backup that a restore is about, known before its first write.
pub(super) struct Scope<'a> {
    options: &'a RestoreOptions,
}

/// Every frame of `source` through `read`, in order, on threads that may block.
pub(super) fn ahead<T: Send + 'static>(
    source: &Arc<dyn RecordSource>,
    read: fn(&dyn RecordSource, usize) -> Result<T, ArchiveError>,
) -> impl stream::Stream<Item = Result<T, ArchiveError>> + use<T> {
    let source = Arc::clone(source);
    stream::iter(0..source.frames())
        .map(move |index| {
            let source = Arc::clone(&source);
            tokio::task::spawn_blocking(move || read(&*source, index))
        })
        .buffered(AHEAD)
        .map(|read| read.unwrap_or_else(|error| Err(std::io::Error::other(error).into())))
}

impl<'a> Scope<'a> {
    /// Reads, and so checks, the whole backup once.
    pub(super) async fn new(
        source: &Arc<dyn RecordSource>,
        options: &'a RestoreOptions,
    ) -> Result<(Self, Places), RestoreError> {
        let scope = Self { options };
        let mut places = Places::with_room(source.records());
        let mut missing: HashSet<_> = options.roots.iter().cloned().collect();
        // A name that is misspelt must not restore in place what was to be a copy.
        let mut misnamed: HashSet<_> = options.renames.keys().cloned().collect();
        let mut frames = Box::pin(ahead(source, |source, index| source.outline(index)));
        while let Some(outlines) = frames.next().await {
            for Outline { path, role } in outlines.map_err(|cause| RestoreError::Archive {
                cause,
                report: Box::default(),
            })? {
                misnamed.remove(&path);
                if role != Role::Ancestor {
                    missing.remove(&path);
                }
                let Some((place, role)) = scope.find(&path, role) else {
                    continue;
                };
                let path = place.unwrap_or(path);
                if !places.want(&path) {
                    return Err(RestoreError::Collision(path));
                }
                if let Some(parent) = path.parent().filter(|_| role != Role::Unreadable) {
                    places.add_child(&parent);
                }
            }
        }
        missing.extend(misnamed);
        if missing.is_empty() {
            return Ok((scope, places));
        }
        let mut missing: Vec<_> = missing.into_iter().collect();
        missing.sort();
        Err(RestoreError::NotInBackup(missing))
    }

    /// The record as it is to be restored, and whether that is under another path; `None` if it is not wanted.
    pub(super) fn place(&self, mut record: Record) -> Option<(Record, bool)> {
        let (place, role) = self.find(&record.path, record.role)?;
        record.role = role;
        let renamed = place.is_some();
        if let Some(path) = place {
            record.path = path;
        }
        Some((record, renamed))
    }

    /// The path to which a record goes, if that is another one, and its role there.
    fn find(&self, path: &ZnodePath, role: Role) -> Option<(Option<ZnodePath>, Role)> {
        let roots = &self.options.roots;
        if is_server_owned(path) {
            return None;
        }
        let mut role = role;
        if roots.is_empty() {
            if path.is_within(&zookeeper()) {
                return None;
            }
        } else if !roots.iter().any(|root| path.is_within(root)) {
            if !roots.iter().any(|root| root.is_within(path)) || path.is_root() {
                return None;
            }
            role = Role::Ancestor;
        }
        let renames = self.options.renames.iter();
        let longest = renames
            .filter(|(from, _)| role != Role::Ancestor && path.is_within(from))
            .max_by_key(|(from, _)| from.depth());
        if is_statistics(path) && role == Role::Captured {
            role = Role::Ancestor;
        }
        Some((longest.map(|(from, to)| path.rebased(from, to)), role))
    }

    /// Whether a live child that the backup lacks may be deleted.
    pub(super) fn may_delete(&self, places: &Places, path: &ZnodePath) -> bool {
        let within_zookeeper = path.is_within(&zookeeper());
        let renames = &self.options.renames;
        let renamed_away =
            renames.keys().any(|from| path.is_within(from)) && !renames.values().any(|to| path.is_within(to));
        !places.is_wanted(path)
            && !renamed_away
            && !is_server_owned(path)
            && path.as_str() != "/zookeeper/quota" // always there
            && (!within_zookeeper || self.options.roots.iter().any(|root| root.is_within(&zookeeper())))
    }
}

fn zookeeper() -> ZnodePath {
    ZnodePath::parse("/zookeeper").unwrap_or_else(|_| ZnodePath::root())
}

/// What the server makes itself and no restore writes.
fn is_server_owned(path: &ZnodePath) -> bool {
    let text = path.as_str();
    matches!(text, "/zookeeper" | "/zookeeper/config") || text.starts_with("/zookeeper/config/")
}

/// The statistics of a quota. The server counts in them, from when they are created, but does not create them: a limit
/// without them limits nothing.
fn is_statistics(path: &ZnodePath) -> bool {
    path.as_str().starts_with("/zookeeper/quota/") && path.name() == "zookeeper_stats"
}
