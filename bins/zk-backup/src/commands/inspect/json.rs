//! ZooKeeper's files as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zk_snapshot::files::{FileZnode, Operation, Transaction};
use zk_snapshot::tree::{Acl, Kind};

pub(super) fn of_znode(file: &str, znode: &FileZnode<'_>) -> Value {
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

pub(super) fn of_transaction(file: &str, transaction: &Transaction) -> Value {
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
