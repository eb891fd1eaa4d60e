//! What is true and what is false, wherever a client or an operator says it.

/// The words for true and false that `truth` knows.
pub(crate) const WORDS: &str = "true, 1, t, y, yes, or false, 0, f, n, no";

/// What a text means where true or false is asked for, in settings, queries and bodies alike; `None` if it says neither.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "y" | "yes" => Some(true),
        "false" | "0" | "f" | "n" | "no" => Some(false),
        _ => None,
    }
}
