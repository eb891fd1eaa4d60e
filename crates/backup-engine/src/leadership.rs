//! Which of several engines over one storage works.

use async_trait::async_trait;
use tokio::sync::watch;
use zk_snapshot::restore::Permit;

/// What an engine is among those that share a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Somebody else works, or nobody. What is still done is stopped at once, and is somebody else's to do.
    Standby,
    /// This one works.
    Leader {
        /// How often the lead was taken until then: another one each time, also where the same engine takes it again.
        term: u64,
    },
    /// It begins nothing more, and ends what it has begun.
    Leaving,
}

/// Says whether an engine works ([`EngineBuilder::leadership`](crate::EngineBuilder::leadership)). As a [`Permit`] it is asked
/// before each request of a restore that writes to ZooKeeper, and before a backup is removed.
#[async_trait]
pub trait Leadership: Permit {
    /// What the engine is, from now on.
    fn role(&self) -> watch::Receiver<Role>;

    /// What health and metrics tell of it.
    fn report(&self) -> health_metrics::Leadership;

    /// Somebody else may do better: the role becomes [`Role::Leaving`].
    fn step_down(&self);

    /// Everything that was begun has ended. Whoever leads still gives that away, and leaves others the time to take it.
    async fn release(&self);
}
