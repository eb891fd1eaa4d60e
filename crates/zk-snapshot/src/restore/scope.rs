//! Which records of a backup are wanted, and where they go.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::places::Places;
use super::{RestoreError, RestoreOptions};
use crate::archive::{ArchiveError, Outline, Record, RecordSource, Role};
use crate::tree::ZnodePath;
use crate::tree::reserved::{is_always_there, is_never_written, is_reserved, is_statistics};

/// Frames that are read ahead of their use.
const AHEAD: usize = 6;

/// The part of a backup that a restore is about, known before its first write.
pub(super) struct Scope<'a> {
    options: &'a RestoreOptions,
    /// Znodes above what is renamed, in the places where it goes, that the backup does not bring there.
    above: BTreeSet<ZnodePath>,
    /// Znodes that it brings only because they are above something that is wanted.
    outer: BTreeSet<ZnodePath>,
    /// Whether any of it goes to where a server keeps its own.
    goes_to_zookeeper: bool,
    /// Whether any of it goes anywhere else.
    goes_elsewhere: bool,
}

/// A record where it is to go.
pub(super) struct Placed {
    pub(super) record: Record,
    /// The place that it had, if that is another.
    pub(super) from: Option<ZnodePath>,
    /// Whether it was asked for by name.
    pub(super) named: bool,
}

struct Place {
    /// If it is another one.
    path: Option<ZnodePath>,
    role: Role,
    /// It only is above something that is wanted.
    outer: bool,
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

/// What [`restore`](super::restore) finds before its first write, for who has something else to do before that: reads, and so checks, the
/// whole backup.
///
/// # Errors
/// [`RestoreError`], without which [`restore`](super::restore) with the same options begins to write.
pub async fn check_restore(
    source: &Arc<dyn RecordSource>,
    options: &RestoreOptions,
) -> Result<(), RestoreError> {
    Scope::new(source, options).await.map(drop)
}

impl<'a> Scope<'a> {
    /// Reads, and so checks, the whole backup once.
    pub(super) async fn new(
        source: &Arc<dyn RecordSource>,
        options: &'a RestoreOptions,
    ) -> Result<(Self, Places), RestoreError> {
        let mut scope = Self {
            options,
            above: BTreeSet::new(),
            outer: BTreeSet::new(),
            goes_to_zookeeper: false,
            goes_elsewhere: false,
        };
        let mut places = Places::with_room(source.records());
        let mut missing: HashSet<_> = options.roots.iter().cloned().collect();
        // A name that is misspelt must not restore in place what was to be a copy.
        let mut misnamed: HashSet<_> = options.renames.keys().cloned().collect();
        let mut outer = BTreeSet::new();
        // What is above something that stays where it was, below a place to which something is renamed.
        let mut above_in_place = HashSet::new();
        let targets = options.renames.iter().filter(|(from, to)| from != to);
        let targets: Vec<_> = targets.map(|(_, to)| to).collect();
        let mut there = 0;
        let unread = |cause| RestoreError::Archive {
            cause,
            report: Box::default(),
        };
        let mut frames = Box::pin(ahead(source, |source, index| source.outline(index)));
        while let Some(outlines) = frames.next().await {
            for Outline { path, role } in outlines.map_err(unread)? {
                there += u64::from(role == Role::Captured);
                misnamed.remove(&path);
                if role != Role::Ancestor {
                    missing.remove(&path);
                }
                let Some(place) = scope.find(&path, role) else {
                    continue;
                };
                if place.outer {
                    outer.insert(path);
                    continue;
                }
                if place.path.is_none() && targets.iter().any(|to| path.is_within(to)) {
                    above_in_place.extend(path.ancestors());
                }
                let path = place.path.unwrap_or(path);
                if !places.want(&path) {
                    return Err(RestoreError::Collision(path));
                }
                scope.goes_to_zookeeper |= is_reserved(&path);
                scope.goes_elsewhere |= !is_reserved(&path);
                places.add_above(&path);
                if let Some(parent) = path.parent().filter(|_| place.role != Role::Unreadable) {
                    places.add_child(&parent);
                }
            }
        }
        if let Some(said) = options.znodes.filter(|said| *said != there) {
            return Err(RestoreError::Miscounted { there, said });
        }
        missing.extend(misnamed);
        if !missing.is_empty() {
            let mut missing: Vec<_> = missing.into_iter().collect();
            missing.sort();
            return Err(RestoreError::NotInBackup(missing));
        }
        // Where what is renamed goes, that of the backup which is only above it goes with it by name, not by content.
        let moved: Vec<_> = outer.iter().filter_map(|path| scope.renamed(path)).collect();
        // What is only above something is needed where that goes, not where it was.
        // Nor is it needed where something else is renamed to its place.
        outer.retain(|path| {
            let place = places.at(path);
            place.is_above() && (!place.is_wanted() || above_in_place.contains(path))
        });
        for path in &outer {
            if !places.want(path) {
                return Err(RestoreError::Collision(path.clone()));
            }
            if let Some(parent) = path.parent() {
                places.add_child(&parent);
            }
        }
        let above = options
            .renames
            .values()
            .flat_map(ZnodePath::ancestors)
            .chain(moved);
        scope.above = above
            .filter(|path| places.at(path).is_above() && !places.at(path).is_wanted())
            .collect();
        scope.outer = outer;
        Ok((scope, places))
    }

