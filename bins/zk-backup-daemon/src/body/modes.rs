//! Which kind of backup is meant, as requests say it.

use std::fmt;

use backup_engine::Mode;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::ApiError;

/// What the predecessor's clients may say beside what each request says by itself.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(try_from = "Given", deny_unknown_fields)]
#[schema(as = CustomVarsBody)]
pub(super) struct CustomVars {
    #[serde(default)]
    #[schema(value_type = Option<Mode>)]
    mode: Option<String>,
}

/// All that an object has, in its order: what is given twice is there twice.
struct Given(Vec<(String, Value)>);

/// An object and nothing else: what is derived would take a list as well.
impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Given, A::Error> {
                let mut given = Vec::new();
                while let Some(member) = members.next_entry()? {
                    given.push(member);
                }
                Ok(Given(given))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl TryFrom<Given> for CustomVars {
    type Error = String;

    fn try_from(Given(vars): Given) -> Result<Self, String> {
        let (mut mode, mut is_given) = (None, false);
        for (name, value) in vars {
            if name == "mode" && std::mem::replace(&mut is_given, true) {
                return Err("duplicate field `mode`".to_owned());
            }
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
