//! What `examples/deploy/README.md` has typed, as far as it needs neither root nor a cluster: as it stands there, below a directory in place of `/`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use zk_backup_testkit::{blocks, write_script};

use crate::documents::{of_kind, parse, setting};
use crate::tools::tool;
use crate::{read, workspace};

/// The script that has `what`.
fn script(what: &str) -> String {
    let guide = read("examples/deploy/README.md");
    let found = blocks(&guide)
        .into_iter()
        .find(|(_, script)| script.contains(what));
    found.unwrap_or_else(|| panic!("no {what}")).1.to_owned()
}

/// What `script` prints, with the programs of a directory before all others.
fn typed(script: &str, programs: &Path) -> String {
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euc", script])
        .env("PATH", path)
        .current_dir(workspace())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{script}\n{said}");
    said
}

/// A directory with a program of another's, called as the guide calls it.
fn with_tool(variable: &str, name: &str) -> Option<tempfile::TempDir> {
    let program = tool(variable, name)?;
    let programs = tempfile::tempdir().unwrap();
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\""])
        .arg(program.get_program())
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    symlink(found.trim_end(), programs.path().join(name)).unwrap();
    Some(programs)
}

#[test]
fn promtool_finds_the_rules_right_and_their_tests_passed() {
    if let Some(programs) = with_tool("PROMTOOL", "promtool") {
        let said = typed(&script("promtool check"), programs.path());
        assert!(
            said.contains(" rules found") && said.contains("SUCCESS"),
            "{said}"
        );
    }
}

/// `helm template` makes what `helm install` hands to a cluster.
#[test]
fn what_is_installed_by_helm_is_what_the_guide_sets() {
    let Some(programs) = with_tool("HELM", "helm") else {
        return;
    };
    let script = script("helm install")
        .trim_end()
        .replace("helm install", "helm template");
    let made = typed(&format!("{script} --kube-version 1.31.0"), programs.path());
    let documents = parse(&made);
    let container = &of_kind(&documents, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap();
    assert!(image.starts_with("images.example/zk-backup:"), "{image}");
    for (name, value) in [
        ("ZOOKEEPER_HOST", "zk-0.zk:2181,zk-1.zk:2181,zk-2.zk:2181"),
        ("BACKUP_SCHEDULE", "0 * * * *"),
    ] {
        assert_eq!(setting(container, name), Some(value));
    }
}

/// Without what `cargo` and `systemctl` do.
#[test]
fn the_unit_finds_what_is_installed_for_it() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    for directory in ["bin", "built", "usr/bin", "etc/systemd/system"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for program in ["cargo", "systemctl"] {
        let said = format!("#!/bin/sh\necho \"{program} $*\"\n");
        write_script(&at("bin").join(program), &said).unwrap();
    }
    for program in ["zk-backup", "zk-backup-daemon"] {
        fs::write(at("built").join(program), program).unwrap();
    }
    let root = root.path().display();
    let mut said = String::new();
    for what in ["install -t /usr/bin", "install -d -m 700 /etc/credstore"] {
        let script = script(what)
            .replace("target/release", &format!("{root}/built"))
            .replace("/usr/", &format!("{root}/usr/"))
            .replace("/etc/", &format!("{root}/etc/"));
        said += &typed(&script, &at("bin"));
    }
    assert!(
        said.ends_with("systemctl daemon-reload\nsystemctl enable --now zk-backup\n"),
        "{said}"
    );
    let unit = fs::read_to_string(at("etc/systemd/system/zk-backup.service")).unwrap();
    let begun = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/"))
        .unwrap();
    let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(begun), mode("usr/bin/zk-backup")), (0o755, 0o755));
    let settings = unit
        .lines()
        .find_map(|line| line.strip_prefix("EnvironmentFile=-/"));
    assert_eq!(mode(settings.unwrap()), 0o644);
    assert_eq!(mode("etc/credstore"), 0o700);
    for (name, length) in [("USERNAME", "admin".len()), ("PASSWORD", 33)] {
        let credential = format!("zk-backup.BACKUP_DAEMON_API_CREDENTIALS_{name}");
        assert!(unit.contains(&format!(":{credential}\n")), "{credential}");
        let file = format!("etc/credstore/{credential}");
        assert_eq!((mode(&file), fs::read(at(&file)).unwrap().len()), (0o600, length));
    }
}
