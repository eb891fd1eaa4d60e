//! The bodies of `/api/v1`.

use std::collections::BTreeMap;

use backup_engine::{BackupRequest, Labels, RestoreRequest};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{boolean, parse, path};
use crate::answer::ApiError;
use crate::openapi::words::{Root, Truth};

/// The labels of a job.
pub(crate) const STORAGE: &str = "storageName";
pub(crate) const BLOB: &str = "blobPath";

/// What to back up. Without `databases` everything.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = BackupV1Body)]
pub(crate) struct BackupBody {
    /// The bucket that has this alias, where the server has some; the default storage if not said. Where it has none this is only told again.
    storage_name: Option<String>,
    #[schema(value_type = String, min_length = 1)]
    blob_path: Option<String>,
    #[schema(value_type = Option<Vec<Root>>)]
    databases: Option<Vec<String>>,
}

/// A backup, and what it is called. `storages` are those that can be named, the default one first, if there are several.
pub(crate) fn backup(body: &[u8], storages: &[String]) -> Result<(BackupRequest, Labels), ApiError> {
    let body: BackupBody = parse(body)?;
    let databases = body.databases.unwrap_or_default();
    let roots = databases.iter().map(|name| path("databases", name));
    let roots = roots.collect::<Result<_, _>>()?;
    let (storage, labels) = labels(body.storage_name, body.blob_path, storages)?;
    let request = BackupRequest {
        roots,
        storage,
        ..BackupRequest::default()
    };
    Ok((request, labels))
}

/// What to restore. Without `databases` everything.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = RestoreV1Body)]
pub(crate) struct RestoreBody {
    /// The storage that the backup must be in, where the server has several; the default one if not said. Where it has one this is only told again.
    storage_name: Option<String>,
    #[schema(value_type = String, min_length = 1)]
    blob_path: Option<String>,
    databases: Option<Vec<Renamed>>,
    #[serde(default, deserialize_with = "boolean")]
    #[schema(value_type = Option<Truth>)]
    dry_run: Option<bool>,
}

/// A subtree, and under which name it comes back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "an object with previousDatabaseName and databaseName"
)]
#[schema(as = RenamedV1)]
pub(crate) struct Renamed {
    #[schema(value_type = Root)]
    previous_database_name: String,
    #[schema(value_type = Root)]
    database_name: String,
}

/// A restore of the backup `id`, and what it is called. `storages` are as for [`backup`].
pub(crate) fn restore(
    id: &str,
    body: &[u8],
    storages: &[String],
) -> Result<(RestoreRequest, Labels), ApiError> {
    let body: RestoreBody = parse(body)?;
    let (mut roots, mut renames) = (Vec::new(), BTreeMap::new());
    for database in body.databases.unwrap_or_default() {
        let from = path("previousDatabaseName", &database.previous_database_name)?;
        let to = path("databaseName", &database.database_name)?;
        if roots.contains(&from) {
            let message = format!("databases: {from} is given twice");
            return Err(ApiError::invalid(message));
        }
        if from != to {
            renames.insert(from.clone(), to);
        }
        roots.push(from);
    }
    let (storage, labels) = labels(body.storage_name, body.blob_path, storages)?;
    let request = RestoreRequest {
        roots,
        renames,
        dry_run: body.dry_run.unwrap_or(false),
        storage,
        ..RestoreRequest::of(id)
    };
    Ok((request, labels))
}

/// The storage that is meant, where there are several, and what the job is called.
fn labels(
    storage: Option<String>,
    blob: Option<String>,
    storages: &[String],
) -> Result<(Option<String>, Labels), ApiError> {
    let blob = blob.unwrap_or_default();
    let blob = blob.trim().trim_matches(['"', '\'']).trim().trim_matches('/');
    if blob.is_empty() {
        return Err(ApiError::invalid("blobPath is needed, and must not be empty"));
    }
    let asked = storage.unwrap_or_default();
    let storage = match storages.first() {
        None => None,
        Some(default) if asked.trim().is_empty() => Some(default.clone()),
        Some(_) if storages.contains(&asked) => Some(asked.clone()),
        Some(_) => {
            let (asked, known) = (asked.chars().take(100).collect::<String>(), storages.join(", "));
            return Err(ApiError::invalid(format!(
                "unknown storageName {asked:?}: there are {known}"
            )));
        }
    };
    let called = storage.clone().unwrap_or(asked);
    let labels = [(STORAGE, called), (BLOB, blob.to_owned())];
    Ok((storage, labels.map(|(key, value)| (key.to_owned(), value)).into()))
}
