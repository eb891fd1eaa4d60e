//! `.ci/run` where tools are there, and where none can be had, with programs in the place of those that it runs.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use zk_backup_testkit::write_script;

use crate::workspace;

/// What it needs, whatever else is there.
const NEEDED: [&str; 6] = ["dirname", "grep", "id", "mkdir", "mktemp", "rm"];

fn found(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    let mut places = env::split_paths(&path).map(|place| place.join(program));
    places.find(|path| path.is_file()).unwrap()
}

fn program(at: &Path, text: &str) {
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    write_script(at, &format!("#!{}\n{text}\n", found("sh").display())).unwrap();
}

/// What it says at its end where these programs are there besides, and cargo does this.
fn said(cargo: &str, programs: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    program(&at("bin/cargo"), cargo);
    for (name, text) in programs {
        program(&at(name), text);
    }
    for needed in NEEDED {
        symlink(found(needed), at("bin").join(needed)).unwrap();
    }
    fs::create_dir(at(".ci")).unwrap();
    fs::copy(workspace().join(".ci/run"), at(".ci/run")).unwrap();
    let mut run = Command::new(found("bash"));
    run.arg(at(".ci/run")).env_clear().env("PATH", at("bin"));
    let output = run.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{err}");
    let last = text.lines().rev().take_while(|line| !line.starts_with("-- "));
    let mut last: Vec<_> = last.map(str::to_owned).collect();
    last.reverse();
    last
}

#[test]
fn what_was_not_tried_is_told_at_the_very_end() {
    let last = said("case \"$2\" in --version) exit 1 ;; esac", &[]);
    let (time, not_tried) = last.split_last().unwrap();
    assert!(time.starts_with("all of it: "), "{time}");
    assert_eq!(
        not_tried,
        [
            "not tried: the API by its document: python3-venv is not there",
            "not tried: the chart: helm cannot be had",
            "not tried: the alert rules: promtool cannot be had",
            "not tried: the unit's rating: systemd-analyze cannot be had",
            "not tried: the format: rustfmt is not there",
            "not tried: lints: clippy is not there",
        ]
    );
    let everything = [
        ("bin/python3", ""),
        ("bin/systemd-analyze", ""),
        (
            "target/schemathesis/bin/schemathesis",
            "echo schemathesis, version 4.32.5",
        ),
        ("target/tools/helm", ""),
        ("target/tools/promtool", ""),
    ];
    let last = said("", &everything);
    assert!(last.len() == 1 && last[0].starts_with("all of it: "), "{last:?}");
}
