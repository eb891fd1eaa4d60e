//! What a restore knows while it goes on, shared by all of its steps.

use std::collections::{BTreeMap, HashSet};

use super::counters::{Counters, helper_name};
use super::guard::Guards;
use super::places::Place;
use super::report::name_path;
use super::scope::Scope;
use super::step::FinalAcl;
use super::writer::Writer;
use super::{RestoreOptions, RestoreReport};
use crate::tree::{ZnodePath, ZnodeReader, ZnodeWriter};

/// A restore under way.
pub(super) struct RestoreState<'a, T: ?Sized> {
    pub(super) live: &'a T,
    pub(super) options: &'a RestoreOptions,
    pub(super) scope: Scope<'a>,
    pub(super) writer: Writer<'a, T>,
    pub(super) counters: Counters,
    /// Parents whose counters stay low, and why.
    pub(super) counters_left: BTreeMap<ZnodePath, String>,
    /// The name of the children that are created and deleted again to raise counters.
    pub(super) helper: String,
    pub(super) guards: Guards,
    /// Live znodes that the backup lacks.
    pub(super) extras: Vec<ZnodePath>,
    /// What comes when nothing is left to be done below a znode.
    pub(super) final_acls: BTreeMap<ZnodePath, FinalAcl>,
    /// Znodes that the backup lacks, and that stay, each of them told once.
    pub(super) reported_extras: HashSet<ZnodePath>,
    /// Znodes above what is renamed that are there by now.
    pub(super) known_above: HashSet<ZnodePath>,
    /// How often what did not go as planned was gone through.
    pub(super) passes: usize,
    /// An ACL is on its way that lets us do what comes below it.
    pub(super) admits: bool,
}

impl<'a, T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'a, T> {
    pub(super) fn new(
        live: &'a T,
        options: &'a RestoreOptions,
        scope: Scope<'a>,
        writer: Writer<'a, T>,
    ) -> Self {
        Self {
            live,
            options,
            scope,
            writer,
            counters: Counters::default(),
            counters_left: BTreeMap::new(),
            helper: helper_name(),
            guards: Guards::new(live.working_acl()),
            extras: Vec::new(),
            final_acls: BTreeMap::new(),
            reported_extras: HashSet::new(),
            known_above: HashSet::new(),
            passes: 0,
            admits: false,
        }
    }

    /// Whether nothing is below a znode, since this restore has just created it. Once something did not go as planned,
    /// that is looked at; only a dry run knows by itself what it would have created.
    pub(super) fn is_surely_empty(&self, place: Place) -> bool {
        place.is_created() && (self.passes == 0 || self.options.dry_run)
    }

    pub(super) fn report(mut self) -> RestoreReport {
        let mut unfinished: Vec<_> = self.writer.unfinished.into_keys().collect();
        unfinished.sort();
        let report = &mut self.writer.report;
        for (path, why) in self.counters_left {
            report.leave_counter(&path, why);
        }
        report.unfinished = unfinished.len() as u64;
        unfinished
            .iter()
            .for_each(|path| name_path(&mut report.unfinished_paths, path));
        report.order(usize::MAX, self.options.show);
        self.writer.report
    }
}
