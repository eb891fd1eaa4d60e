//! Whether ZooKeeper can be backed up: reached, as whom, and what it does not show us.

use std::time::Duration;

use backup_engine::{Client, Ensemble as _, SystemClock, ZooKeeperEnsemble};
use futures::future::join_all;
use health_metrics::ZooKeeperHealth;

use super::finding::Finding;
use super::walk::{Seen, walk};
use crate::Settings;
use crate::identity::untaken;

/// So long what may not be read is looked for.
const LOOKING: Duration = Duration::from_secs(20);
/// Further than this a clock is off.
pub(super) const OFF: time::Duration = time::Duration::minutes(1);

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
    findings.extend(silent(&ensemble).await);
    findings.push(identity(&*client, settings).await);
    match walk(&*client, LOOKING).await {
        Ok(seen) => findings.extend(findings_of(&seen)),
        Err(error) => findings.push(Finding::fails("zookeeper", error.to_string())),
    }
    client.close().await;
    findings
}

/// Of several servers those that do not answer. One that is misspelt is missed when the others are gone.
async fn silent(ensemble: &ZooKeeperEnsemble) -> Vec<Finding> {
    let members = ensemble.members();
    let asked = members
        .iter()
        .map(|member| async { (member.name(), member.probe().await) });
    let answers = join_all(asked).await;
    let silent = answers.into_iter().filter(|(_, health)| !health.reachable);
    let finding = |(name, health): (String, ZooKeeperHealth)| {
        let why = health.error.unwrap_or_default();
        let message = format!("of the servers in ZOOKEEPER_HOST {name} does not answer: {why}");
        Finding::warning("zookeeper", message)
    };
    silent.map(finding).collect()
}

async fn identity(client: &dyn Client, settings: &Settings) -> Finding {
    match client.identities().await {
        Ok(Some(identities)) if !identities.is_empty() => {
            let known = format!("ZooKeeper knows us as {}", identities.join(", "));
            match untaken(&settings.zookeeper, &identities) {
                None => Finding::ok("identity", known),
                Some(untaken) => Finding::fails("identity", format!("{known}: {untaken}")),
            }
        }
        Ok(_) => Finding::ok(
            "identity",
            "ZooKeeper does not tell as whom it knows us: it does from 3.7 on",
        ),
        Err(error) => Finding::fails("identity", error.to_string()),
    }
}

fn findings_of(seen: &Seen) -> Vec<Finding> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;

    fn seen(newest: OffsetDateTime) -> Seen {
        Seen {
            znodes: 7,
            unreadable: 0,
            first_unreadable: None,
            newest,
            is_all: true,
        }
    }

    fn findings(seen: &Seen) -> [serde_json::Value; 2] {
        let all: Vec<_> = findings_of(seen)
            .iter()
            .map(|finding| serde_json::to_value(finding).unwrap())
            .collect();
        all.try_into().unwrap()
    }

    #[test]
    fn a_clock_that_is_behind_what_was_written_is_wrong() {
        let minutes = |minutes| SystemClock::now() + time::Duration::minutes(minutes);
        let ok = json!({"check": "clock", "outcome": "ok", "message": "no znode is of the future"});
        for newest in [OffsetDateTime::UNIX_EPOCH, minutes(-1), minutes(0), minutes(1)] {
            assert_eq!(findings(&seen(newest))[1], ok, "{newest}");
        }
        let [_, clock] = findings(&seen(minutes(10)));
        assert_eq!(
            (&clock["check"], &clock["outcome"]),
            (&json!("clock"), &json!("fails"))
        );
        let message = clock["message"].as_str().unwrap();
        let seconds = message.strip_prefix("a znode was written ").unwrap();
        let (seconds, what) = seconds.split_once(" seconds from now: ").unwrap();
        let seconds: i64 = seconds.parse().unwrap();
        assert!((500..=600).contains(&seconds), "{message}");
        assert!(what.starts_with("set the clock of this machine"), "{message}");
    }

    #[test]
    fn how_far_it_was_looked_and_what_is_hidden_is_told() {
        let all = seen(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(
            findings(&all)[0],
            json!({"check": "permissions", "outcome": "ok", "message": "all 7 znodes may be read"})
        );
        let some = Seen {
            unreadable: 2,
            first_unreadable: Some("/secret".parse().unwrap()),
            is_all: false,
            ..all
        };
        let [permissions, _] = findings(&some);
        assert_eq!(permissions["outcome"], "fails");
        let message = permissions["message"].as_str().unwrap();
        for part in [
            "of the first 7 znodes, as there are more than 20 seconds allow",
            " 2 may not be read, such as /secret: ",
            "READ (and ADMIN, ",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}
