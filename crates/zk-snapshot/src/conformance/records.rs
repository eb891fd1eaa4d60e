//! What every source of records must do.

use std::collections::BTreeSet;

use crate::archive::{Outline, RecordSource};
use crate::tree::ZnodePath;

/// Reads `source` through, and once more. Panics at the first thing that does not hold, and says what that is.
pub fn records(source: &dyn RecordSource) {
    let mut seen: BTreeSet<ZnodePath> = BTreeSet::new();
    for index in 0..source.frames() {
        let records = source.frame(index).expect("every frame can be read");
        let outlines: Vec<_> = records.iter().map(Outline::of).collect();
        assert_eq!(
            source.outline(index).expect("every frame can be read"),
            outlines,
            "An outline names what the frame has, in the same order."
        );
        for record in &records {
            if let Some(parent) = record.path.parent() {
                assert!(
                    seen.contains(&parent),
                    "A parent comes before its children: {}.",
                    record.path
                );
            }
            assert!(
                seen.insert(record.path.clone()),
                "A znode comes once: {}.",
                record.path
            );
        }
        assert_eq!(
            source.frame(index).expect("every frame can be read"),
            records,
            "A frame is the same each time."
        );
    }
    let beyond = source.frame(source.frames());
    assert!(beyond.is_err(), "There is no frame after the last.");
}
