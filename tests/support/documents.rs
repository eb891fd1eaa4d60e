//! Commands of documents, to be run as they stand there.

/// The fenced blocks of a document in their order: what stands beside the opening fence, and the text.
#[must_use]
pub fn blocks(document: &str) -> Vec<(&str, &str)> {
    let blocks = document.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n')).collect()
}

/// Every line that is shown came, in that order, wherever it was indented. `…` stands for whatever comes there.
///
/// # Panics
/// With the line that did not come.
pub fn assert_shown(shown: &str, out: &str) {
    let mut lines = out.lines();
    let is_wanted = |line: &&str| !line.is_empty() && *line != "…";
    for shown in shown.lines().map(str::trim).filter(is_wanted) {
        let is_it = |line: &str| match shown.split_once('…') {
            Some((begin, end)) => line.trim_start().starts_with(begin) && line.ends_with(end),
            None => line.trim() == shown,
        };
        assert!(lines.any(is_it), "{shown}\nis not in\n{out}");
    }
}
