//! What the webhook is told, as `docs/API.md` has it.

use backup_engine::News;
use serde::Serialize;

use super::Job;

/// Something that has happened.
#[derive(Debug, Serialize)]
pub(crate) struct Notification<'a> {
    /// The same each time that it is told.
    id: String,
    #[serde(flatten)]
    event: Event,
    /// The name of the machine.
    server: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event")]
enum Event {
    #[serde(rename = "job.ended")]
    JobEnded { job: Box<Job> },
    #[serde(rename = "damage.found")]
    DamageFound { backup: String, damage: String },
    #[serde(rename = "leadership.gained")]
    LeadershipGained { term: u64 },
    #[serde(rename = "leadership.lost")]
    LeadershipLost { term: u64 },
    /// What has no name here yet.
    #[serde(rename = "other")]
    Other,
}

impl<'a> Notification<'a> {
    /// By the machine of that name.
    pub(crate) fn new(news: &News, server: &'a str) -> Self {
        Self {
            id: news.id(),
            event: news.into(),
            server,
        }
    }
}

impl From<&News> for Event {
    fn from(news: &News) -> Self {
        match news {
            News::JobEnded(job) => Self::JobEnded {
                job: Box::new(Job::from((**job).clone())),
            },
            News::DamageFound { backup, damage, .. } => Self::DamageFound {
                backup: backup.to_string(),
                damage: damage.clone(),
            },
            News::LeadershipGained { term } => Self::LeadershipGained { term: *term },
            News::LeadershipLost { term } => Self::LeadershipLost { term: *term },
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_happened_is_told_with_what_it_is_about() {
        let told = |news: &News| serde_json::to_value(Notification::new(news, "host")).unwrap();
        let damage = News::DamageFound {
            backup: "20261123T140000".parse().unwrap(),
            damage: "tree.0 is cut".to_owned(),
            before: 0,
        };
        assert_eq!(
            told(&damage),
            json!({
                "id": "damage/20261123T140000", "event": "damage.found", "server": "host",
                "backup": "20261123T140000", "damage": "tree.0 is cut",
            })
        );
        assert_eq!(
            told(&News::LeadershipGained { term: 3 }),
            json!({ "id": "leadership/3/gained", "event": "leadership.gained", "server": "host", "term": 3 })
        );
        assert_eq!(
            told(&News::LeadershipLost { term: 3 }),
            json!({ "id": "leadership/3/lost", "event": "leadership.lost", "server": "host", "term": 3 })
        );
        assert_eq!(
            serde_json::to_value(Event::Other).unwrap(),
            json!({ "event": "other" })
        );
    }
}
