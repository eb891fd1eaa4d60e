//! ZooKeeper's files as lines for people. They are not clean yet.

use time::OffsetDateTime;
use zk_snapshot::files::{FileZnode, Operation, Transaction};
use zk_snapshot::tree::Kind;

use crate::text::{bytes, exact};

/// The longest piece of data that a line shows, in characters.
const SHOWN: usize = 60;

pub(super) fn of_znode(znode: &FileZnode<'_>) -> String {
    let kind = match znode.kind {
        Kind::Persistent => String::new(),
        Kind::Container => ", container".to_owned(),
        Kind::Ephemeral => ", ephemeral".to_owned(),
        Kind::Ttl(time) => format!(", TTL {} ms", time.as_millis()),
    };
    let version = znode.stat.version;
    format!("{}  (v{version}{kind}){}", znode.path, shown(znode.data))
}

pub(super) fn of_transaction(transaction: &Transaction) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(transaction.time) * 1_000_000);
    let at = at.map_or_else(|_| format!("{} ms", transaction.time), exact);
    let what = of_operation(&transaction.operation);
    format!(
        "0x{:x} {at} session 0x{:x} {what}",
        transaction.zxid, transaction.session
    )
}

fn of_operation(operation: &Operation) -> String {
    match operation {
        Operation::CreateSession { timeout } => format!("create_session {} ms", timeout.as_millis()),
        Operation::CloseSession { ephemerals } => {
            format!("close_session {}", ephemerals.join(" "))
        }
        Operation::Create { path, data, .. } => format!("create {path}{}", shown(data.as_deref())),
        Operation::Delete { path } => format!("delete {path}"),
        Operation::SetData { path, data, .. } => format!("set_data {path}{}", shown(data.as_deref())),
        Operation::SetAcl { path, .. } => format!("set_acl {path}"),
        Operation::Multi(operations) => {
            let operations: Vec<_> = operations.iter().map(of_operation).collect();
            format!("multi [{}]", operations.join("; "))
        }
        Operation::Failed => "failed".to_owned(),
        Operation::Check => "check".to_owned(),
        other => format!("{other:?}"),
    }
}

/// How much data there are, and the beginning of what is a text.
fn shown(data: Option<&[u8]>) -> String {
    let Some(data) = data.filter(|data| !data.is_empty()) else {
        return String::new();
    };
    let size = bytes(data.len() as u64);
    match std::str::from_utf8(data) {
        Ok(text) if text.chars().count() > SHOWN => {
            let text: String = text.chars().take(SHOWN).collect();
            format!(" {size}: {text}…")
        }
        Ok(text) => format!(" {size}: {text}"),
        Err(_) => format!(" {size}"),
    }
}