    /// The record as it is to be restored; `None` if it is not wanted.
    pub(super) fn place(&self, mut record: Record) -> Option<Placed> {
        let place = self.find(&record.path, record.role)?;
        let named = self.options.roots.contains(&record.path);
        if place.outer && !self.outer.contains(&record.path) {
            return None;
        }
        record.role = place.role;
        let from = place.path.map(|path| std::mem::replace(&mut record.path, path));
        Some(Placed { record, from, named })
    }

    /// Whether any of it goes to where a server keeps its own.
    pub(super) fn goes_to_zookeeper(&self) -> bool {
        self.goes_to_zookeeper
    }

    /// Whether any of it goes anywhere else.
    pub(super) fn goes_elsewhere(&self) -> bool {
        self.goes_elsewhere
    }

    /// Whether no record says what the znode at `path` is to be, though something is to go below it.
    pub(super) fn is_missing_above(&self, path: &ZnodePath) -> bool {
        self.above.contains(path)
    }

    fn find(&self, path: &ZnodePath, role: Role) -> Option<Place> {
        let roots = &self.options.roots;
        if is_never_written(path) {
            return None;
        }
        let mut role = role;
        if roots.is_empty() {
            if is_reserved(path) {
                return None;
            }
        } else if !roots.iter().any(|root| path.is_within(root)) {
            if !roots.iter().any(|root| root.is_within(path)) || path.is_root() {
                return None;
            }
            role = Role::Ancestor;
        }
        let outer = role == Role::Ancestor;
        if is_statistics(path) && role == Role::Captured {
            role = Role::Ancestor;
        }
        Some(Place {
            path: self.renamed(path).filter(|to| !outer && to != path),
            role,
            outer,
        })
    }

    /// Where the deepest renaming that has `path` in it takes it.
    fn renamed(&self, path: &ZnodePath) -> Option<ZnodePath> {
        let renames = self.options.renames.iter();
        let longest = renames
            .filter(|(from, _)| path.is_within(from))
            .max_by_key(|(from, _)| from.depth());
        longest.map(|(from, to)| path.rebased(from, to))
    }

    /// Whether a live child that the backup lacks may be deleted.
    pub(super) fn may_delete(&self, places: &Places, path: &ZnodePath) -> bool {
        let within_zookeeper = is_reserved(path);
        let renames = &self.options.renames;
        let renamed_away =
            renames.keys().any(|from| path.is_within(from)) && !renames.values().any(|to| path.is_within(to));
        let place = places.at(path);
        !place.is_wanted()
            && !place.is_above()
            && !renamed_away
            && !is_never_written(path)
            && !is_always_there(path)
            && (!within_zookeeper || self.options.roots.iter().any(is_reserved))
    }
}
