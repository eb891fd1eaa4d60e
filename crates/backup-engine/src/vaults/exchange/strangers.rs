//! Files from outside that are a backup, and none of ours.

use std::io;

use vault_store::{MANIFEST, ZNODES};

use super::candidate::Candidate;

/// Why the Qubership backup daemon's files, and those of a server, are not taken in, if that is what they are.
pub(super) fn told(candidate: &mut dyn Candidate) -> io::Result<Option<String>> {
    let names = candidate.names()?;
    if names.iter().any(|name| name == MANIFEST) {
        return Ok(None);
    }
    let mut files = names.iter().filter_map(|name| name.rsplit('/').next());
    let is_theirs = |file: &str| file == ZNODES.as_str() || file == ".metrics";
    let is_servers = |file: &str| file.starts_with("snapshot.") || file.starts_with("log.");
    let whose = match files.clone().any(is_theirs) {
        true => "these are files of the Qubership backup daemon",
        false if files.any(is_servers) => {
            "these are files of a ZooKeeper server, or of the Qubership backup daemon"
        }
        false => return Ok(None),
    };
    Ok(Some(format!(
        "{whose}, and nobody noted their checksums: a backup of that daemon is read where its files lie, \
         unpacked, in the storage directory below its id"
    )))
}
