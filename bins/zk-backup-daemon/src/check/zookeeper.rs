//! Whether ZooKeeper can be backed up: reached, as whom, and what it does not show us.

use std::time::Duration;

use backup_engine::{Client, Ensemble as _, SystemClock};

use super::finding::Finding;
use super::walk::{Seen, walk};
use crate::Settings;

/// So long what may not be read is looked for.
const LOOKING: Duration = Duration::from_secs(20);
/// Further than this a clock is off.
const OFF: time::Duration = time::Duration::minutes(1);

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let ensemble = settings.ensemble();
    let mut findings = Vec::new();
    let name = ensemble.name();
    let health = ensemble.probe().await;
    let client = match ensemble.connect().await {
        Ok(client) => client,
        Err(error) => {
            let message = format!("{error}: check ZOOKEEPER_HOST, and that it serves");
            return vec![Finding::fails("zookeeper", message)];
        }
    };
    let version = health.version.map_or_else(
        || "does not tell its version (4lw.commands.whitelist=srvr would)".to_owned(),
        |version| format!("is of version {version}"),
    );
    findings.push(Finding::ok("zookeeper", format!("{name} answers, and {version}")));
    findings.push(identity(&*client).await);
    match walk(&*client, LOOKING).await {
        Ok(seen) => findings.extend(told(&seen)),
        Err(error) => findings.push(Finding::fails("zookeeper", error.to_string())),
    }
    client.close().await;
    findings
}

async fn identity(client: &dyn Client) -> Finding {
    match client.identities().await {
        Ok(Some(identities)) if !identities.is_empty() => Finding::ok(
            "identity",
            format!("ZooKeeper knows us as {}", identities.join(", ")),
        ),
        Ok(_) => Finding::ok(
            "identity",
            "ZooKeeper does not tell as whom it knows us: it does from 3.7 on",
        ),
        Err(error) => Finding::fails("identity", error.to_string()),
    }
}

fn told(seen: &Seen) -> Vec<Finding> {
    let extent = match seen.is_all {
        true => format!("all {} znodes", seen.znodes),
        false => format!(
            "the first {} znodes, as there are more than {} seconds allow",
            seen.znodes,
            LOOKING.as_secs()
        ),
    };
    let mut findings = Vec::new();
    findings.push(match &seen.first_unreadable {
        None => Finding::ok("permissions", format!("{extent} may be read")),
        Some(first) => Finding::fails(
            "permissions",
            format!(
                "of {extent} {} may not be read, such as {first}: backups fail as partial. Give our identity READ (and ADMIN, for \
                 the digests of ACLs) there, or super",
                seen.unreadable
            ),
        ),
    });
    let ahead = seen.newest - SystemClock::now();
    findings.push(match ahead > OFF {
        false => Finding::ok("clock", "no znode is of the future"),
        true => Finding::fails(
            "clock",
            format!(
                "a znode was written {} seconds from now: set the clock of this machine, or that of ZooKeeper's",
                ahead.whole_seconds()
            ),
        ),
    });
    findings
}
