//! What is told of one backup or job: facts, each with its name.

use serde_json::Value;

use crate::exit::Failure;
use crate::text::{Look, Screen, clean};

/// Writes each on a line, one below the other, in the `look` that it has.
pub(super) fn write(
    facts: &[(String, String)],
    screen: &mut Screen<'_>,
    look: impl Fn(&str, &str) -> Option<Look>,
) -> Result<(), Failure> {
    let widths = facts.iter().map(|(name, _)| name.chars().count());
    let width = widths.max().unwrap_or(0);
    for (name, fact) in facts {
        screen.line(&format!("{name:width$}  {}", clean(fact)), look(name, fact))?;
    }
    Ok(())
}

/// What else the server tells, in its own words: nothing of it is held back because it is new.
pub(super) fn flatten(name: &str, value: &Value, facts: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&format!("{name} {}", key.replace('_', " ")), value, facts);
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                flatten(name, entry, facts);
            }
        }
        Value::Bool(truth) => facts.push((
            clean(name).into_owned(),
            if *truth { "yes" } else { "no" }.to_owned(),
        )),
        Value::String(text) => facts.push((clean(name).into_owned(), clean(text).into_owned())),
        Value::Number(number) => facts.push((clean(name).into_owned(), number.to_string())),
    }
}
