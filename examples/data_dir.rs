//! What is in a ZooKeeper data directory, as JSON lines: every znode of its snapshots, and every transaction of its logs;
//! or, with `--state`, every znode of the exact state that they make.
//!
//! `cargo run --release --example data_dir -- /var/lib/zookeeper --state | jq -r .path`

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use serde_json::{Value, json};
use zk_snapshot::files::{DataDirs, FileZnode, LogFile, Operation, SnapshotFile, Transaction, gather};
use zk_snapshot::tree::{Acl, Kind};

type Outcome = Result<(), Box<dyn Error>>;

/// Shows what is in a data directory.
#[derive(Parser)]
struct Args {
    /// `dataDir` of a server, with or without `version-2`
    data: PathBuf,
    /// `dataLogDir`, if it is another one
    #[arg(long)]
    log: Option<PathBuf>,
    /// Only the state that all files make together
    #[arg(long)]
    state: bool,
}

fn main() -> Outcome {
    let args = Args::parse();
    let dirs = DataDirs {
        log: args.log.unwrap_or_else(|| args.data.clone()),
        data: args.data,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.state {
        write_state(&dirs, &mut out)?;
    } else {
        write_files(&dirs, &mut out)?;
    }
    Ok(out.flush()?)
}

fn write_state(dirs: &DataDirs, out: &mut impl Write) -> Outcome {
    let tree = gather(dirs, None)?.tree;
    let name = tree.file_name();
    tree.for_each(|znode| Ok(writeln!(out, "{}", of_znode(&name, &znode))?))
}

fn write_files(dirs: &DataDirs, out: &mut impl Write) -> Outcome {
    for (_, path) in dirs.snapshots()? {
        let name = file_name(&path);
        SnapshotFile::open(&path)?
            .for_each(|znode| -> Outcome { Ok(writeln!(out, "{}", of_znode(&name, &znode))?) })?;
    }
    for (_, path) in dirs.logs()? {
        let name = file_name(&path);
        for transaction in LogFile::open(&path)? {
            writeln!(out, "{}", of_transaction(&name, &transaction?))?;
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn of_znode(file: &str, znode: &FileZnode<'_>) -> Value {
    json!({
        "file": file,
        "path": znode.path,
        "data": znode.data.map(text),
        "acl": znode.acl.as_ref().map(of_acl),
        "kind": of_kind(znode.kind),
        "czxid": znode.stat.czxid,
        "mzxid": znode.stat.mzxid,
        "mtime": znode.stat.mtime,
        "version": znode.stat.version,
    })
}

fn of_transaction(file: &str, transaction: &Transaction) -> Value {
    json!({
        "file": file,
        "zxid": format!("{:x}", transaction.zxid),
        "session": format!("{:x}", transaction.session),
        "time": transaction.time,
        "digest": transaction.digest,
        "operation": of_operation(&transaction.operation),
    })
}

fn of_operation(operation: &Operation) -> Value {
    match operation {
        Operation::CreateSession { timeout } => {
            json!({"type": "create_session", "timeout_ms": timeout.as_millis() as u64})
        }
        Operation::CloseSession { ephemerals } => json!({"type": "close_session", "ephemerals": ephemerals}),
        Operation::Create {
            path,
            data,
            acl,
            kind,
        } => json!({
            "type": "create", "path": path, "data": data.as_deref().map(text), "acl": of_acl(acl), "kind": of_kind(*kind),
        }),
        Operation::Delete { path } => json!({"type": "delete", "path": path}),
        Operation::SetData { path, data, version } => {
            json!({"type": "set_data", "path": path, "data": data.as_deref().map(text), "version": version})
        }
        Operation::SetAcl { path, acl, version } => {
            json!({"type": "set_acl", "path": path, "acl": of_acl(acl), "version": version})
        }
        Operation::Multi(operations) => {
            json!({"type": "multi", "operations": operations.iter().map(of_operation).collect::<Vec<_>>()})
        }
        Operation::Failed => json!({"type": "failed"}),
        Operation::Check => json!({"type": "check"}),
        other => json!({"type": format!("{other:?}")}),
    }
}

/// Data as a text, or in base64 where they are none.
fn text(data: &[u8]) -> Value {
    match std::str::from_utf8(data) {
        Ok(text) => json!(text),
        Err(_) => json!({"base64": STANDARD.encode(data)}),
    }
}

/// As `zkCli` has it: `scheme:id:permissions`.
fn of_acl(acl: &Acl) -> Vec<String> {
    let entries = acl.entries().iter();
    let shown = entries.map(|entry| {
        let bits = [(4, 'c'), (8, 'd'), (1, 'r'), (2, 'w'), (16, 'a')];
        let permissions = bits.iter().filter(|(bit, _)| entry.perms & bit != 0);
        let permissions: String = permissions.map(|(_, letter)| letter).collect();
        format!("{}:{}:{permissions}", entry.scheme, entry.id)
    });
    shown.collect()
}

fn of_kind(kind: Kind) -> Value {
    match kind {
        Kind::Persistent => json!("persistent"),
        Kind::Container => json!("container"),
        Kind::Ephemeral => json!("ephemeral"),
        Kind::Ttl(ttl) => json!({"ttl_ms": ttl.as_millis() as u64}),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn golden() -> DataDirs {
        let directory =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/zk-snapshot/tests/golden/3.9.5");
        DataDirs {
            data: directory.clone(),
            log: directory,
        }
    }

    fn lines(write: fn(&DataDirs, &mut Vec<u8>) -> Outcome) -> Vec<Value> {
        let mut out = Vec::new();
        write(&golden(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn every_file_of_a_directory_is_shown() {
        let lines = lines(write_files);
        for file in ["snapshot.0", "snapshot.8", "log.1", "log.9"] {
            assert!(lines.iter().any(|line| line["file"] == file), "{file}");
        }
        let root = lines.iter().find(|line| line["path"] == "/").unwrap();
        assert_eq!(
            (&root["kind"], &root["acl"]),
            (&json!("persistent"), &json!(["world:anyone:cdrwa"]))
        );
        let first = lines.iter().find(|line| line["file"] == "log.1").unwrap();
        assert_eq!(
            (&first["zxid"], &first["operation"]["type"]),
            (&json!("1"), &json!("create_session"))
        );
    }

    #[test]
    fn the_state_is_what_clients_saw() {
        let lines = lines(write_state);
        let seen = golden().data.join("znodes.jsonl");
        let seen = std::fs::read_to_string(seen).unwrap();
        let shown: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
        for line in seen.lines() {
            let znode: Value = serde_json::from_str(line).unwrap();
            assert!(shown.contains(&znode["path"].as_str().unwrap()), "{line}");
        }
    }
}
