//! Buckets by name, as the predecessor's Go version has them: in a JSON file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, fs};

use backup_engine::DEFAULT_STORAGE;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use vault_store::{S3Config, S3Keys, S3Secret};

use super::s3;
use super::values::{SettingsError, flag, given, is_origin};
use crate::Args;
use crate::bucket::{AliasConfig, BucketConfig};
use crate::truth::truth;

/// The file in the directory.
const FILE: &str = "s3_aliases.json";
/// What may be said of a bucket, in the spelling of the predecessor.
const KEYS: [&str; 7] = [
    "s3Url",
    "accessKeyId",
    "accessKeySecret",
    "bucketName",
    "region",
    "s3SslVerify",
    "s3CertsPath",
];
const LONGEST_NAME: usize = 63;

/// The buckets of the file.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// The one that is called `default`, where that is where backups are kept.
    pub(super) default: Option<BucketConfig>,
    /// The others.
    pub(super) further: BTreeMap<String, BucketConfig>,
}

/// Where the file is, if `S3_ALIASES_USED` says that there is one.
pub(crate) fn file(args: &Args) -> Result<Option<PathBuf>, SettingsError> {
    if !flag("S3_ALIASES_USED", args.s3_aliases_used.as_ref(), false)? {
        return Ok(None);
    }
    let directory = given(args.aliases_path.as_ref()).unwrap_or_else(|| "/aliases/".to_owned());
    Ok(Some(Path::new(&directory).join(FILE)))
}

/// What `S3_ALIASES_USED` asks for. `bucket` is where backups are kept by other settings.
pub(super) fn aliases(args: &Args, bucket: Option<&BucketConfig>) -> Result<Aliases, SettingsError> {
    let Some(file) = file(args)? else {
        return Ok(Aliases::default());
    };
    let prefix = s3::prefix(args)?;
    let wrong = |why: String| SettingsError(format!("ALIASES_PATH: {}: {why}", file.display()));
    let mut further: BTreeMap<String, BucketConfig> = BTreeMap::new();
    for (name, said) in read(&file).map_err(wrong)? {
        let config = said.config(&file, &name, &prefix);
        let config = config.map_err(|why| wrong(format!("alias {name}: {why}")))?;
        let alias = AliasConfig {
            name: name.clone(),
            file: file.clone(),
            config,
        };
        further.insert(name, BucketConfig::Alias(Box::new(alias)));
    }
    let default = further.remove(DEFAULT_STORAGE);
    let default = match (default, bucket) {
        (Some(alias), Some(bucket)) if alias.is_place_of(bucket) => None,
        (Some(_), Some(bucket)) => {
            return Err(wrong(format!(
                "alias {DEFAULT_STORAGE}: backups are kept in {bucket} by S3_ENABLED or STORAGE_URL, and that is what {DEFAULT_STORAGE} means: \
                 take the alias away, or these settings"
            )));
        }
        (default, _) => default,
    };
    let first = default.as_ref().or(bucket);
    let mut known: Vec<(&str, &BucketConfig)> =
        first.map(|first| (DEFAULT_STORAGE, first)).into_iter().collect();
    for (name, alias) in &further {
        if let Some((other, _)) = known.iter().find(|(_, known)| known.is_place_of(alias)) {
            return Err(wrong(format!(
                "alias {name}: it is the bucket of {other}: each backup would be there twice"
            )));
        }
        known.push((name, alias));
    }
    Ok(Aliases { default, further })
}

/// What the file says of one bucket, by the keys of [`KEYS`].
struct Said(BTreeMap<&'static str, Value>);

/// What the file says, by the names of the aliases.
fn read(file: &Path) -> Result<Vec<(String, Said)>, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    // The error's own text may show a value, which may be a secret.
    let aliases: Pairs<Pairs<Value>> = serde_json::from_str(&text).map_err(|error| {
        let what = "an object of aliases is expected, each an object of its settings";
        format!("line {}, column {}: {what}", error.line(), error.column().max(1))
    })?;
    if aliases.0.is_empty() {
        return Err("it has no aliases".to_owned());
    }
    let mut read: Vec<(String, Said)> = Vec::new();
    for (name, settings) in aliases.0 {
        check_name(&name)?;
        if read.iter().any(|(known, _)| *known == name) {
            return Err(format!("alias {name} is there twice"));
        }
        let said = Said::of(settings).map_err(|why| format!("alias {name}: {why}"))?;
        read.push((name, said));
    }
    Ok(read)
}

