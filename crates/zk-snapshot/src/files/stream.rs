use super::feed::Source;
use super::replay::Touched;
use super::snapshot::{self, Loaded};
use super::{FileError, FilesReport, Gathered};

impl Gathered {
    /// What one snapshot shows by itself, such as a server hands it out: the file `name`, begun at `zxid`.
    ///
    /// It is exact if the server had processed nothing more when it had written the last znode, and its digest is
    /// that of the znodes.
    ///
    /// # Errors
    /// [`FileError`] if anything about it is damaged. A snapshot that was written while the server went on may lack
    /// access control lists, which only the logs know.
    pub fn from_snapshot(name: &str, zxid: i64, bytes: Vec<u8>) -> Result<Self, FileError> {
        let Loaded {
            mut tree,
            digest,
            end,
            ..
        } = snapshot::load(name, zxid, &Source::Bytes(bytes.into()), &Touched::default())?;
        let agrees = match digest {
            // Nothing was processed since the server had started.
            Some((0, 0)) => None,
            Some((at, digest)) if at == zxid => Some(digest == tree.digest()),
            Some(_) => Some(false),
            None => None,
        };
        let dropped = tree.settle().map_err(|fault| FileError::new(name, 0, fault))?;
        let compared = agrees.is_some_and(|_| digest.is_some_and(|(at, _)| at == zxid));
        Ok(Self {
            exact: end == zxid && digest.is_some() && agrees != Some(false),
            report: FilesReport {
                snapshot: name.to_owned(),
                dropped,
                digests_compared: u64::from(compared),
                digests_differing: u64::from(compared && agrees == Some(false)),
                digest_agrees: agrees.filter(|_| compared),
                ..FilesReport::default()
            },
            tree,
        })
    }
}
