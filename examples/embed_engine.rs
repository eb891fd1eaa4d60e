//! Another service embeds the engine: here over a tree in memory; over a real ensemble it is
//! `ZooKeeperEnsemble::new(BatchedConfig::new("zk1:2181"), Driver::Auto)`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;

use backup_engine::{BackupRequest, Engine, JobState, MemoryEnsemble, RestoreRequest};
use zk_snapshot::tree::{Acl, MemoryTree};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tree = Arc::new(MemoryTree::new());
    tree.put("/config", b"retries=3", Acl::open())?;
    let storage = tempfile::tempdir()?;
    let engine = Engine::builder(Arc::new(MemoryEnsemble::new(Arc::clone(&tree))))
        .storage(storage.path())?
        .schedule("0 3 * * *".parse()?)
        .build()?;

    let backup = engine.backup(BackupRequest::default()).await?;
    while engine.step().await? {} // a service runs `engine.run(shutdown)` in a task instead
    println!("backups: {:?}", engine.list().await?);

    tree.put("/config", b"retries=0", Acl::open())?;
    let task = engine.restore(RestoreRequest::of(&backup)).await?;
    while engine.step().await? {}
    let job = engine.job(&task).await?.ok_or("the job is gone")?;
    let data = tree.data("/config");
    println!(
        "restore: {:?}, /config is {:?}",
        job.status,
        data.as_deref().map(String::from_utf8_lossy)
    );
    if job.status != JobState::Successful || data.as_deref() != Some(b"retries=3") {
        return Err("the restore did not bring back what was there".into());
    }
    Ok(())
}
