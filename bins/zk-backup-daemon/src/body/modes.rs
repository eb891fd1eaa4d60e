//! Which kind of backup is meant, as requests say it.

use backup_engine::Mode;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::answer::ApiError;

/// What the predecessor's clients may say beside what each request says by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(try_from = "Map<String, Value>", deny_unknown_fields)]
#[schema(as = CustomVarsBody)]
pub(super) struct CustomVars {
    #[serde(default)]
    #[schema(value_type = Option<Mode>)]
    mode: Option<String>,
}

/// An object and nothing else: what is derived would take a list as well.
impl TryFrom<Map<String, Value>> for CustomVars {
    type Error = String;

    fn try_from(vars: Map<String, Value>) -> Result<Self, String> {
        let mut mode = None;
        for (name, value) in vars {
            match (&*name, value) {
                ("mode", Value::Null) => {}
                ("mode", Value::String(text)) => mode = Some(text),
                ("mode", _) => return Err("mode: a text is expected".to_owned()),
                _ => return Err(format!("unknown field `{name}`, expected `mode`")),
            }
        }
        Ok(Self { mode })
    }
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
