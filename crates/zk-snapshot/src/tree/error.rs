//! Why ZooKeeper did not answer, or not write.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// ZooKeeper could not be asked. Names the server and the cause.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientError {
    /// Host and port.
    pub address: String,
    /// What went wrong, in plain words, those of the source among them.
    pub cause: String,
    kind: ClientErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What kept ZooKeeper from being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// Nobody answered in time, or the connection was lost. So is all of which no more is known, such as a certificate that the
    /// server does not take.
    Unanswered,
    /// The server does not know a request that the client cannot do without: it is too old.
    Unsupported,
    /// The server refuses our identity, or does not show it what was asked for.
    Credentials,
    /// There was an answer, but none that is taken: it says no, cannot be decoded, or is larger than is taken.
    Answer,
    /// What the client was given cannot be used: an address with a path, a chroot that is not there, a certificate that cannot be read.
    Settings,
}

impl ClientError {
    /// The ensemble at `address` did not answer because of `cause`.
    #[must_use]
    pub fn new(address: &str, cause: impl Into<String>) -> Self {
        Self {
            address: address.to_owned(),
            cause: cause.into(),
            kind: ClientErrorKind::Unanswered,
            source: None,
        }
    }

    /// The same, of another kind.
    #[must_use]
    pub fn of_kind(self, kind: ClientErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The same, with the error that it comes from.
    #[must_use]
    pub fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            source: Some(Arc::new(source)),
            ..self
        }
    }

    /// What kept ZooKeeper from being asked.
    #[must_use]
    pub fn kind(&self) -> ClientErrorKind {
        self.kind
    }

    /// Whether asking again later can help, though nobody changes anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.kind == ClientErrorKind::Unanswered
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZooKeeper at {}: {}", self.address, self.cause)
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

/// The same words of the same address; the source is not looked at.
impl PartialEq for ClientError {
    fn eq(&self, other: &Self) -> bool {
        (&self.address, &self.cause, self.kind) == (&other.address, &other.cause, other.kind)
    }
}

impl Eq for ClientError {}

/// Why a write was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The znode, or its parent, does not exist.
    #[error("the znode or its parent does not exist")]
    NoNode,
    /// The znode exists already.
    #[error("the znode exists already")]
    NodeExists,
    /// The ACL of the znode, or of its parent, does not allow it.
    #[error("not permitted by the ACL of the znode or of its parent")]
    NoAuth,
    /// The znode still has children.
    #[error("the znode has children")]
    NotEmpty,
    /// Its version is not the one that was given: somebody has changed it since.
    #[error("the znode has changed meanwhile")]
    Changed,
    /// The parent is ephemeral.
    #[error("the parent is an ephemeral znode")]
    EphemeralParent,
    /// The server does not accept the ACL, for example because a scheme is not configured there.
    #[error("the server does not accept the ACL")]
    InvalidAcl,
    /// The server refused for another reason; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The connection failed before the answer: the write may have been done. Read again before assuming.
    #[error("the outcome is unknown: {0}")]
    Unknown(#[source] ClientError),
}

impl WriteError {
    /// Whether the same write may be done later, though nobody changes anything. Of the others each tells what would
    /// have to change first.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unknown(error) => error.may_pass(),
            Self::NoNode
            | Self::NodeExists
            | Self::NoAuth
            | Self::NotEmpty
            | Self::Changed
            | Self::EphemeralParent
            | Self::InvalidAcl
            | Self::Refused(_) => false,
        }
    }
}

/// Whether an error of a file may pass though nobody changes anything. What is not known to last may.
pub(crate) fn io_may_pass(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    !matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidData
            | ErrorKind::InvalidFilename
            | ErrorKind::UnexpectedEof
            | ErrorKind::Unsupported
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_asking_again_helps_and_where_it_comes_from() {
        let silent = std::io::Error::from(std::io::ErrorKind::TimedOut);
        let lost = ClientError::new("zk:2181", "no answer in time").caused_by(silent);
        assert!(lost.may_pass() && WriteError::Unknown(lost.clone()).may_pass());
        assert!(lost.source().is_some_and(<dyn Error>::is::<std::io::Error>));
        assert_eq!(lost, ClientError::new("zk:2181", "no answer in time"));
        for kind in [
            ClientErrorKind::Unsupported,
            ClientErrorKind::Credentials,
            ClientErrorKind::Answer,
            ClientErrorKind::Settings,
        ] {
            let lasting = lost.clone().of_kind(kind);
            assert!(!lasting.may_pass() && lasting != lost, "{kind:?}");
        }
        assert!(!WriteError::NotEmpty.may_pass());
    }
}
