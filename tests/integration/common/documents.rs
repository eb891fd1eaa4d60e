//! Commands of documents, to be run as they stand there.

/// The fenced blocks of a document in their order: what stands beside the opening fence, and the text.
pub(crate) fn blocks(document: &str) -> Vec<(&str, &str)> {
    let blocks = document.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n')).collect()
}
