//! Request bodies, read strictly.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Payload};
use backup_engine::{BackupRequest, Mode, RestoreRequest, RestoreSource, Strategy};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;
use zk_snapshot::restore::Policy;
use zk_snapshot::tree::ZnodePath;

use crate::answer::ApiError;
use crate::openapi::words::{Milliseconds, Named, RaiseEpoch, Root, Share, Truth};
use crate::truth::{WORDS, truth};

mod form;
mod modes;
mod name;
mod policies;
mod time;
pub(crate) mod v1;

use self::modes::{CustomVars, mode};
use self::name::Name;
pub(crate) use self::policies::{PolicyBody, policies};
use self::time::{milliseconds, time};

/// The largest body that is read.
const LARGEST: usize = 1 << 20;
/// The longest that a client may take to send it.
const DEADLINE: Duration = Duration::from_secs(10);

/// Takes the whole body in, within bounds of size and time.
pub(crate) async fn read(payload: Payload) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(DEADLINE, payload.to_bytes_limited(LARGEST)).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(error))) => Err(ApiError::invalid(format!("the body cannot be read: {error}"))),
        Ok(Err(_)) => {
            let message = "the body is larger than 1 MiB";
            Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                message,
            ))
        }
        Err(_) => {
            let message = format!("the body did not come within {} seconds", DEADLINE.as_secs());
            Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                message,
            ))
        }
    }
}

/// Reads a JSON object whatever the content type says; an empty body is `{}`.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = bytes.trim_ascii();
    let text = if text.is_empty() { b"{}" } else { text };
    if !text.starts_with(b"{") {
        return Err(ApiError::invalid("the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        // Of what is no JSON there is no path.
        ApiError::invalid(if path == "." || path == "?" {
            inner.to_string()
        } else {
            format!("{path}: {inner}")
        })
    })?;
    json.end().map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(value)
}

/// What to back up, and how. Of `dbs`, `args` and `instances` only one, and the mode once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupBody {
    /// `hierarchical` unless it says otherwise. A transactional backup is always of everything.
    #[schema(value_type = Option<Mode>)]
    mode: Option<String>,
    /// The same, in the predecessor's words.
    custom_vars: Option<CustomVars>,
    /// True unless it says otherwise; false pins the backup.
    #[serde(default, deserialize_with = "boolean")]
    #[schema(value_type = Option<Truth>)]
    allow_eviction: Option<bool>,
    /// The subtrees of a granular backup; without them it is of everything.
    #[schema(value_type = Option<Vec<Named>>)]
    dbs: Option<Vec<Name>>,
    /// An older name of `dbs`.
    #[schema(value_type = Option<Vec<Named>>)]
    args: Option<Vec<Name>>,
    /// An older name of `dbs`.
    #[schema(value_type = Option<Vec<Named>>)]
    instances: Option<Vec<Name>>,
    /// Recorded and shown, and no more.
    #[serde(default, deserialize_with = "boolean")]
    #[schema(value_type = Option<Truth>)]
    sharded: Option<bool>,
    /// Whether it is a good backup though something cannot be read.
    #[serde(default, deserialize_with = "boolean")]
    #[schema(value_type = Option<Truth>)]
    allow_partial: Option<bool>,
}

pub(crate) fn backup(body: &[u8]) -> Result<BackupRequest, ApiError> {
    let body: BackupBody = parse(body)?;
    Ok(BackupRequest {
        mode: mode(body.mode, body.custom_vars)?.unwrap_or(Mode::Hierarchical),
        roots: roots([
            ("dbs", body.dbs),
            ("args", body.args),
            ("instances", body.instances),
        ])?,
        pinned: !body.allow_eviction.unwrap_or(true),
        sharded: body.sharded.unwrap_or(false),
        allow_partial: body.allow_partial.unwrap_or(false),
        storage: None,
    })
}

/// How much to verify.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyBody {
    #[schema(value_type = Option<Share>)]
    share: Option<String>,
}

/// How much is to be verified, where that is said.
pub(crate) fn verify(body: &[u8]) -> Result<Option<String>, ApiError> {
    Ok(parse::<VerifyBody>(body)?.share)
}

/// Nothing, or an empty object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoBody {}

/// A body that asks for nothing.
pub(crate) fn nothing(body: &[u8]) -> Result<(), ApiError> {
    parse::<NoBody>(body).map(|NoBody {}| ())
}

