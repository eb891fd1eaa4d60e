//! `GET /backup/<id>` and `POST /restore/backup`: backups that go away and come back.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use actix_multipart::{Field, Multipart};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::{Engine, EngineError, ImportOptions};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use vault_store::VaultId;

use crate::answer::{ApiError, no_backup};
use crate::query::Asked;
use crate::truth::{WORDS, truth};

/// What the query of an upload may have instead of the form.
pub(super) const KEYS: &[&str] = &["type", "allow_overwriting"];
/// What is read at once of an archive that goes away, and how many such pieces wait for the client.
const PIECE: usize = 1 << 16;
const AHEAD: usize = 4;
/// The longest that a client may take for the next piece of an upload.
const PATIENCE: Duration = Duration::from_secs(20);
/// So much of an upload is written at once.
const WRITTEN: usize = 1 << 20;
/// The most bytes of a field that is no file.
const FIELD: usize = 100;

/// What may come from outside.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    /// Where uploads are kept while they are checked. They have no name there, so that nothing is left of them.
    pub(crate) spool: PathBuf,
    /// The most bytes of a backup that is taken in.
    pub(crate) limit: u64,
    /// The directory below which backups lie that may be restored.
    pub(crate) external: Option<PathBuf>,
}

pub(super) async fn download(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let export = match engine.export(id).await {
        Err(EngineError::BackupNotFound(_)) => return Ok(no_backup(id)),
        found => found?,
    };
    let name = export.id().to_string();
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let pieces = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    if request.method() == Method::HEAD {
        drop(sender);
    } else {
        tokio::task::spawn_blocking(move || {
            let out = BufWriter::with_capacity(PIECE, ToClient(sender.clone()));
            if let Err(error) = export.write_zip(out) {
                log::warn!("backup {} was not sent as a whole: {error}", export.id());
                // Without its end the answer is not taken for whole. Nobody may be there any more.
                let _ = sender.blocking_send(Err(io::Error::other(error)));
            }
        });
    }
    Ok(HttpResponse::Ok()
        .content_type("application/zip")
        .insert_header((
            "Content-Disposition",
            format!("attachment; filename=\"{name}.zip\""),
        ))
        .streaming(pieces))
}

/// Sends what is written to the body of an answer.
struct ToClient(mpsc::Sender<io::Result<Bytes>>);

impl Write for ToClient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) async fn upload(
    engine: Data<Engine>,
    uploads: Data<Outside>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let asked = Asked::of(&request, KEYS)?;
    let mut form = Form {
        granular: asked.text("type").map(granular).transpose()?,
        overwrite: asked.truth("allow_overwriting")?,
        file: None,
    };
    let mut fields = Multipart::new(request.headers(), body);
    while let Some(field) = soon_enough(fields.next()).await? {
        form.take(field.map_err(|error| unreadable(&error))?, &uploads)
            .await?;
    }
    let (name, file) = form
        .file
        .ok_or_else(|| ApiError::invalid("file is missing in the form"))?;
    let options = ImportOptions {
        granular: Some(form.granular.unwrap_or(false)),
        overwrite: form.overwrite.unwrap_or(false),
        named: named(&name),
        limit: uploads.limit,
    };
    let id = engine.import(file, options).await?;
    log::info!("backup {id} was taken in");
    Ok(HttpResponse::Ok().json(format!("Backup {id} successfully uploaded")))
}

/// The id that the name of a file claims, if it claims one.
fn named(file: &str) -> Option<VaultId> {
    let name = file.rsplit(['/', '\\']).next()?;
    name.split('.').next()?.parse().ok()
}

struct Form {
    granular: Option<bool>,
    overwrite: Option<bool>,
    file: Option<(String, File)>,
}

impl Form {
    async fn take(&mut self, mut field: Field, uploads: &Outside) -> Result<(), ApiError> {
        let name: String = field.name().unwrap_or_default().chars().take(FIELD).collect();
        let twice = || ApiError::invalid(format!("{name} is given twice"));
        match &*name {
            "type" if self.granular.is_none() => {
                self.granular = Some(granular(&text(&mut field, &name).await?)?);
            }
            "allow_overwriting" if self.overwrite.is_none() => {
                let given = text(&mut field, &name).await?;
                let known = truth(&given);
                self.overwrite = Some(known.ok_or_else(|| {
                    ApiError::invalid(format!(
                        "{name}: {given:?} is neither true nor false; allowed are {WORDS}"
                    ))
                })?);
            }
            "file" if self.file.is_none() => {
                let file = field.content_disposition().and_then(|about| about.get_filename());
                let file = file.unwrap_or_default().to_owned();
                self.file = Some((file, spool(&mut field, uploads).await?));
            }
            "type" | "allow_overwriting" | "file" => return Err(twice()),
            _ => {
                return Err(ApiError::invalid(format!(
                    "unknown field {name:?} in the form: allowed are type, allow_overwriting, file"
                )));
            }
        }
        Ok(())
    }
}

fn granular(given: &str) -> Result<bool, ApiError> {
    match given {
        "full" => Ok(false),
        "granular" => Ok(true),
        other => Err(ApiError::invalid(format!(
            "type: {other:?} is not one of full, granular"
        ))),
    }
}

async fn text(field: &mut Field, name: &str) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = soon_enough(field.next()).await? {
        bytes.extend_from_slice(&piece.map_err(|error| unreadable(&error))?);
        if bytes.len() > FIELD {
            return Err(ApiError::invalid(format!("{name} has more than {FIELD} bytes")));
        }
    }
    String::from_utf8(bytes).map_err(|_| ApiError::invalid(format!("{name} is no UTF-8")))
}

/// Writes the file to the disk.
async fn spool(field: &mut Field, uploads: &Outside) -> Result<File, ApiError> {
    let directory = uploads.spool.clone();
    let mut file = on_disk(move || tempfile::tempfile_in(directory)).await?;
    let (mut total, mut waits) = (0_u64, Vec::new());
    loop {
        let piece = soon_enough(field.next())
            .await?
            .transpose()
            .map_err(|error| unreadable(&error))?;
        let is_last = piece.is_none();
        if let Some(piece) = piece {
            total += piece.len() as u64;
            waits.extend_from_slice(&piece);
        }
        if total > uploads.limit {
            let message = format!("the file has more than {} bytes", uploads.limit);
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                message,
            ));
        }
        if is_last || waits.len() >= WRITTEN {
            let bytes = std::mem::take(&mut waits);
            file = on_disk(move || file.write_all(&bytes).map(|()| file)).await?;
        }
        if is_last {
            return Ok(file);
        }
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| {
            log::error!("an upload cannot be kept: {error}");
            let message = format!("the upload cannot be kept: {error}");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "storage_failed", message)
        })
}

async fn soon_enough<T>(next: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::time::timeout(PATIENCE, next).await.map_err(|_| {
        let message = format!(
            "nothing more of the body came within {} seconds",
            PATIENCE.as_secs()
        );
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message)
    })
}

fn unreadable(error: &actix_multipart::MultipartError) -> ApiError {
    ApiError::invalid(format!("the form cannot be read: {error}"))
}
