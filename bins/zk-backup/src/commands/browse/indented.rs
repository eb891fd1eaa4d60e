//! JSON, indented, and otherwise as it is stored.

use serde::de::IgnoredAny;

/// The deepest that is indented, as what is written grows with its square.
const DEEPEST: usize = 128;

/// The JSON in `data` with other white space. Names that come twice, their order, and how numbers and texts are written stay.
///
/// # Errors
/// Why it is none.
pub(super) fn indented(data: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(data).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    let mut out = String::new();
    let mut depth: usize = 0;
    let mut rest = text.chars().filter(is_no_space_outside_texts()).peekable();
    let mut in_text = InText::default();
    while let Some(c) = rest.next() {
        if in_text.holds(c) {
            out.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                if let Some(end) = rest.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                    continue;
                }
                depth += 1;
                if depth > DEEPEST {
                    return Err(format!("it is deeper than {DEEPEST} levels"));
                }
                new_line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out += ": ",
            c => out.push(c),
        }
    }
    Ok(out)
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn is_no_space_outside_texts() -> impl FnMut(&char) -> bool {
    let mut in_text = InText::default();
    move |c| in_text.holds(*c) || !c.is_ascii_whitespace()
}

/// Whether one is within a text, character by character.
#[derive(Default)]
struct InText {
    is_open: bool,
    is_escaped: bool,
}

impl InText {
    /// Whether the next character belongs to a text; so do its quotes.
    fn holds(&mut self, c: char) -> bool {
        let was_open = self.is_open;
        match c {
            _ if self.is_escaped => self.is_escaped = false,
            '\\' if self.is_open => self.is_escaped = true,
            '"' => self.is_open = !self.is_open,
            _ => {}
        }
        was_open || self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        indented(text.as_bytes()).unwrap()
    }

    #[test]
    fn tokens_stay_as_they_are() {
        assert_eq!(
            of(r#" {"b":1.10,"a":[12345678901234567890,1e999 , -0],"b":{ },"c":[]} "#),
            "{\n  \"b\": 1.10,\n  \"a\": [\n    12345678901234567890,\n    1e999,\n    -0\n  ],\n  \"b\": {},\n  \"c\": []\n}"
        );
        let text = r#""a, {b: [\\\"] \\u0041 ł""#;
        assert_eq!(of(text), text);
        assert_eq!([of("7"), of("\n null\t")], ["7", "null"]);
        assert_eq!(of("[[],[1]]"), "[\n  [],\n  [\n    1\n  ]\n]");
    }

    #[test]
    fn what_is_none_is_told() {
        for none in [
            &b"{"[..],
            b"",
            b"{\"a\":1,}",
            b"01",
            b"\"\xff\"",
            b"1 2",
            b"\"\n\"",
        ] {
            assert!(indented(none).is_err(), "{none:?}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(indented(deep(DEEPEST).as_bytes()).is_ok());
        assert!(
            indented(deep(DEEPEST + 2).as_bytes())
                .unwrap_err()
                .contains("deeper")
        );
    }
}
