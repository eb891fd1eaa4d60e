//! The whole engine over a tree in memory, through what it offers to everybody, with stores that fail when they are told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod builders;
mod checks;
mod checks_deeper;
mod checks_disturbed;
mod commits;
mod crashes;
mod empty;
mod ends;
mod exchange;
mod first;
mod histories;
mod holds;
mod hooks;
mod ids;
mod leading;
mod looking;
mod newest;
mod news;
mod queue;
mod quotas;
mod recoveries;
mod remote;
mod restore_tests;
mod retention;
mod second;
mod standing;
mod stopped;
mod storages;
mod support;
mod unnoted;
mod watching;

#[tokio::test]
async fn a_tree_in_memory_does_what_every_ensemble_must_do() {
    let tree = std::sync::Arc::new(zk_snapshot::tree::MemoryTree::new());
    backup_engine::conformance::ensemble(&backup_engine::MemoryEnsemble::new(tree)).await;
}
