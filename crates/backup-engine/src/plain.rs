//! Text from anywhere, as one line for a log or an answer.

/// The longest line, in characters.
const LINE: usize = 2_000;

/// `text` as one line: what moves the cursor or turns the writing around is shown as an escape, and what is long is cut.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(4 * LINE));
    for (index, c) in text.chars().enumerate() {
        if index == LINE {
            line.push('…');
            break;
        }
        match c {
            _ if c.is_control() => line.extend(c.escape_unicode()),
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' => {
                line.extend(c.escape_unicode());
            }
            c => line.push(c),
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
        let long = plain(&"x".repeat(1 << 20));
        assert!(long.chars().count() == LINE + 1 && long.ends_with('…'));
    }
}
