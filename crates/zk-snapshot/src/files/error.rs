//! What is wrong in which file.

/// What is wrong in a snapshot or transaction log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The first bytes are not those of such a file.
    #[error("it is not {0}")]
    Magic(&'static str),
    /// It ends where more must follow.
    #[error("it ends too early")]
    Truncated,
    /// Something has a length that cannot be.
    #[error("a length of {0} cannot be")]
    Length(i64),
    /// What was written is not what is there.
    #[error("its checksum is {found:08x}, and {expected:08x} was written")]
    Checksum {
        /// As in the file.
        expected: u64,
        /// Of what is there.
        found: u64,
    },
    /// Something follows where nothing may.
    #[error("{0} bytes follow where the end must be")]
    Trailing(u64),
    /// A record whose end mark is missing, with others after it.
    #[error("a record is damaged, and others follow it")]
    Gap,
    /// A path that no server takes, or that of the root where it cannot be.
    #[error("{0} cannot be a znode's path there")]
    Path(String),
    /// A znode whose name clients cannot be sent any more; servers keep it as it is.
    #[error("znode {0} has a name that no server since 3.5 creates: only a restore by files brings it back")]
    OldName(String),
    /// A znode without a parent.
    #[error("znode {0} has no parent")]
    NoParent(String),
    /// A znode that is there more than once.
    #[error("znode {0} is there twice")]
    Twice(String),
    /// A znode that went while it had children, by what is known.
    #[error("znode {0} was deleted, and what was below it was not")]
    Children(String),
    /// A znode with children that a session owns which does not exist.
    #[error(
        "znode {0} is of a session that does not exist, and has children: so are TTL znodes of 3.5.3, which servers with \
         emulate353TTLNodes keep and a backup of their state does not"
    )]
    Orphan(String),
    /// A znode without all its children, or with others.
    #[error("znode {0} has another number of children than its server says")]
    Family(String),
    /// The snapshot has changed since it was read first.
    #[error("it was changed while it was read")]
    Changed,
    /// A znode without a known access control list.
    #[error("the access control list of znode {0} is not in the snapshot, nor in the logs")]
    NoAcl(String),
    /// No release of ZooKeeper that is known writes this.
    #[error("transaction type {0} is not known")]
    Type(i32),
    /// Transactions are missing.
    #[error("0x{found:x} follows 0x{last:x}: what is between is missing")]
    Hole {
        /// The last zxid before the hole.
        last: i64,
        /// The first after it.
        found: i64,
    },
    /// The logs end before the snapshot was complete.
    #[error("the logs end at 0x{last:x}, and the snapshot shows changes up to 0x{needed:x}")]
    Short {
        /// The last zxid in the logs.
        last: i64,
        /// What the snapshot needs.
        needed: i64,
    },
    /// The logs lack what the ensemble has committed.
    #[error(
        "the logs end at 0x{last:x}, and the ensemble has committed 0x{committed:x}: are these its files, and all of its logs?"
    )]
    Behind {
        /// The last zxid in the logs.
        last: i64,
        /// What was committed.
        committed: i64,
    },
    /// It cannot be unpacked.
    #[error("it does not unpack: {0}")]
    Packed(String),
    /// It cannot be read at all.
    #[error("{0}")]
    Io(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Where a file is damaged, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, byte {offset}: {fault}")]
#[non_exhaustive]
pub struct FileError {
    /// The file's name.
    pub file: String,
    /// Bytes from its beginning, unpacked.
    pub offset: u64,
    /// What is wrong there.
    pub fault: Fault,
}

impl FileError {
    pub(super) fn new(file: &str, offset: usize, fault: Fault) -> Self {
        Self {
            file: file.to_owned(),
            offset: offset as u64,
            fault,
        }
    }
}
