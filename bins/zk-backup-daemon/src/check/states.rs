//! Whether servers hand out their state for transactional backups: their AdminServer, or agents. Files are looked at as storage is.

use backup_engine::AgentSource;

use super::finding::Finding;
use crate::Settings;

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(admin) = &settings.admin {
        findings.push(match admin.try_out().await {
            Ok(told) => Finding::ok("AdminServer", told),
            Err(why) => Finding::fails(
                "AdminServer",
                format!("{why}: check ZOOKEEPER_ADMIN_URL and ZOOKEEPER_ADMIN_AUTHORIZATION"),
            ),
        });
    }
    if let Some(port) = settings.agent_port {
        let agent = AgentSource::new(settings.zookeeper.clone(), port, &settings.storage);
        let has_others = settings.admin.is_some() || settings.data_dirs.is_some();
        findings.push(match agent.try_out().await {
            Ok(told) => Finding::ok(
                "agent",
                format!("{told}: whether it copies to tmp in STORAGE only a backup can tell"),
            ),
            Err(why) if has_others => Finding::ok("agent", format!("{why}: there is another source")),
            Err(why) => Finding::warning(
                "agent",
                format!("{why}: transactional backups have no source (other backups need none)"),
            ),
        });
    }
    findings
}
