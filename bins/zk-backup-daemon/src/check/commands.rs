//! Whether the programs that run around jobs are there. None of them is run.

use std::env;
use std::path::{Path, PathBuf};

use backup_engine::Hook;
use rustix::fs::{Access, access};

use super::finding::Finding;
use crate::Settings;

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let before = settings.hook_before.iter();
    let before = before.map(|hook| finding(hook, "every backup and restore fails without it"));
    let after = settings.hook_after.iter();
    let after = after.map(|hook| finding(hook, "every backup and restore tells that it failed"));
    before.chain(after).collect()
}

fn finding(hook: &Hook, so: &str) -> Finding {
    match found(&hook.program) {
        Some(path) => Finding::ok("hooks", format!("{}: {} may be run", hook.name, path.display())),
        None => Finding::fails(
            "hooks",
            format!(
                "{}: there is no program {} that may be run: {so}",
                hook.name, hook.program
            ),
        ),
    }
}

/// Where a program is that would be run by this name.
fn found(program: &str) -> Option<PathBuf> {
    let may_run = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| may_run(path));
    }
    // As execvp(3) looks without it.
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut places = env::split_paths(&path).map(|place| place.join(program));
    places.find(|path| may_run(path))
}
