//! Whether a restore may go on, and write.

use crate::tree::WriteError;

/// Why a restore may not go on, or not write, in plain words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPermitted(String);

impl NotPermitted {
    /// `why` begins the message of the restore that ends by it.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl From<NotPermitted> for WriteError {
    fn from(why: NotPermitted) -> Self {
        Self::Refused(why.0)
    }
}

/// Asked by a restore whether it may go on. Where it may not, it ends as
/// [`RestoreError::Stopped`](super::RestoreError::Stopped), with a report of what was done.
pub trait Permit: std::fmt::Debug + Send + Sync {
    /// Whether more may be begun. Asked before each batch of reads, and of writes. What was begun is still brought to an
    /// end where it would be in the way otherwise.
    ///
    /// # Errors
    /// [`NotPermitted`].
    fn may_go_on(&self) -> Result<(), NotPermitted>;

    /// Whether a request that writes may go out now. Asked right before each of them, whatever it is for. Always, by
    /// default.
    ///
    /// # Errors
    /// [`NotPermitted`].
    fn may_write(&self) -> Result<(), NotPermitted> {
        Ok(())
    }
}

/// Lets a restore go on to its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unhindered;

impl Permit for Unhindered {
    fn may_go_on(&self) -> Result<(), NotPermitted> {
        Ok(())
    }
}
