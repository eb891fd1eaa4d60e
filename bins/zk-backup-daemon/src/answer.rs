//! Errors as answers: status, code, and words in terms of the API.

use actix_web::http::header::ContentType;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use backup_engine::{EngineError, InvalidRequest};
use serde::Serialize;
use utoipa::ToSchema;

/// What an error looks like over the wire.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody<'a> {
    /// Always `Failed`.
    status: &'static str,
    /// For people.
    message: &'a str,
    /// For programs: it stays the same.
    code: &'static str,
}

impl<'a> ErrorBody<'a> {
    pub(crate) fn new(code: &'static str, message: &'a str) -> Self {
        Self {
            status: "Failed",
            message,
            code,
        }
    }
}

/// An error as a client sees it: one table from kinds to status codes.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(crate) fn no_such_endpoint(path: &str, method: &Method) -> Self {
        let message = format!("{path} is no endpoint for {method}");
        Self::new(StatusCode::NOT_FOUND, "no_such_endpoint", message)
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let status = match &error {
            EngineError::BackupNotFound(_)
            | EngineError::Elsewhere { .. }
            | EngineError::JobNotFound(_)
            | EngineError::ZnodeNotFound(_) => StatusCode::NOT_FOUND,
            EngineError::JobEnded { .. } => StatusCode::NOT_ACCEPTABLE,
            EngineError::InUse(_)
            | EngineError::BackupExists(_)
            | EngineError::Retained { .. }
            | EngineError::Sealed(_) => StatusCode::CONFLICT,
            EngineError::QueueFull(_) => StatusCode::TOO_MANY_REQUESTS,
            EngineError::Invalid(_) | EngineError::NoLinks(_) => StatusCode::BAD_REQUEST,
            EngineError::FullRestoreOff => StatusCode::FORBIDDEN,
            EngineError::NotLeading(_) | EngineError::StorageMoved(_) => StatusCode::SERVICE_UNAVAILABLE,
            EngineError::ZooKeeper(_) => StatusCode::BAD_GATEWAY,
            // Storage, and whatever else may come: it is not the client's fault.
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            log::error!("{error}");
        }
        Self::new(status, error.code(), in_words_of_the_api(&error))
    }
}

/// What a client has to change, by the names that it knows it by.
fn in_words_of_the_api(error: &EngineError) -> String {
    let EngineError::Invalid(invalid) = error else {
        return match error {
            EngineError::FullRestoreOff => {
                "restoring everything is turned off (ENABLE_FULL_RESTORE): name the root znodes in dbs"
                    .to_owned()
            }
            EngineError::Sealed(_) => format!("{error} (ENCRYPTION_IDENTITY_FILE)"),
            error => error.to_string(),
        };
    };
    match invalid {
        InvalidRequest::RenamesRoot => "changeDbNames cannot rename /".to_owned(),
        InvalidRequest::RenamesIntoServers { .. } => format!("changeDbNames: {invalid}"),
        InvalidRequest::RenamesUnwanted(from) => format!("changeDbNames names {from}, which dbs does not"),
        InvalidRequest::ChoosesByFiles => {
            "strategy files replaces everything: dbs, changeDbNames and policy cannot be given".to_owned()
        }
        InvalidRequest::NotTransactional(id) => {
            format!("strategy files needs a transactional backup, and {id} is none")
        }
        InvalidRequest::EpochTooGreat(most) => format!("raise_epoch can be {most} at most"),
        InvalidRequest::EpochOnline => "raise_epoch is for strategy files".to_owned(),
        InvalidRequest::BelowChroot { what, chroot } => {
            format!("{what} of all of ZooKeeper, and ZOOKEEPER_HOST only means what is below {chroot}")
        }
        InvalidRequest::OfAnotherChroot { id, from, to } => format!(
            "backup {id} is of what is below {from}, and ZOOKEEPER_HOST means what is below {to}, all of which would be replaced: \
             set ZOOKEEPER_HOST to the chroot of the backup, or name the root znodes wanted in dbs"
        ),
        invalid => invalid.to_string(),
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(ErrorBody::new(self.code, &self.message))
    }
}

/// An id as bare text under a JSON content type, as the predecessor's clients expect it.
pub(crate) fn bare_id(id: &str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("Location", format!("/jobstatus/{id}")))
        .content_type(ContentType::json())
        .body(id.to_owned())
}

/// What a client is told of an id that names nothing; a long one is cut.
pub(crate) fn no_backup(id: &str) -> HttpResponse {
    let id: String = id.chars().take(100).collect();
    HttpResponse::NotFound().json(format!("backup {id} not found"))
}
