//! The commands, a file each: what they take, and what they do.

pub(crate) mod backup;
pub(crate) mod browse;
pub(crate) mod cancel;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod diff;
pub(crate) mod evict;
pub(crate) mod export;
mod facts;
pub(crate) mod find;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod pin;
mod plan;
pub(crate) mod restore;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod watch;

use crate::api::{Api, LATEST};
use crate::exit::Failure;

/// A path of a znode, with its slash in front.
pub(crate) fn absolute(path: &str) -> String {
    format!("/{}", path.trim_matches('/'))
}

/// The znodes that a backup begins at, or `path` alone where one is named. A subtree that was not there when it was taken is left out.
///
/// # Errors
/// It has none of them, or is sealed.
pub(crate) fn tops(api: &Api, id: &str, path: Option<&str>) -> Result<Vec<String>, Failure> {
    if let Some(path) = path {
        return Ok(vec![absolute(path)]);
    }
    let all = api.describe(id)?.view.roots();
    let is_below = |root: &String| all.iter().any(|other| other != root && is_within(root, other));
    let roots: Vec<_> = all.iter().filter(|root| !is_below(root)).cloned().collect();
    if roots.is_empty() {
        return Ok(vec!["/".to_owned()]);
    }
    let (mut there, mut absent) = (Vec::new(), None);
    for root in roots {
        match api.znode(id, &root) {
            Ok(_) => there.push(root),
            Err(failure) if failure.code.as_deref() == Some("znode_not_found") => absent = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    match absent {
        Some(absent) if there.is_empty() => Err(absent),
        _ => Ok(there),
    }
}

/// Refuses `latest` where the id itself has to be named.
///
/// # Errors
/// [`Exit::Usage`](crate::exit::Exit::Usage).
pub(crate) fn refuse_latest(id: &str) -> Result<(), Failure> {
    match id {
        LATEST => Err(Failure::usage(
            "name the id, as another backup may have come meanwhile: `zk-backup show latest` tells it",
        )),
        _ => Ok(()),
    }
}

/// Whether `path` is at or below `root`.
pub(crate) fn is_within(path: &str, root: &str) -> bool {
    let below = path.strip_prefix(root.trim_end_matches('/'));
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Paths as the API takes them, without the slash in front. The root is everything, and so is nothing.
///
/// # Errors
/// [`Exit::Usage`](crate::exit::Exit::Usage) for an empty one: a variable that is not set must not mean everything.
pub(crate) fn dbs(roots: &[String]) -> Result<Vec<String>, Failure> {
    if roots.iter().any(|root| root.trim().is_empty()) {
        return Err(Failure::usage(
            "--root is empty: name a znode, or / for everything",
        ));
    }
    let roots: Vec<_> = roots
        .iter()
        .map(|root| root.trim_matches('/').to_owned())
        .collect();
    Ok(match roots.iter().any(String::is_empty) {
        true => Vec::new(),
        false => roots,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_path_is_within_itself_and_what_is_above_it() {
        assert!(
            is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/") && is_within("/", "/")
        );
        assert!(!is_within("/ab", "/a") && !is_within("/", "/a"));
        let of = |roots: &[&str]| dbs(&roots.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&["/a/b/"]).unwrap(), ["a/b"]);
        assert_eq!(of(&["/a", "/"]).unwrap(), [""; 0]);
        for roots in [&[""][..], &["/a", ""], &[" "]] {
            assert_eq!(of(roots).unwrap_err().exit, Exit::Usage);
        }
        assert_eq!([absolute("a/b/"), absolute("/")], ["/a/b", "/"]);
    }
}
