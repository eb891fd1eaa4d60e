//! Nothing goes wrong any more: what was accepted is done, and what is listed is whole.

use std::sync::Arc;
use std::time::Duration;

use backup_engine::{BackupRequest, JobState, RestoreRequest};
use tokio::time::sleep;
use vault_store::{ObjectVaults, Outcome, VaultStore, verify};

use crate::bucket::Reached;
use crate::server::{Body, Server};
use crate::world::{World, ZNODES};

/// So long requests may still be on their way, servers stopped, and leases held by who is dead.
const SETTLES: Duration = Duration::from_secs(110);
/// All that waits is done within that.
const DONE: u32 = 1_200;

/// Waits until all is done, and judges what is there then.
pub(crate) async fn settle(world: &Arc<World>, servers: Vec<Server>) -> Result<(), String> {
    if world.facts(|facts| facts.wrong.is_some()) {
        return Ok(()); // which is told
    }
    sleep(SETTLES).await;
    all_ends(world).await?;
    goes_on(world, &servers).await?;
    is_whole(world).await
}

/// Each accepted job ends.
async fn all_ends(world: &World) -> Result<(), String> {
    for _ in 0..DONE {
        if unended(world).is_empty() {
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
    }
    let left = unended(world);
    let are = world.facts(|facts| {
        left.iter()
            .map(|id| facts.jobs.get(id).cloned())
            .collect::<Vec<_>>()
    });
    Err(format!("{left:?} were accepted, and are {are:?} in the end"))
}

fn unended(world: &World) -> Vec<String> {
    world.facts(|facts| {
        let ids = facts.accepted.keys().filter(|id| !facts.ends.contains_key(*id));
        ids.cloned().collect()
    })
}

async fn ended(world: &World, id: &str) -> Result<(), String> {
    for _ in 0..DONE {
        match world.facts(|facts| facts.ends.get(id).copied()) {
            Some(JobState::Successful) => return Ok(()),
            Some(other) => return Err(format!("{id} is {other} though nothing is wrong")),
            None => sleep(Duration::from_secs(1)).await,
        }
    }
    Err(format!("{id} does not end"))
}

/// Who leads then backs up and restores.
async fn goes_on(world: &World, servers: &[Server]) -> Result<(), String> {
    let leading: Vec<_> = servers.iter().filter(|server| server.lease.is_held()).collect();
    let [leader] = leading[..] else {
        return Err(format!("{} lead, and nothing is wrong", leading.len()));
    };
    let id = leader.engine.backup(BackupRequest::default()).await;
    let id = id.map_err(|error| error.to_string())?;
    ended(world, &id).await?;
    let there = world.tree.dump();
    for number in 0..ZNODES / 2 {
        world.put(number, "afterwards");
    }
    let task = leader.engine.restore(RestoreRequest::of(&id)).await;
    ended(world, &task.map_err(|error| error.to_string())?).await?;
    match world.tree.dump() == there {
        true => Ok(()),
        false => Err(format!("{:?} is not {there:?}", world.tree.dump())),
    }
}

/// What is listed is what was committed and not removed, and reads back from beginning to end; and each backup that was told to be successful is among it, unless it was removed.
async fn is_whole(world: &Arc<World>) -> Result<(), String> {
    let somebody = Body::new(world, "somebody who looks".to_owned());
    let reached = Reached {
        world: Arc::clone(world),
        luck: somebody.luck(),
        server: somebody,
        takes_time: false,
    };
    let world = Arc::clone(world);
    let look = move || {
        let vaults = ObjectVaults::open(Arc::new(reached), "p").map_err(|error| error.to_string())?;
        let listed = vaults.ids().map_err(|error| error.to_string())?;
        let names: Vec<_> = listed.iter().map(ToString::to_string).collect();
        let (there, lost) = world.facts(|facts| {
            let there = facts.vaults.iter().filter(|(_, is_there)| **is_there);
            let there: Vec<_> = there.map(|(id, _)| id.clone()).collect();
            let backups = facts.accepted.iter().filter(|(_, restores)| !**restores);
            let mut done = backups.filter(|(id, _)| facts.ends.get(*id) == Some(&JobState::Successful));
            let lost = done.find(|(id, _)| !facts.vaults.contains_key(*id));
            (there, lost.map(|(id, _)| id.clone()))
        });
        if names != there {
            return Err(format!("{names:?} are listed, and {there:?} were committed"));
        }
        if let Some(id) = lost {
            return Err(format!("{id} was told to be successful, and was never committed"));
        }
        for id in listed {
            let manifest = vaults.manifest(&id).map_err(|error| error.to_string())?;
            let found = verify(&vaults, &id, id.time()).map_err(|error| error.to_string())?;
            let is_told = matches!(manifest.outcome, Outcome::Complete | Outcome::Failed { .. });
            if !found.is_sound() || !is_told || manifest.term.is_none() {
                return Err(format!("{id} is {:?}, {found:?}", manifest.outcome));
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(look).await.unwrap()
}
