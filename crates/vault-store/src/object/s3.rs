//! How an S3 bucket, or one of what speaks its protocol, is reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs, io};

use async_trait::async_trait;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, Checksum};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{Certificate, ClientOptions, CredentialProvider, RetryConfig};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ObjectVaults;
use super::failures::store_error;
use super::http::{CONNECT, REQUEST, provide_cryptography};
use super::removal::RetainedUntil;
use crate::StoreError;

/// Where a bucket is, and with what it is opened.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The server, such as `https://minio.example:9000`; the bucket is part of the path then. Without it Amazon's.
    pub url: Option<String>,
    /// The bucket, which must be there.
    pub bucket: String,
    /// Its region; without it `us-east-1`, or what the environment says where that has the keys.
    pub region: Option<String>,
    /// What all keys begin with; may be empty.
    pub prefix: String,
    /// Without them those that the environment has: variables, a web identity, the role of a container or of the machine.
    pub keys: Option<S3Keys>,
    /// Whether the server's certificate is checked.
    pub verify_tls: bool,
    /// A file of certificates (PEM), or a directory of such files, that are trusted beside the system's.
    pub certificates: Option<PathBuf>,
    /// A request that failed and may succeed is sent again until then, with pauses.
    pub retry_for: Duration,
}

/// An access key.
#[derive(Debug, Clone)]
pub struct S3Keys {
    /// The key's id.
    pub id: S3Secret,
    /// The key's secret.
    pub secret: S3Secret,
}

/// A text that is given, or that a file holds, without the blanks about it.
#[derive(Clone)]
pub enum S3Secret {
    /// The text.
    Text(String),
    /// Read for every request, so that it can be replaced at any time. Where both are files, replace them in one step, as a directory is renamed:
    /// what is sent in between with one of each is refused.
    File(PathBuf),
    /// What gives it, which is called for every request: where a file has more than this.
    Read(Arc<dyn Fn() -> io::Result<String> + Send + Sync>),
}

impl S3Config {
    /// That of a bucket of Amazon's, with the keys of the environment, and a minute for retries.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            url: None,
            bucket: bucket.into(),
            region: None,
            prefix: String::new(),
            keys: None,
            verify_tls: true,
            certificates: None,
            retry_for: Duration::from_secs(60),
        }
    }

    /// The vaults of the bucket. Nothing is asked for yet; [`ObjectVaults::check`] does.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: what is wrong with the settings.
    pub fn open(&self) -> Result<ObjectVaults, StoreError> {
        let objects = self.objects()?;
        Ok(ObjectVaults::open(Arc::clone(&objects) as _, &self.prefix)?.with_signer(objects))
    }

    /// The bucket itself, without the prefix. Where the process has no [`rustls`] provider of cryptography, it gets `ring`.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: what is wrong with the settings.
    pub fn objects(&self) -> Result<Arc<AmazonS3>, StoreError> {
        provide_cryptography();
        let mut builder = match &self.keys {
            None => AmazonS3Builder::from_env(),
            Some(keys) => AmazonS3Builder::new().with_credentials(Arc::new(keys.clone())),
        };
        if let Some(url) = &self.url {
            builder = builder.with_endpoint(url.trim_end_matches('/'));
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        let is_host = self.url.is_none() && !self.bucket.contains('.');
        let retry = RetryConfig {
            retry_timeout: self.retry_for,
            ..RetryConfig::default()
        };
        let built = builder
            .with_bucket_name(&self.bucket)
            .with_virtual_hosted_style_request(is_host)
            .with_checksum_algorithm(Checksum::SHA256)
            // One request for each object, which every server knows, and whose refusal has a code.
            .with_disable_bulk_delete(true)
            .with_retry(retry)
            .with_http_connector(Connector)
            .with_client_options(self.client()?)
            .build();
        built
            .map(Arc::new)
            .map_err(|error| store_error(&self.bucket, &error))
    }

    fn client(&self) -> Result<ClientOptions, StoreError> {
        let is_plain = self.url.as_ref().is_some_and(|url| url.starts_with("http://"));
        let mut options = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT)
            .with_allow_http(is_plain)
            // None are needed, and a machine may have none.
            .with_no_system_certificates(is_plain)
            .with_allow_invalid_certificates(!self.verify_tls);
        if let Some(path) = &self.certificates {
            for file in files(path).map_err(|error| StoreError::io(path.display(), error))? {
                let bytes = fs::read(&file).map_err(|error| StoreError::io(file.display(), error))?;
                let found = Certificate::from_pem_bundle(&bytes)
                    .map_err(|error| store_error(file.display(), &error))?;
                if found.is_empty() && file == *path {
                    let what = "it has no certificate (PEM)";
                    return Err(StoreError::failed(file.display(), false, what));
                }
                options = found
                    .into_iter()
                    .fold(options, ClientOptions::with_root_certificate);
            }
        }
        Ok(options)
    }
}

/// The file itself, or those of a directory.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

impl S3Secret {
    fn read(&self) -> io::Result<String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => match fs::read_to_string(path) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(error) => Err(io::Error::new(
                    error.kind(),
                    format!("{}: {error}", path.display()),
                )),
            },
            Self::Read(read) => read(),
        }
    }
}

#[async_trait]
impl CredentialProvider for S3Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let read = || Ok((self.id.read()?, self.secret.read()?));
        let (key_id, secret_key) = read().map_err(|error: io::Error| object_store::Error::Generic {
            store: "S3",
            source: error.into(),
        })?;
        Ok(Arc::new(AwsCredential {
            key_id,
            secret_key,
            token: None,
        }))
    }
}

/// Passes on what answers say of retention.
#[derive(Debug)]
struct Connector;

#[derive(Debug)]
struct Client(HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client(client)))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut answer = self.0.execute(request).await?;
        let until = answer.headers().get("x-amz-object-lock-retain-until-date");
        let until = until.and_then(|until| until.to_str().ok());
        let until = until.and_then(|until| OffsetDateTime::parse(until, &Rfc3339).ok());
        if let Some(until) = until {
            answer.extensions_mut().insert(RetainedUntil(until));
        }
        Ok(answer)
    }
}

impl fmt::Debug for S3Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::Read(_) => f.write_str("Read(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
