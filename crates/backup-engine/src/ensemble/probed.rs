//! What is known of the ensemble without waiting for it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use health_metrics::ZooKeeperHealth;
use tokio::sync::watch;

use super::traits::Ensemble;
use crate::lock::lock;

/// The longest that a report waits for a new answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// The same where nothing is known yet: a busy server takes longer to let somebody in.
const FIRST_PATIENCE: Duration = Duration::from_millis(750);

/// The last answer of an ensemble to a probe. One probe is under way at a time, however many ask.
#[derive(Debug, Default)]
pub(crate) struct Probed {
    last: Mutex<Option<(Instant, ZooKeeperHealth)>>,
    under_way: Mutex<Option<watch::Receiver<bool>>>,
}

impl Probed {
    /// What a probe says, if that comes at once; else what the last one has said, and how long ago.
    pub(crate) async fn health(self: &Arc<Self>, ensemble: &Arc<dyn Ensemble>) -> ZooKeeperHealth {
        let mut done = self.probe(ensemble);
        let is_first = lock(&self.last).is_none();
        let patience = if is_first { FIRST_PATIENCE } else { PATIENCE };
        // An error means that the probe has ended, too.
        let _ = tokio::time::timeout(patience, done.wait_for(|done| *done)).await;
        match &*lock(&self.last) {
            Some((at, health)) => ZooKeeperHealth {
                age: at.elapsed(),
                ..health.clone()
            },
            None => ZooKeeperHealth {
                error: Some("it has not answered yet".to_owned()),
                ..ZooKeeperHealth::default()
            },
        }
    }

    /// Begins a probe, unless one is under way.
    fn probe(self: &Arc<Self>, ensemble: &Arc<dyn Ensemble>) -> watch::Receiver<bool> {
        let mut under_way = lock(&self.under_way);
        if let Some(done) = under_way
            .as_ref()
            .filter(|done| done.has_changed().is_ok() && !*done.borrow())
        {
            return done.clone();
        }
        let (tell, done) = watch::channel(false);
        *under_way = Some(done.clone());
        let (probed, ensemble) = (Arc::clone(self), Arc::clone(ensemble));
        tokio::spawn(async move {
            let health = ensemble.probe().await;
            *lock(&probed.last) = Some((Instant::now(), health));
            tell.send_replace(true);
        });
        done
    }
}
