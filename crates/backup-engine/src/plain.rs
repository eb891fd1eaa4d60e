//! Text from anywhere, as one line for a log or an answer.

/// The longest line, in characters.
const LINE: usize = 2_000;

/// Whether a terminal may take it for a command, or show something else than what is there: what moves the cursor, turns the writing around, or is not seen.
#[must_use]
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` as one line: what is [hostile](is_hostile) is shown as an escape, and what is long is cut.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(4 * LINE));
    for (index, c) in text.chars().enumerate() {
        if index == LINE {
            line.push('…');
            break;
        }
        match is_hostile(c) {
            true => line.extend(c.escape_unicode()),
            false => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(
            plain("a\nb\u{1b}[2Jc\u{202e}d ł"),
            "a\\u{a}b\\u{1b}[2Jc\\u{202e}d ł"
        );
        // Two that look the same, and text that is not seen.
        assert_eq!(
            plain("ab a\u{ad}b a\u{200b}b \u{feff}a\u{2060}b\u{e0041}\u{fffb}"),
            "ab a\\u{ad}b a\\u{200b}b \\u{feff}a\\u{2060}b\\u{e0041}\\u{fffb}"
        );
        let long = plain(&"x".repeat(1 << 20));
        assert!(long.chars().count() == LINE + 1 && long.ends_with('…'));
    }
}
