//! Files of frames in a stage.

use std::io::BufWriter;

use vault_store::{FileEntry, FileName, FrameEntry, Stage, VaultFile};
use zk_snapshot::archive::Frame;

use crate::work::failure::Failure;

pub(super) type Out = BufWriter<Box<dyn VaultFile>>;

/// Begins a file.
pub(super) fn file_in(stage: &mut dyn Stage, name: &FileName) -> Result<Out, Failure> {
    Ok(BufWriter::with_capacity(1 << 20, stage.create(name)?))
}

/// Ends it, and says what it is.
pub(super) fn file_entry(name: FileName, out: Out, frames: Vec<Frame>) -> Result<FileEntry, Failure> {
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .finish()?;
    Ok(FileEntry {
        name,
        bytes: frames.iter().map(|frame| frame.length).sum(),
        frames: frames.into_iter().map(frame_entry).collect(),
    })
}

fn frame_entry(frame: Frame) -> FrameEntry {
    let Frame {
        offset,
        length,
        records,
        sha256,
    } = frame;
    FrameEntry {
        offset,
        length,
        records,
        sha256,
    }
}
