//! Whether a restore may go on, and write.

/// Asked by a restore whether it may go on. `Err` says why not, in plain words: the restore ends as
/// [`RestoreError::Stopped`](super::RestoreError::Stopped) then, with a report of what was done.
pub trait Permit: std::fmt::Debug + Send + Sync {
    /// Whether more may be begun. Asked before each batch of reads, and of writes. What was begun is still brought to an
    /// end where it would be in the way otherwise.
    ///
    /// # Errors
    /// Why not.
    fn may_go_on(&self) -> Result<(), String>;

    /// Whether a request that writes may go out now. Asked right before each of them, whatever it is for. Always, by
    /// default.
    ///
    /// # Errors
    /// Why not.
    fn may_write(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Lets a restore go on to its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unhindered;

impl Permit for Unhindered {
    fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }
}
