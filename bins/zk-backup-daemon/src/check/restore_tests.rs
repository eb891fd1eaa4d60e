//! Whether backups can be restored for a test where the settings say. Nothing is made there.

use zk_snapshot::tree::{ClientError, Reading, ZnodePath};

use super::finding::Finding;
use crate::Settings;
use crate::assemble::test_ensemble;

const CHECK: &str = "restore tests";

pub(super) async fn look(settings: &Settings) -> Option<Finding> {
    let ensemble = test_ensemble(settings)?.ensemble;
    let name = ensemble.name();
    let lets_create = async {
        let client = ensemble.connect().await?;
        let acls = client.read_acls(&[ZnodePath::root()]).await;
        client.close().await;
        Ok::<_, ClientError>(match acls?.pop() {
            Some(Reading::Found(found)) => found.acl.lets_anyone_create(),
            _ => false,
        })
    };
    Some(match lets_create.await {
        Ok(true) => Finding::ok(CHECK, format!("{name} answers, and lets anyone create znodes")),
        Ok(false) => Finding::ok(
            CHECK,
            format!("{name} answers: whether it lets us create znodes there only a test can tell"),
        ),
        Err(error) => Finding::fails(
            CHECK,
            format!("{error}: check RESTORE_TEST_HOST and RESTORE_TEST_ROOT, and that it serves"),
        ),
    })
}