/// What to restore, and how. Of `vault`, `ts`, `before` and `externalBackupPath` just one; of `dbs`, `args` and `instances` at most one, and the
/// mode once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreBody {
    /// The id of a backup, or `latest`.
    #[schema(example = "latest")]
    vault: Option<String>,
    /// A directory below `EXTERNAL_ROOT` in which a backup lies.
    #[serde(rename = "externalBackupPath")]
    external: Option<String>,
    /// The first good backup since then that has what is asked for.
    #[serde(default, deserialize_with = "milliseconds")]
    #[schema(value_type = Option<Milliseconds>)]
    ts: Option<i64>,
    /// The newest good backup until then that has what is asked for.
    #[serde(default, deserialize_with = "milliseconds")]
    #[schema(value_type = Option<Milliseconds>)]
    before: Option<i64>,
    /// Not heeded: the backup itself says what it is. Clients of the predecessor send it.
    #[schema(value_type = Option<Mode>)]
    mode: Option<String>,
    /// The same, in the predecessor's words.
    custom_vars: Option<CustomVars>,
    /// Only these subtrees.
    #[schema(value_type = Option<Vec<Named>>)]
    dbs: Option<Vec<Name>>,
    /// An older name of `dbs`.
    #[schema(value_type = Option<Vec<Named>>)]
    args: Option<Vec<Name>>,
    /// An older name of `dbs`.
    #[schema(value_type = Option<Vec<Named>>)]
    instances: Option<Vec<Name>>,
    /// Subtrees that come back under another path.
    #[serde(default, rename = "changeDbNames", deserialize_with = "pairs")]
    #[schema(value_type = Option<BTreeMap<String, Root>>)]
    change_db_names: Vec<(String, String)>,
    /// Tells what would be done, and writes nothing.
    #[serde(default, deserialize_with = "boolean")]
    #[schema(value_type = Option<Truth>)]
    dry_run: Option<bool>,
    /// What may happen to znodes that exist: `replace` unless it says otherwise.
    policy: Option<Policy>,
    /// `online` unless it says otherwise. `files` needs a transactional backup, and replaces everything.
    strategy: Option<Strategy>,
    /// With `files`: above which epoch the servers begin.
    #[serde(default)]
    #[schema(value_type = Option<RaiseEpoch>)]
    raise_epoch: Option<Value>,
    /// Backs up first what is to be changed, pinned; nothing is restored where that fails.
    #[serde(default, deserialize_with = "boolean")]
    #[schema(value_type = Option<Truth>)]
    backup_first: Option<bool>,
}

/// What to restore, and the directory that it is in, where it is none of ours: no source is told then.
pub(crate) fn restore(body: &[u8]) -> Result<(RestoreRequest, Option<String>), ApiError> {
    restore_of(parse(body)?)
}

/// A restore from a directory, which has to be named.
pub(crate) fn external(body: &[u8]) -> Result<(RestoreRequest, String), ApiError> {
    let body: RestoreBody = parse(body)?;
    let Some(path) = body.external.clone() else {
        let names_none = (&body.vault, body.ts, body.before) == (&None, None, None);
        return Err(match names_none {
            true => nothing_named("externalBackupPath is needed"),
            false => ApiError::invalid("externalBackupPath is needed here"),
        });
    };
    Ok((restore_of(body)?.0, path))
}

fn nothing_named(needed: &str) -> ApiError {
    let message = format!("no backup is named: {needed}");
    ApiError::new(StatusCode::NOT_FOUND, "backup_not_found", message)
}

