//! What comes from outside never reaches a terminal raw.

use std::borrow::Cow;
use std::fmt::Write as _;

use backup_engine::is_hostile;

fn escaped(text: &str, hostile: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match hostile(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// `text` on one line, such as a path: control and invisible characters are shown as `\u{…}`.
#[must_use]
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    escaped(text, is_hostile)
}

/// The same for a text of several lines, whose line ends and tabs stay.
#[must_use]
pub(crate) fn clean_text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| !matches!(c, '\n' | '\t') && is_hostile(c))
}

/// Serialised JSON with the same characters as `\uXXXX`: it means what it meant.
#[must_use]
pub(crate) fn clean_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hostile) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if !is_hostile(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}"); // a String takes everything
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "/a\u{1b}[2J\u{9b}31m\u{202e}b\r\n\u{7f}ł";

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_writing_around() {
        assert_eq!(
            clean(HOSTILE),
            "/a\\u{1b}[2J\\u{9b}31m\\u{202e}b\\u{d}\\u{a}\\u{7f}ł"
        );
        assert_eq!(clean_text("a\tb\nc\u{1b}"), "a\tb\nc\\u{1b}");
        assert!(matches!(clean("/plain/ł/日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_means_what_it_meant() {
        let text = format!("{HOSTILE}\u{e0041}");
        let json = serde_json::to_string(&text).unwrap();
        let shown = clean_json(&json);
        assert!(!shown.contains(is_hostile), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
