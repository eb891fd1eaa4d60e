//! What every ensemble and every source of states must do. Run it over those of your own: each function panics at the
//! first thing that does not hold, and says what that is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use zk_snapshot::files::FileError;
use zk_snapshot::tree::{History, Reading, ZnodePath};

use crate::ensemble::{Client, Ensemble, StateSource};

/// What a probe may take, and a little more.
const PROBE: Duration = Duration::from_secs(3);

/// Over an ensemble that is there, and may be read.
pub async fn ensemble(ensemble: &dyn Ensemble) {
    let name = ensemble.name();
    assert!(!name.is_empty(), "An ensemble has a name.");
    assert_eq!(ensemble.name(), name, "It keeps its name.");
    if let Some(chroot) = ensemble.chroot() {
        assert!(!chroot.is_root(), "All of the tree is no chroot.");
    }
    let begun = Instant::now();
    let health = ensemble.probe().await;
    assert!(
        health.reachable && health.error.is_none(),
        "One that is there says so: {health:?}."
    );
    assert!(begun.elapsed() < PROBE, "A probe takes two seconds at most.");

    let first = ensemble
        .connect()
        .await
        .expect("one that is there takes connections");
    let second = ensemble.connect().await.expect("it takes several at once");
    assert!(
        reads(&*first).await && reads(&*second).await,
        "Each of them reads the root."
    );
    first.close().await;
    assert!(reads(&*second).await, "The end of one is not that of another.");
    second.close().await;

    let earlier = ensemble.committed_zxid().await;
    let later = ensemble.committed_zxid().await;
    assert!(later >= earlier, "What was committed stays so.");
    let mut names = BTreeSet::new();
    for member in ensemble.members() {
        assert!(names.insert(member.name()), "Each of its servers is named once.");
        let health = member.probe().await;
        assert!(health.reachable, "Its servers are there: {health:?}.");
    }
}

async fn reads(client: &dyn Client) -> bool {
    let answer = client.read_many(&[ZnodePath::root()], History::One).await;
    matches!(answer.as_deref(), Ok([Reading::Found(_)]))
}

/// Over a source that has a state of `ensemble`.
pub async fn state_source(source: &dyn StateSource, ensemble: &dyn Ensemble) {
    assert!(!source.name().is_empty(), "A source has a name.");
    let earlier = source.gather(ensemble).await.expect("it has a state");
    let later = source.gather(ensemble).await.expect("it has one again");
    assert!(
        later.tree.zxid() >= earlier.tree.zxid(),
        "A state that is asked for later is none from before."
    );
    if let Some(committed) = ensemble.committed_zxid().await {
        assert!(
            later.tree.zxid() <= committed,
            "It shows nothing that was not committed."
        );
    }
    let mut paths = BTreeSet::new();
    let read = later.tree.for_each(|znode| {
        assert!(
            paths.insert(znode.path.clone().into_owned()),
            "A znode comes once: {}.",
            znode.path
        );
        Ok::<_, FileError>(())
    });
    read.expect("all of it can be read");
    assert_eq!(paths.len(), later.tree.len(), "It has as many znodes as it says.");
    assert!(paths.contains("/"), "It has a root.");
}
