//! A restore from beginning to end: from the top down, then deletions upwards, then counters, then the ACLs that may lock
//! us out; and what goes to `/zookeeper` after all of that.

use std::sync::Arc;

use super::error::Stop;
use super::rights::Rights;
use super::scope::Scope;
use super::state::RestoreState;
use super::writer::Writer;
use super::{RestoreError, RestoreOptions, RestoreReport};
use crate::archive::RecordSource;
use crate::tree::reserved::is_reserved;
use crate::tree::{ZnodeReader, ZnodeWriter};

/// How often what comes after the creations is gone through.
const ROUNDS: usize = 5;

/// Makes the live tree what the backup says, writing only what differs.
///
/// The backup is read and checked as a whole before the first write. `docs/decisions/0017` has the order of the writes
/// and what it guarantees: nobody is shown data of the backup that its own ACLs do not show him, a write that meets
/// something else than what was read is planned again, and one znode that cannot be written costs no other. A restore
/// that was interrupted is finished by the next one that has the same znodes in reach.
/// Archive frames are read on threads that may block; call it within a tokio runtime.
///
/// # Errors
/// [`RestoreError`]. Single znodes that could not be written are no error here: see [`RestoreReport::failed`].
pub async fn restore<T: ZnodeReader + ZnodeWriter + ?Sized>(
    source: Arc<dyn RecordSource>,
    live: &T,
    options: &RestoreOptions,
) -> Result<RestoreReport, RestoreError> {
    let (scope, places) = Scope::new(&source, options).await?;
    let writer = match Writer::new(live, options, places) {
        Ok(writer) => writer,
        Err(stop) => return Err(stop.with(RestoreReport::default())),
    };
    let mut state = RestoreState::new(live, options, scope, writer);
    let mut done = state.run(&source).await;
    state.writer.abandon().await;
    if done.is_err() {
        state.writer.name_unsure();
    }
    state.put_back_at_last().await;
    if !matches!(done, Err(Stop::Client(_))) {
        done = done.and(state.identify().await);
    }
    let noted = state.writer.note_ends().await;
    let report = state.report();
    match done.and(noted) {
        Ok(()) => Ok(report),
        Err(stop) => Err(stop.with(report)),
    }
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    async fn run(&mut self, source: &Arc<dyn RecordSource>) -> Result<(), Stop> {
        if self.guards.hides() {
            self.guards.know(self.live.identities().await?);
        }
        if self.options.dry_run && !self.options.compares_only {
            self.writer.rights = Rights::of(self.live.identities().await?);
        }
        self.put_back_earlier().await?;
        if self.scope.goes_elsewhere() || !self.scope.goes_to_zookeeper() {
            self.bring_back(source, false).await?;
        }
        // No quota stands in the way of what it limits.
        if self.scope.goes_to_zookeeper() {
            self.bring_back(source, true).await?;
        }
        for path in self.final_acls.keys() {
            let why = "its ACL is changed by others all the time";
            self.writer.report.fail(path, why.to_owned());
        }
        for path in std::mem::take(&mut self.extras) {
            let why = "it is not in the backup, and others create and change znodes there all the time";
            self.writer.fail_once(&path, why.to_owned());
        }
        self.tell_low_counters().await?;
        self.look_at_unfinished().await?;
        self.writer.check_refusal()
    }

    /// What goes to where a server keeps its own, or all the rest.
    async fn bring_back(&mut self, source: &Arc<dyn RecordSource>, to_zookeeper: bool) -> Result<(), Stop> {
        self.pass(source, |_, path| is_reserved(path) == to_zookeeper)
            .await?;
        self.plan_again(source).await?;
        for _ in 0..ROUNDS {
            self.delete_extras(source).await?;
            self.raise_counters(source).await?;
            self.guard_at_last(source).await?;
            // What was planned again on the way may have brought more of each.
            if self.extras.is_empty() && self.counters.is_empty() && self.final_acls.is_empty() {
                break;
            }
        }
        Ok(())
    }
}
