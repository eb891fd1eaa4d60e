//! How a container of Azure's or a bucket of Google's is reached, by its URL.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::signer::Signer;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::ObjectVaults;
use super::failures::store_error;
use super::http::{CONNECT, REQUEST, provide_cryptography};
use crate::StoreError;

// Keys of `object_store`'s own configuration, as are the lists of them below.
const AZURE_PLACE: &str = "azure_storage_endpoint";
const GOOGLE_PLACE: &str = "google_base_url";

/// A container of Azure's, `az://CONTAINER/PREFIX`, or a bucket of Google's, `gs://BUCKET/PREFIX`; the prefix may be missing.
///
/// What opens it are the values of [keys](Self::with_values), whose names in capitals commonly are variables of the environment; without them it is the identity
/// of the machine or of the workload. Parts have no SHA-256 on their way, as they have to S3: what is wrong is found when it is read.
#[derive(Clone)]
pub struct CloudConfig {
    cloud: Cloud,
    bucket: String,
    prefix: String,
    values: Vec<(&'static str, String)>,
    retry_for: Duration,
}

/// The objects, and who signs addresses of them.
type Objects = (Arc<dyn ObjectStore>, Arc<dyn Signer>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    Azure,
    Google,
}

impl Cloud {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Azure => "az",
            Self::Google => "gs",
        }
    }
}

impl CloudConfig {
    /// The keys that say how a container is opened, as `object_store` calls them.
    pub const AZURE: [&str; 13] = [
        "azure_storage_account_name",
        "azure_storage_account_key",
        "azure_storage_sas_token",
        "azure_storage_token",
        AZURE_PLACE,
        "azure_credential_type",
        "azure_client_id",
        "azure_client_secret",
        "azure_tenant_id",
        "azure_authority_host",
        "azure_federated_token_file",
        "azure_msi_resource_id",
        "identity_endpoint",
    ];
    /// Those that say how a bucket is opened.
    pub const GOOGLE: [&str; 5] = [
        "google_service_account",
        "google_service_account_key",
        "google_application_credentials",
        "google_skip_signature",
        GOOGLE_PLACE,
    ];

    /// What is at `url`. Retries take up to a minute.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: what is wrong with the URL.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let parts = url.split_once("://");
        let wrong = || {
            let why = "az://CONTAINER/PREFIX or gs://BUCKET/PREFIX is expected";
            // What follows may be a secret.
            let shown = parts.filter(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
            let shown = shown.map_or("the URL".to_owned(), |(scheme, _)| format!("{scheme}://…"));
            StoreError::failed(shown, false, why)
        };
        let (scheme, rest) = parts.ok_or_else(wrong)?;
        let clouds = [Cloud::Azure, Cloud::Google];
        let cloud = clouds.into_iter().find(|cloud| cloud.scheme() == scheme);
        let cloud = cloud.ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_usable = |part: &str| !matches!(part, "" | "." | "..");
        if bucket.is_empty()
            || !bucket.chars().all(is_named)
            || !(prefix.is_empty() || prefix.split('/').all(is_usable))
            || prefix.contains(['?', '#', '%'])
        {
            return Err(wrong());
        }
        Ok(Self {
            cloud,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            values: Vec::new(),
            retry_for: Duration::from_secs(60),
        })
    }

