//! Whether a restore that is a job may go on.

use std::sync::Arc;

use job_queue::{Stop, StopReason};
use zk_snapshot::restore::{NotPermitted, Permit};

use super::stop::Stopped;

/// As long as the engine's own permit says so, and the job is not to end early. One that is called off still clears up what is
/// in the way; one whose claim is lost writes nothing more.
#[derive(Debug)]
pub(super) struct OfJob {
    pub(super) engine: Arc<dyn Permit>,
    pub(super) stop: Stop,
}

impl Permit for OfJob {
    fn may_go_on(&self) -> Result<(), NotPermitted> {
        match self.stop.reason() {
            None => self.engine.may_go_on(),
            Some(why) => Err(NotPermitted::new(Stopped::from(why).to_string())),
        }
    }

    fn may_write(&self) -> Result<(), NotPermitted> {
        match self.stop.reason() {
            None | Some(StopReason::Canceled) => self.engine.may_write(),
            Some(lost) => Err(NotPermitted::new(Stopped::from(lost).to_string())),
        }
    }
}
