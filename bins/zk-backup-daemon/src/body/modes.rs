//! Which kind of backup is meant, as requests say it.

use backup_engine::Mode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::ApiError;

/// What the predecessor's clients may say beside what each request says by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CustomVarsAsked)]
pub(super) struct CustomVars {
    #[schema(value_type = Option<Mode>)]
    mode: Option<String>,
}

/// The mode, wherever it is said.
pub(super) fn mode(beside: Option<String>, vars: Option<CustomVars>) -> Result<Option<Mode>, ApiError> {
    let within = vars.and_then(|vars| vars.mode);
    if beside.is_some() && within.is_some() {
        let message = "mode and custom_vars.mode mean the same: only one of them can be given";
        return Err(ApiError::invalid(message));
    }
    match beside.or(within).as_deref() {
        None => Ok(None),
        Some("hierarchical") => Ok(Some(Mode::Hierarchical)),
        Some("transactional") => Ok(Some(Mode::Transactional)),
        Some(other) => Err(ApiError::invalid(format!(
            "mode: {other:?} is not one of hierarchical, transactional"
        ))),
    }
}
