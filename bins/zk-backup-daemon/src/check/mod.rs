//! `zk-backup-daemon check`: tries what the settings name, and says what will not work.

mod certificates;
mod commands;
mod finding;
mod restore_tests;
mod states;
mod storage;
mod walk;
mod webhook;
mod zookeeper;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use backup_engine::SystemClock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::finding::{Finding, Outcome};
use crate::{Cli, Settings, StartError, start};

/// Tries what the settings of `cli` name for ZooKeeper, its AdminServer or agents, restore tests, certificates, storage, the webhook and the port, changing nothing but a probe in a bucket, and writes a line for each
/// to `out`, or a JSON object. No command is run. Whether all of it will work, warnings aside.
///
/// # Errors
/// Those of `out`.
pub async fn check(cli: &Cli, json: bool, out: &mut (dyn Write + Send)) -> io::Result<bool> {
    let mut works = true;
    let mut tell = |findings: Vec<Finding>| {
        for finding in findings {
            works &= finding.outcome != Outcome::Fails;
            finding.write(json, out)?;
        }
        out.flush()
    };
    let settings = match cli.settings() {
        Ok((settings, hints)) => {
            tell(
                hints
                    .into_iter()
                    .map(|hint| Finding::warning("settings", hint))
                    .collect(),
            )?;
            settings
        }
        Err(error) => {
            tell(vec![Finding::fails("settings", error.to_string())])?;
            return Ok(false);
        }
    };
    tell(findings(&settings))?;
    tell(zookeeper::look(&settings).await)?;
    tell(states::look(&settings).await)?;
    tell(restore_tests::look(&settings).await.into_iter().collect())?;
    tell(certificates::look(&settings, SystemClock::now()))?;
    tell(commands::look(&settings))?;
    tell(webhook::look(&settings, SystemClock::now).await)?;
    let settings = Arc::new(settings);
    let asked = Arc::clone(&settings);
    let stored = tokio::task::spawn_blocking(move || storage::look(&asked)).await;
    tell(stored.unwrap_or_else(|error| vec![Finding::fails("storage", error.to_string())]))?;
    tell(vec![port(&settings)])?;
    Ok(works)
}

/// What the settings come to.
fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(match &settings.schedule {
        None => Finding::warning(
            "schedule",
            "BACKUP_SCHEDULE=None: backups are taken by hand alone",
        ),
        Some(schedule) => match schedule.next_after(SystemClock::now()).map(rfc3339) {
            Some(next) => Finding::ok("schedule", format!("{}, next at {next}", schedule.as_str())),
            None => Finding::warning("schedule", format!("{} is never due", schedule.as_str())),
        },
    });
    let policies = format!(
        "{} for full backups, {} for granular ones",
        settings.eviction_policy, settings.granular_eviction_policy
    );
    findings.push(Finding::ok("policies", policies));
    if let Some(encryption) = &settings.encryption {
        findings.push(match &encryption.identities {
            Some(identities) if identities.open(&encryption.recipients.names()) => {
                Finding::ok("encryption", encryption.to_string())
            }
            _ => Finding::warning("encryption", encryption.to_string()),
        });
    }
    findings.push(match settings.access.is_anonymous() {
        false => Finding::ok("access", "credentials are asked for"),
        true => Finding::warning(
            "access",
            "no credentials are set: whoever reaches the server may do everything",
        ),
    });
    findings
}

/// Whether the port can be had.
fn port(settings: &Settings) -> Finding {
    let address = SocketAddr::new(settings.address, settings.port);
    match start::listen(address, settings.tls.is_some()) {
        Ok(_) => Finding::ok("port", format!("{address} is free")),
        Err(StartError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            let message =
                format!("something listens on {address}: if it is not the server itself, set another port");
            Finding::warning("port", message)
        }
        Err(error) => Finding::fails("port", error.to_string()),
    }
}

fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}