fn restore_of(body: RestoreBody) -> Result<(RestoreRequest, Option<String>), ApiError> {
    mode(body.mode, body.custom_vars)?;
    let source = match (body.vault, body.ts, body.before, &body.external) {
        (Some(vault), None, None, None) => RestoreSource::Vault(vault),
        (None, Some(ts), None, None) => RestoreSource::Since(ts),
        (None, None, Some(before), None) => RestoreSource::Before(before),
        (None, None, None, Some(_)) => RestoreSource::Vault(String::new()),
        (None, None, None, None) => {
            return Err(nothing_named("vault, ts or before is needed"));
        }
        _ => {
            return Err(ApiError::invalid(
                "vault, ts, before and externalBackupPath: only one of them can be given",
            ));
        }
    };
    let mut renames = BTreeMap::new();
    for (from, to) in body.change_db_names {
        let (from, to) = (path("changeDbNames", &from)?, path("changeDbNames", &to)?);
        if renames.insert(from.clone(), to).is_some() {
            return Err(ApiError::invalid(format!("changeDbNames: {from} is given twice")));
        }
    }
    let request = RestoreRequest {
        source,
        roots: roots([
            ("dbs", body.dbs),
            ("args", body.args),
            ("instances", body.instances),
        ])?,
        renames,
        policy: body.policy.unwrap_or_default(),
        dry_run: body.dry_run.unwrap_or(false),
        strategy: body.strategy.unwrap_or_default(),
        raise_epoch: raise_epoch(body.raise_epoch)?,
        backup_first: body.backup_first.unwrap_or(false),
        storage: None,
    };
    Ok((request, body.external))
}

/// `true`, or an epoch that is known to have been given out.
fn raise_epoch(given: Option<Value>) -> Result<Option<u32>, ApiError> {
    match given {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(0)),
        // A number is an epoch.
        Some(Value::String(text)) if truth(&text).is_some() => Ok((truth(&text) == Some(true)).then_some(0)),
        Some(other) => match other.as_u64().and_then(|epoch| u32::try_from(epoch).ok()) {
            Some(epoch) => Ok(Some(epoch)),
            None => Err(ApiError::invalid("raise_epoch: true, or an epoch, is needed")),
        },
    }
}

/// The list under one of its names; an empty one counts as none.
fn roots(lists: [(&str, Option<Vec<Name>>); 3]) -> Result<Vec<ZnodePath>, ApiError> {
    let mut given = lists
        .into_iter()
        .filter_map(|(key, list)| list.map(|list| (key, list)));
    let Some((key, list)) = given.next() else {
        return Ok(Vec::new());
    };
    if let Some((other, _)) = given.next() {
        return Err(ApiError::invalid(format!(
            "{key} and {other} mean the same: only one of them can be given"
        )));
    }
    list.iter().map(|Name(name)| path(key, name)).collect()
}

fn path(key: &str, name: &str) -> Result<ZnodePath, ApiError> {
    ZnodePath::parse_relative(name).map_err(|error| ApiError::invalid(format!("{key}: {error}")))
}

/// A JSON boolean, or one of the words and numbers that [`truth`] knows.
fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let known = match &value {
        Value::Null => return Ok(None),
        Value::String(text) => truth(text),
        other => truth(&other.to_string()),
    };
    known.map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!("{value} is neither true nor false; allowed are {WORDS}"))
    })
}

/// An object's pairs as they came, in which a key may come twice.
fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of names")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(pair) = map.next_entry()? {
                found.push(pair);
            }
            Ok(found)
        }
    }
    deserializer.deserialize_any(Pairs)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FindBody {
    #[serde(default, deserialize_with = "milliseconds")]
    ts: Option<i64>,
}

/// A time, in ms since the Unix epoch: in the query, or in a body, where the predecessor's clients put it.
pub(crate) fn find(body: &[u8], in_query: Option<&str>) -> Result<i64, ApiError> {
    let in_body = parse::<FindBody>(body)?.ts;
    let in_query = in_query.map(|text| time(text).map_err(|why| ApiError::invalid(format!("ts: {why}"))));
    once("ts", in_query.transpose()?, in_body)?
        .ok_or_else(|| ApiError::invalid("ts is missing: a time, in ms since the Unix epoch"))
}

/// Whether it is only to be told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvictBody {
    #[serde(default, deserialize_with = "boolean")]
    #[schema(value_type = Option<Truth>)]
    dry_run: Option<bool>,
}

/// What is given in the query or in the body, and not in both.
pub(crate) fn once<T>(key: &str, in_query: Option<T>, in_body: Option<T>) -> Result<Option<T>, ApiError> {
    if in_query.is_some() && in_body.is_some() {
        let message = format!("{key} is given twice, in the query and in the body");
        return Err(ApiError::invalid(message));
    }
    Ok(in_query.or(in_body))
}

/// Whether it says `dry_run`.
pub(crate) fn evict(body: &[u8]) -> Result<Option<bool>, ApiError> {
    Ok(parse::<EvictBody>(body)?.dry_run)
}
