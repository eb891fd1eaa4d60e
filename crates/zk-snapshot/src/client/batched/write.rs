//! Writes: as many as fit in one `multi`, several of them under way, in order.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::time::Instant;
use zookeeper_client as zk;

use super::session::is_lost;
use super::wire;
use crate::tree::{Acl, Kind, WriteError, WriteOp};

/// Bytes in one `multi`. A server takes no request above `jute.maxbuffer`, 1 MiB if not set.
const BYTES: usize = 512 << 10;

type Outcome = Result<(), WriteError>;
type Unknown<'a> = &'a (dyn Fn(&zk::Error) -> WriteError + Send + Sync);

/// Why nothing is written over a session of such a timeout, if it is too long for what is to land `within` that time.
pub(super) fn too_long(session: Duration, within: Duration) -> Option<WriteError> {
    (session > within / 2).then(|| {
        WriteError::Refused(format!(
            "the server keeps sessions for {session:?} (minSessionTimeout): what is on its way could be written too late, as it may be {:?} at most",
            within / 2
        ))
    })
}

/// Carries out `ops` in order. A `multi` that fails is done again one by one, so that each has its own outcome.
///
/// No request is given to the library after `until`: its outcome is not known then, as if its answer had been late.
pub(super) async fn carry_out(
    zk: &zk::Client,
    ops: &[WriteOp],
    until: Option<Instant>,
    unknown: Unknown<'_>,
) -> Vec<Outcome> {
    let is_late = || until.is_some_and(|until| Instant::now() > until);
    if is_late() {
        return ops.iter().map(|_| Err(unknown(&zk::Error::Timeout))).collect();
    }
    // A request goes out when it is made, not when its answer is waited for.
    let mut parts = Vec::new();
    let mut begin = 0;
    while begin < ops.len() {
        let end = begin + together(&ops[begin..]);
        let part = &ops[begin..end];
        parts.push((part, part[0].unsendable().map_or_else(|| Ok(send(zk, part)), Err)));
        begin = end;
    }
    let mut outcomes = Vec::with_capacity(ops.len());
    for (part, sent) in parts {
        let answer = match sent {
            Ok(answer) => answer.await,
            Err(unsendable) => {
                outcomes.push(Err(unsendable)); // it is alone
                continue;
            }
        };
        match answer {
            Ok(()) => outcomes.extend(part.iter().map(|_| Ok(()))),
            Err(error) if is_lost(&error) => outcomes.extend(part.iter().map(|_| Err(unknown(&error)))),
            Err(error) if part.len() == 1 => outcomes.push(Err(refused(&error))),
            Err(_) if is_late() => outcomes.extend(part.iter().map(|_| Err(unknown(&zk::Error::Timeout)))),
            Err(_) => {
                let alone: Vec<_> = part.iter().map(|op| send(zk, std::slice::from_ref(op))).collect();
                let judge = |answer: Result<(), zk::Error>| match answer {
                    Err(error) if is_lost(&error) => Err(unknown(&error)),
                    answer => answer.map_err(|error| refused(&error)),
                };
                outcomes.extend(join_all(alone).await.into_iter().map(judge));
            }
        }
    }
    outcomes
}

/// How many of `ops`, at least one, go into one request.
fn together(ops: &[WriteOp]) -> usize {
    let mut bytes = 0;
    let fit = ops
        .iter()
        .take_while(|op| {
            bytes += op.size();
            bytes <= BYTES && !matches!(op, WriteOp::SetAcl { .. }) && op.unsendable().is_none()
        })
        .count();
    fit.max(1)
}

/// What a server says of TTL znodes if it does not know them.
const NO_TTL: &str = "this server has no TTL znodes: it needs zookeeper.extendedTypesEnabled=true";

fn options(kind: Kind, list: &[zk::Acl]) -> zk::CreateOptions<'_> {
    let acls = zk::Acls::new(list);
    match kind {
        Kind::Container => zk::CreateMode::Container.with_acls(acls),
        Kind::Ttl(time) => zk::CreateMode::Persistent.with_acls(acls).with_ttl(time),
        Kind::Persistent | Kind::Ephemeral => zk::CreateMode::Persistent.with_acls(acls),
    }
}

/// One request, on its way when this returns.
fn send<'a>(zk: &'a zk::Client, ops: &'a [WriteOp]) -> BoxFuture<'a, Result<(), zk::Error>> {
    if let [op] = ops {
        return send_one(zk, op);
    }
    let mut writer = zk.new_multi_writer();
    let mut last: Option<(&Acl, Vec<zk::Acl>)> = None; // one list guards most znodes
    for op in ops {
        let added = match op {
            WriteOp::Create {
                path,
                data,
                acl,
                kind,
            } => {
                if last.as_ref().is_none_or(|(known, _)| *known != acl) {
                    last = Some((acl, wire::to_wire(acl)));
                }
                let list = last.as_ref().map_or(&[][..], |(_, list)| list);
                let options = options(*kind, list);
                writer.add_create(path.as_str(), data, &options)
            }
            WriteOp::SetData { path, data, version } => writer.add_set_data(path.as_str(), data, *version),
            WriteOp::Delete { path, version } => writer.add_delete(path.as_str(), *version),
            WriteOp::SetAcl { .. } => Err(zk::Error::BadArguments(&"no ACL can be set within a multi")),
        };
        if let Err(error) = added {
            return futures::future::ready(Err(error)).boxed();
        }
    }
    let answer = writer.commit();
    async move { answer.await.map(drop).map_err(zk::Error::from) }.boxed()
}

fn send_one<'a>(zk: &'a zk::Client, op: &'a WriteOp) -> BoxFuture<'a, Result<(), zk::Error>> {
    let path = op.path().as_str();
    match op {
        WriteOp::Create { data, acl, kind, .. } => {
            let list = wire::to_wire(acl);
            let options = options(*kind, &list);
            let is_ttl = matches!(kind, Kind::Ttl(_));
            zk.create(path, data, &options)
                .map(move |answer| match answer {
                    Err(zk::Error::Unimplemented) if is_ttl => Err(zk::Error::BadArguments(&NO_TTL)),
                    answer => answer.map(drop),
                })
                .boxed()
        }
        WriteOp::SetData { data, version, .. } => zk
            .set_data(path, data, *version)
            .map(|answer| answer.map(drop))
            .boxed(),
        WriteOp::Delete { version, .. } => zk.delete(path, *version).boxed(),
        WriteOp::SetAcl { acl, version, .. } => {
            let list = wire::to_wire(acl);
            zk.set_acl(path, &list, *version)
                .map(|answer| answer.map(drop))
                .boxed()
        }
    }
}

fn refused(error: &zk::Error) -> WriteError {
    match error {
        zk::Error::NoNode => WriteError::NoNode,
        zk::Error::NodeExists => WriteError::NodeExists,
        zk::Error::NoAuth => WriteError::NoAuth,
        zk::Error::NotEmpty => WriteError::NotEmpty,
        zk::Error::BadVersion => WriteError::Changed,
        zk::Error::NoChildrenForEphemerals => WriteError::EphemeralParent,
        zk::Error::InvalidAcl => WriteError::InvalidAcl,
        other => WriteError::Refused(other.to_string()),
    }
}
