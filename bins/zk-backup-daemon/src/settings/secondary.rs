//! Where second copies of backups go.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::s3::Said;
use super::values::{SettingsError, given};
use crate::Args;
use crate::bucket::BucketConfig;

/// Where second copies of backups go.
#[derive(Debug, Clone)]
pub enum Secondary {
    /// A directory, which is made if it is missing.
    Directory(PathBuf),
    /// A bucket.
    Bucket(BucketConfig),
}

/// What `SECONDARY_DIRECTORY` or `SECONDARY_S3_BUCKET` asks for. Backups are kept in `storage`, or in `buckets`.
pub(super) fn secondary(
    args: &Args,
    (storage, buckets): (&Path, &[&BucketConfig]),
    secrets: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Secondary>, SettingsError> {
    let said = Said {
        name: "SECONDARY_S3",
        url: args.secondary_s3_url.as_ref(),
        bucket: args.secondary_s3_bucket.as_ref(),
        region: args.secondary_s3_region.as_ref(),
        prefix: args.secondary_s3_prefix.as_ref(),
        ssl_verify: args.secondary_s3_ssl_verify.as_ref(),
        certs_path: args.secondary_s3_certs_path.as_ref(),
    };
    let bucket = said.read(secrets, environment)?;
    let bucket = bucket.map(|config| BucketConfig::S3(Box::new(config)));
    let refused = |why: String| Err(SettingsError(why));
    let more = [
        said.url,
        said.region,
        said.prefix,
        said.ssl_verify,
        said.certs_path,
    ];
    if bucket.is_none() && more.into_iter().any(|value| given(value).is_some()) {
        return refused("SECONDARY_S3_BUCKET: it is needed with the other SECONDARY_S3_ settings".to_owned());
    }
    match (given(args.secondary_directory.as_ref()), bucket) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            refused("SECONDARY_DIRECTORY and SECONDARY_S3_BUCKET: there is one second copy".to_owned())
        }
        (None, Some(bucket)) if buckets.iter().any(|first| first.is_place_of(&bucket)) => {
            refused("SECONDARY_S3_BUCKET: backups are kept there already, with the same prefix".to_owned())
        }
        (None, Some(bucket)) => Ok(Some(Secondary::Bucket(bucket))),
        (Some(directory), None) => {
            let directory = PathBuf::from(directory);
            let [a, b] = [directory.as_path(), storage].map(absolute);
            match a.starts_with(&b) || b.starts_with(&a) {
                true => refused(format!(
                    "SECONDARY_DIRECTORY={}: it must be apart from STORAGE, on another disk",
                    directory.display()
                )),
                false => Ok(Some(Secondary::Directory(directory))),
            }
        }
    }
}

/// Without links, as far as it is there.
fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = whole.ancestors().find_map(|part| {
        let rest = whole.strip_prefix(part).ok()?;
        Some(part.canonicalize().ok()?.join(rest))
    });
    real.unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use vault_store::S3Config;

    use super::*;

    fn asked(change: impl FnOnce(&mut Args)) -> Result<Option<Secondary>, String> {
        let mut args = Args::default();
        change(&mut args);
        let mut first = S3Config::new("backups");
        first.prefix = "prod".to_owned();
        let first = BucketConfig::S3(Box::new(first));
        let read = secondary(&args, (Path::new("/storage"), &[&first]), None, |_| None);
        read.map_err(|error| error.to_string())
    }

    /// A bucket whose URL is spelled otherwise.
    fn same_url() -> Result<Option<Secondary>, String> {
        let mut first = S3Config::new("backups");
        first.url = Some("http://minio:9000/".to_owned());
        let first = BucketConfig::S3(Box::new(first));
        let args = Args {
            secondary_s3_bucket: Some("backups".to_owned()),
            secondary_s3_url: Some("http://minio:9000".to_owned()),
            ..Args::default()
        };
        let read = secondary(&args, (Path::new("/storage"), &[&first]), None, |_| None);
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn a_second_copy_is_in_one_place_apart_from_the_first() {
        assert!(asked(|_| {}).unwrap().is_none());
        let directory = asked(|args| args.secondary_directory = Some("/other".to_owned()));
        assert!(matches!(directory, Ok(Some(Secondary::Directory(_)))));
        let bucket = |args: &mut Args| args.secondary_s3_bucket = Some("backups".to_owned());
        let Ok(Some(Secondary::Bucket(read))) = asked(bucket) else {
            panic!("it is another prefix");
        };
        assert_eq!(read.prefix(), "");
        let refused = [
            (
                asked(|args| args.secondary_directory = Some("/storage/copies".to_owned())),
                "apart from STORAGE",
            ),
            (
                asked(|args| args.secondary_directory = Some("/".to_owned())),
                "apart from STORAGE",
            ),
            (
                asked(|args| args.secondary_s3_prefix = Some("copies".to_owned())),
                "SECONDARY_S3_BUCKET: ",
            ),
            (
                asked(|args| {
                    bucket(args);
                    args.secondary_directory = Some("/other".to_owned());
                }),
                "one second copy",
            ),
            (
                asked(|args| {
                    bucket(args);
                    args.secondary_s3_prefix = Some("/prod/".to_owned());
                }),
                "kept there already",
            ),
            (same_url(), "kept there already"),
            (
                asked(|args| {
                    bucket(args);
                    args.secondary_s3_url = Some("minio:9000/backups".to_owned());
                }),
                "SECONDARY_S3_URL: ",
            ),
        ];
        for (refused, why) in refused {
            let said = refused.unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
