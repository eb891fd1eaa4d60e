//! A capture in memory.

use tokio::sync::mpsc;

use super::{CaptureError, CaptureOptions, CaptureSummary, Portion, capture};
use crate::archive::{Amended, Record};
use crate::tree::ZnodeReader;

/// A capture in memory.
#[derive(Debug)]
pub struct Captured {
    /// What was found.
    pub summary: CaptureSummary,
    /// Where a restore can take it from.
    pub records: Amended<Vec<Vec<Record>>>,
}

/// Captures into memory: for small trees, and for tests.
///
/// # Errors
/// As [`capture`].
pub async fn capture_in_memory(
    reader: &dyn ZnodeReader,
    options: &CaptureOptions,
) -> Result<Captured, CaptureError> {
    let (sink, mut portions) = mpsc::channel(4);
    let collect = async {
        let (mut frames, mut amendments) = (Vec::new(), Vec::new());
        while let Some(portion) = portions.recv().await {
            match portion {
                Portion::Restart => {
                    frames.clear();
                    amendments.clear();
                }
                Portion::Records(records) => frames.push(records),
                Portion::Amendments(more) => amendments.extend(more),
            }
        }
        Amended::new(frames, amendments)
    };
    let (summary, records) = futures::join!(capture(reader, options, sink), collect);
    Ok(Captured {
        summary: summary?,
        records,
    })
}
