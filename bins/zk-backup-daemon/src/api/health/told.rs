//! What listeners are told of health.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Health, Role, Status};

/// Of `/health` what people look at. What is absent there is null here: whoever listens compares.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthTold)]
pub(crate) struct Told {
    status: Status,
    problems: Option<Vec<String>>,
    role: Option<Role>,
    leader: Option<String>,
}

impl From<Health> for Told {
    fn from(health: Health) -> Self {
        Self {
            status: health.status,
            problems: Some(health.problems).filter(|problems| !problems.is_empty()),
            role: health.role,
            leader: health.leader,
        }
    }
}
