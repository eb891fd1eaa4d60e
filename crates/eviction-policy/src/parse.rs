//! The rule language, read.

use crate::rules::{Rule, RulePolicy, Span};

/// What is wrong with a policy's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is no rule here.
    #[error("a rule such as 7d/delete is missing")]
    Empty,
    /// A rule has no slash, or more than one.
    #[error("a rule is START/INTERVAL or START/delete")]
    NotARule,
    /// Not a number of 1 to 9 digits.
    #[error("a number of up to nine digits is expected")]
    Number,
    /// The unit is not one of the language's.
    #[error("the unit is one of min, h, d, w, m (30 days), y (360 days)")]
    Unit,
    /// An interval or a count of zero.
    #[error("it must be more than zero")]
    Zero,
    /// `N/delete` beside other rules.
    #[error("N/delete must be the only rule")]
    NotAlone,
}

/// A text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("eviction policy {text:?}, at character {}: {fault}; such as 1d/1d,7d/7d,1m/delete", .position + 1)]
pub struct ParseError {
    /// The whole text.
    pub text: String,
    /// Where the fault is: bytes from the start.
    pub position: usize,
    /// What it is.
    pub fault: Fault,
}

impl std::str::FromStr for RulePolicy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = |(position, fault)| ParseError {
            text: text.to_owned(),
            position,
            fault,
        };
        let mut rules = Vec::new();
        let mut starts = Vec::new();
        let mut position = 0;
        for part in text.split(',') {
            let blanks = part.len() - part.trim_start().len();
            starts.push(position + blanks);
            rules.push(rule(part.trim(), position + blanks).map_err(fail)?);
            position += part.len() + 1;
        }
        if rules.len() > 1
            && let Some(index) = rules.iter().position(|rule| matches!(rule, Rule::Newest(_)))
        {
            return Err(fail((starts[index], Fault::NotAlone)));
        }
        Ok(Self { rules })
    }
}

fn rule(text: &str, at: usize) -> Result<Rule, (usize, Fault)> {
    if text.is_empty() {
        return Err((at, Fault::Empty));
    }
    let (start, what) = text.split_once('/').ok_or((at, Fault::NotARule))?;
    let what_at = at + start.len() + 1;
    if what.contains('/') {
        return Err((what_at, Fault::NotARule));
    }
    let delete = what == "delete";
    if delete && start != "0" && !start.is_empty() && start.bytes().all(|b| b.is_ascii_digit()) {
        let count = number(start).ok_or((at, Fault::Number))?;
        return if count == 0 {
            Err((at, Fault::Zero))
        } else {
            Ok(Rule::Newest(count))
        };
    }
    let start = if start == "0" {
        Span::ZERO
    } else {
        span(start, at)?
    };
    if delete {
        return Ok(Rule::Delete(start));
    }
    let interval = span(what, what_at)?;
    if interval.seconds() == 0 {
        Err((what_at, Fault::Zero))
    } else {
        Ok(Rule::Thin(start, interval))
    }
}

fn span(text: &str, at: usize) -> Result<Span, (usize, Fault)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let count = number(count).ok_or((at, Fault::Number))?;
    Span::new(count, unit).ok_or((at + digits, Fault::Unit))
}

fn number(text: &str) -> Option<u64> {
    if text.len() > 9 { None } else { text.parse().ok() }
}