    /// The keys that say how it is opened.
    pub fn keys(&self) -> &'static [&'static str] {
        match self.cloud {
            Cloud::Azure => &Self::AZURE,
            Cloud::Google => &Self::GOOGLE,
        }
    }

    /// What `value` says of the [keys](Self::keys), such as `|key| std::env::var(key.to_uppercase()).ok()`.
    #[must_use]
    pub fn with_values(mut self, mut value: impl FnMut(&str) -> Option<String>) -> Self {
        let keys = self.keys().iter();
        self.values = keys.filter_map(|key| Some((*key, value(key)?))).collect();
        self
    }

    /// A request that failed and may succeed is sent again for so long, with pauses.
    #[must_use]
    pub fn with_retry_for(self, retry_for: Duration) -> Self {
        Self { retry_for, ..self }
    }

    /// What all keys begin with; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The vaults that are there. Nothing is asked for yet; [`ObjectVaults::check`] does.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: what is wrong with the values.
    pub fn open(&self) -> Result<ObjectVaults, StoreError> {
        let (objects, signer) = self.build()?;
        Ok(ObjectVaults::open(objects, &self.prefix)?.with_signer(signer))
    }

    /// All of the container or bucket, without the prefix. Where the process has no [`rustls`] provider of cryptography, it gets `ring`.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: what is wrong with the values.
    pub fn objects(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        Ok(self.build()?.0)
    }

    fn build(&self) -> Result<Objects, StoreError> {
        provide_cryptography();
        let built = match self.cloud {
            Cloud::Azure => self.azure(),
            Cloud::Google => self.google(),
        };
        built.map_err(|error| store_error(self, &error))
    }

    fn azure(&self) -> object_store::Result<Objects> {
        let mut builder = MicrosoftAzureBuilder::new().with_client_options(self.client());
        for (key, value) in &self.values {
            builder = builder.with_config(key.parse::<AzureConfigKey>()?, value);
        }
        let builder = builder.with_container_name(&self.bucket).with_retry(self.retry());
        let built = Arc::new(builder.build()?);
        Ok((Arc::clone(&built) as _, built))
    }

    fn google(&self) -> object_store::Result<Objects> {
        let mut builder = GoogleCloudStorageBuilder::new().with_client_options(self.client());
        for (key, value) in &self.values {
            builder = builder.with_config(key.parse::<GoogleConfigKey>()?, value);
        }
        let builder = builder.with_bucket_name(&self.bucket).with_retry(self.retry());
        let built = Arc::new(builder.build()?);
        Ok((Arc::clone(&built) as _, built))
    }

    fn retry(&self) -> RetryConfig {
        RetryConfig {
            retry_timeout: self.retry_for,
            ..RetryConfig::default()
        }
    }

    fn client(&self) -> ClientOptions {
        let is_plain = self
            .values
            .iter()
            .any(|(key, value)| matches!(*key, AZURE_PLACE | GOOGLE_PLACE) && value.starts_with("http://"));
        ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT)
            .with_allow_http(is_plain)
            // None are needed, and a machine may have none.
            .with_no_system_certificates(is_plain)
    }
}

/// Its URL.
impl fmt::Display for CloudConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.cloud.scheme(), self.bucket)?;
        match &*self.prefix {
            "" => Ok(()),
            prefix => write!(f, "/{prefix}"),
        }
    }
}

/// Without the values, which hold secrets.
impl fmt::Debug for CloudConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudConfig({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_container_or_a_bucket_and_a_prefix() {
        for (url, prefix) in [
            ("az://backups", ""),
            ("gs://my-backups/prod/zookeeper", "prod/zookeeper"),
        ] {
            let config = CloudConfig::new(url).unwrap();
            assert_eq!((config.prefix(), &*config.to_string()), (prefix, url));
        }
        assert_eq!(CloudConfig::new("az://backups/prod/").unwrap().prefix(), "prod");
        for url in [
            "",
            "backups",
            "s3://backups",
            "az://",
            "az:///prod",
            "az://key@account/prod",
            "gs://backups/a//b",
            "gs://backups/../b",
            "gs://backups/a?b",
        ] {
            assert!(CloudConfig::new(url).is_err(), "{url}");
        }
    }

    #[test]
    fn every_key_is_one_that_object_store_knows() {
        for url in ["az://backups", "gs://backups"] {
            let config = CloudConfig::new(url).unwrap();
            let known = |key: &&str| match config.cloud {
                Cloud::Azure => key.parse::<AzureConfigKey>().is_ok(),
                Cloud::Google => key.parse::<GoogleConfigKey>().is_ok(),
            };
            assert_eq!(config.keys().iter().find(|key| !known(key)), None);
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let config = CloudConfig::new("az://backups").unwrap();
        let config = config.with_values(|key| Some(format!("secret-{key}")));
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");
    }
}