fn check_name(name: &str) -> Result<(), String> {
    let is_usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(is_usable) {
        true => Ok(()),
        false => Err(format!(
            "{:?} cannot be the name of an alias: 1 to {LONGEST_NAME} ASCII letters, digits, '-', '_' and '.' are expected",
            name.chars().take(100).collect::<String>()
        )),
    }
}

impl Said {
    fn of(settings: Pairs<Value>) -> Result<Self, String> {
        let mut said = BTreeMap::new();
        for (key, value) in settings.0 {
            let known = KEYS.into_iter().find(|known| plain(known) == plain(&key));
            let Some(known) = known else {
                let key: String = key.chars().take(100).collect();
                return Err(format!(
                    "{key:?} is no setting of a bucket: these are {}",
                    KEYS.join(", ")
                ));
            };
            if said.insert(known, value).is_some() {
                return Err(format!("{known} is given twice"));
            }
        }
        Ok(Self(said))
    }

    fn text(&self, key: &'static str) -> Result<Option<String>, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(given(Some(text))),
            Some(_) => Err(format!("{key}: a text is expected")),
        }
    }

    fn config(&self, file: &Path, alias: &str, prefix: &str) -> Result<S3Config, String> {
        let bucket = self.text("bucketName")?;
        let bucket = bucket.ok_or("bucketName: it is needed, and must not be empty")?;
        let url = self.text("s3Url")?;
        if url.as_ref().is_some_and(|url| !is_origin(url)) {
            let what = "http:// or https:// with a host, and a port if need be, is expected; the bucket is bucketName";
            return Err(format!("s3Url: {what}"));
        }
        let certificates = self.text("s3CertsPath")?.map(PathBuf::from);
        if let Some(path) = certificates.as_ref().filter(|path| !path.exists()) {
            return Err(format!("s3CertsPath: there is no {}", path.display()));
        }
        let verify_tls = match self.0.get("s3SslVerify") {
            None | Some(Value::Null) => Some(true),
            Some(Value::Bool(verify)) => Some(*verify),
            Some(Value::String(text)) if text.trim().is_empty() => Some(true),
            Some(Value::String(text)) => truth(text),
            Some(_) => None,
        };
        let keys = match (self.text("accessKeyId")?, self.text("accessKeySecret")?) {
            (Some(id), Some(secret)) => Some(S3Keys {
                id: again(file, alias, "accessKeyId", id),
                secret: again(file, alias, "accessKeySecret", secret),
            }),
            (None, None) => None,
            _ => return Err("accessKeyId and accessKeySecret: one is given without the other".to_owned()),
        };
        Ok(S3Config {
            url,
            region: self.text("region")?,
            prefix: prefix.to_owned(),
            keys,
            verify_tls: verify_tls.ok_or("s3SslVerify: true or false is expected")?,
            certificates,
            ..S3Config::new(bucket)
        })
    }
}

/// A key that is read again for every request, so that the file can be replaced. Where it is not in it any more it stays as it was: what is wrong with the file is told
/// when all secrets are read again, and somebody may be about to write it.
fn again(file: &Path, alias: &str, key: &'static str, now: String) -> S3Secret {
    let (file, alias, known) = (file.to_owned(), alias.to_owned(), Mutex::new(now));
    S3Secret::Read(Arc::new(move || {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let said = read(&file).ok();
        let said = said.and_then(|all| all.into_iter().find(|(name, _)| *name == alias));
        if let Some(Ok(Some(key))) = said.map(|(_, said)| said.text(key)) {
            *known = key;
        }
        Ok(known.clone())
    }))
}

/// The same key in whatever case, with or without `_` and `-`.
fn plain(key: &str) -> String {
    let letters = key.chars().filter(|letter| !matches!(letter, '_' | '-'));
    letters.flat_map(char::to_lowercase).collect()
}

/// An object's pairs as they came, in which a key may come twice.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    found.push(pair);
                }
                Ok(found)
            }
        }
        deserializer
            .deserialize_map(Object(std::marker::PhantomData))
            .map(Pairs)
    }
}

#[cfg(test)]
mod tests;
