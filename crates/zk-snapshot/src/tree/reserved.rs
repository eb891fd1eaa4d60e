//! What belongs to the server itself, and not to its clients: which znodes those are is decided here alone.

use super::ZnodePath;

/// The name of the znode below the root in which a server keeps its own.
pub const NAME: &str = "zookeeper";
/// That znode.
const TOP: &str = "/zookeeper";
/// What begins the path of everything below it.
const BELOW: &str = "/zookeeper/";
/// The members of the ensemble, as the server keeps them itself; no client may write it, but for `reconfig`.
pub const CONFIG: &str = "/zookeeper/config";
const BELOW_CONFIG: &str = "/zookeeper/config/";
/// Where quotas are. Every ZooKeeper has it, and ClickHouse Keeper has not.
pub const QUOTA: &str = "/zookeeper/quota";
const BELOW_QUOTA: &str = "/zookeeper/quota/";
/// The name of the znode in which a server counts for a quota.
const STATISTICS: &str = "zookeeper_stats";
/// The name of the znode below the root in which ClickHouse Keeper keeps its own.
const KEEPER_NAME: &str = "keeper";
/// In this znode ClickHouse Keeper says that it is one.
pub(crate) const KEEPER_VERSION: &str = "/keeper/api_version";

/// Whether `path`, in the whole tree, is `/zookeeper` or below it.
#[must_use]
pub fn is_reserved(path: &ZnodePath) -> bool {
    path.as_str() == TOP || is_below(path.as_str().as_bytes())
}

/// Whether `path`, as the files have it, is below `/zookeeper`. What is there changes without events, and counts in no
/// digest.
#[must_use]
pub fn is_below(path: &[u8]) -> bool {
    path.starts_with(BELOW.as_bytes())
}

/// Whether the server makes it itself, so that no restore writes it: `/zookeeper`, and its configuration.
pub(crate) fn is_never_written(path: &ZnodePath) -> bool {
    matches!(path.as_str(), TOP | CONFIG) || path.as_str().starts_with(BELOW_CONFIG)
}

/// Whether it is on every server, and so never deleted.
pub(crate) fn is_always_there(path: &ZnodePath) -> bool {
    path.as_str() == QUOTA
}

/// The statistics of a quota. The server counts in them, from when they are created, but does not create them: a limit
/// without them limits nothing.
pub(crate) fn is_statistics(path: &ZnodePath) -> bool {
    path.as_str().starts_with(BELOW_QUOTA) && path.name() == STATISTICS
}

/// Whether the child `name` of `parent` is what ClickHouse Keeper keeps for itself.
pub(crate) fn is_keepers(parent: &ZnodePath, name: &str) -> bool {
    parent.is_root() && name == KEEPER_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_like_the_servers_own_is_not() {
        let path = |text| ZnodePath::parse(text).unwrap();
        for (text, reserved, written) in [
            ("/", false, true),
            ("/zookeepers", false, true),
            ("/app/zookeeper", false, true),
            ("/zookeeper", true, false),
            ("/zookeeper/config", true, false),
            ("/zookeeper/config/a", true, false),
            ("/zookeeper/configs", true, true),
            ("/zookeeper/quota", true, true),
        ] {
            let path = path(text);
            assert_eq!(
                (is_reserved(&path), !is_never_written(&path)),
                (reserved, written),
                "{text}"
            );
        }
        assert!(is_statistics(&path("/zookeeper/quota/a/zookeeper_stats")));
        assert!(!is_statistics(&path("/a/zookeeper_stats")));
        assert!(!is_statistics(&path("/zookeeper/quota/a/zookeeper_limits")));
        assert!(is_keepers(&path("/"), "keeper") && !is_keepers(&path("/a"), "keeper"));
    }
}
