//! The conformance suite over every probe that comes with the crate.
#![allow(clippy::unwrap_used)]

use health_metrics::{FixedProcess, FixedStorage, FsProbe, SystemProcess, conformance};

#[test]
fn every_probe_passes() {
    let directory = tempfile::tempdir().unwrap();
    conformance::storage(&FsProbe::new(directory.path()));
    conformance::storage(&FixedStorage::default());
    conformance::process(&FixedProcess::default());
    conformance::process(&SystemProcess::default());
}
