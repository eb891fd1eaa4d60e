//! What files of aliases come to.

use super::*;

const BOTH: &str = r#"{
    "default": {"s3Url": "http://minio:9000", "bucketName": "backups", "accessKeyId": "ann", "accessKeySecret": "canary"},
    "archive": {"S3URL": "http://minio:9000", "bucket_name": "archive", "AccessKeyID": "ann", "access-key-secret": "canary",
                "region": "eu", "s3SslVerify": "false", "s3CertsPath": null}
}"#;

/// What a file with this text comes to.
fn asked(text: &str, bucket: Option<&str>) -> Result<Aliases, String> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE), text).unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let bucket = bucket.map(|bucket| {
        BucketConfig::S3(Box::new(S3Config {
            url: Some("http://minio:9000/".to_owned()),
            prefix: "zk".to_owned(),
            ..S3Config::new(bucket)
        }))
    });
    let args = Args {
        s3_aliases_used: Some("true".to_owned()),
        aliases_path: Some(path.clone()),
        s3_prefix: Some("/zk".to_owned()),
        ..Args::default()
    };
    let read = aliases(&args, bucket.as_ref()).map_err(|error| error.to_string());
    read.map_err(|why| {
        let place = format!("ALIASES_PATH: {path}/{FILE}: ");
        why.strip_prefix(&place).unwrap().to_owned()
    })
}

fn config(alias: &BucketConfig) -> &S3Config {
    let BucketConfig::Alias(alias) = alias else {
        panic!("{alias:?}");
    };
    &alias.config
}

#[test]
fn keys_are_known_in_any_case_and_secrets_are_not_shown() {
    let read = asked(BOTH, None).unwrap();
    assert!(!format!("{read:?}").contains("canary"));
    assert_eq!(read.default.unwrap().to_string(), "http://minio:9000/backups/zk");
    assert_eq!(read.further.keys().collect::<Vec<_>>(), ["archive"]);
    let archive = config(&read.further["archive"]);
    assert_eq!((&*archive.bucket, &*archive.prefix), ("archive", "zk"));
    assert_eq!(
        (archive.region.as_deref(), archive.verify_tls),
        (Some("eu"), false)
    );
    assert!(archive.keys.is_some() && archive.certificates.is_none());
    assert!(
        asked(BOTH, None)
            .unwrap()
            .default
            .is_some_and(|alias| config(&alias).verify_tls)
    );
}

#[test]
fn keys_are_read_again_when_they_are_needed_and_stay_where_the_file_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    let S3Secret::Read(key) = again(&file, "archive", "accessKeySecret", "first".to_owned()) else {
        panic!("it is read again");
    };
    assert_eq!(key().unwrap(), "first", "there is no file");
    for secret in ["one", "two"] {
        fs::write(&file, BOTH.replace("canary", secret)).unwrap();
        assert_eq!(key().unwrap(), secret);
    }
    let gone = r#"{"default": {"bucketName": "backups"}}"#;
    for text in [gone, &gone.replace("default", "archive"), "{\"arch"] {
        fs::write(&file, text).unwrap();
        assert_eq!(key().unwrap(), "two", "{text}");
    }
}

#[test]
fn without_the_setting_no_file_is_looked_at() {
    let args = Args {
        aliases_path: Some("/nowhere".to_owned()),
        ..Args::default()
    };
    let read = aliases(&args, None).unwrap();
    assert!(read.default.is_none() && read.further.is_empty());
    let args = Args {
        s3_aliases_used: Some("true".to_owned()),
        ..args
    };
    let refused = aliases(&args, None).unwrap_err().to_string();
    assert!(
        refused.starts_with("ALIASES_PATH: /nowhere/s3_aliases.json: No such file"),
        "{refused}"
    );
}

#[test]
fn default_is_the_bucket_of_the_other_settings_where_there_is_one() {
    let read = asked(BOTH, Some("backups")).unwrap();
    assert!(read.default.is_none() && read.further.len() == 1);
    let refused = asked(BOTH, Some("other")).unwrap_err();
    assert!(
        refused.starts_with("alias default: backups are kept in http://minio:9000/other/zk by S3_ENABLED")
    );
    let refused = asked(BOTH, Some("archive")).unwrap_err();
    assert!(refused.starts_with("alias default: "), "{refused}");
    let alone = BOTH.replace("\"default\"", "\"cold\"");
    let refused = asked(&alone, Some("archive")).unwrap_err();
    assert!(
        refused.starts_with("alias archive: it is the bucket of default"),
        "{refused}"
    );
    let read = asked(&alone, None).unwrap();
    assert!(read.default.is_none() && read.further.len() == 2);
}

#[test]
fn what_is_wrong_is_told_with_the_alias_and_without_secrets() {
    let of = |settings: &str| format!(r#"{{"archive": {settings}}}"#);
    for (text, why) in [
        (String::new(), "it is empty"),
        (" \n".to_owned(), "it is empty"),
        ("{}".to_owned(), "it has no aliases"),
        ("[]".to_owned(), "line 1, column 1: an object of aliases"),
        ("{\"archive\": \"canary\"}".to_owned(), "line 1, column "),
        (
            "{\"archive\": {\"accessKeySecret\": \"canary\"".to_owned(),
            "line 1, column ",
        ),
        (
            r#"{"a b": {"bucketName": "b"}}"#.to_owned(),
            "\"a b\" cannot be the name of an alias",
        ),
        (
            r#"{"": {"bucketName": "b"}}"#.to_owned(),
            "\"\" cannot be the name of an alias",
        ),
        (
            r#"{"archive": {"bucketName": "a"}, "archive": {"bucketName": "b"}}"#.to_owned(),
            "alias archive is there twice",
        ),
        (
            r#"{"archive": {"bucketName": "a"}, "cold": {"bucketName": "a"}}"#.to_owned(),
            "alias cold: it is the bucket of archive",
        ),
        (of("{}"), "alias archive: bucketName: it is needed"),
        (
            of(r#"{"bucketName": " "}"#),
            "alias archive: bucketName: it is needed",
        ),
        (
            of(r#"{"bucketName": 7}"#),
            "alias archive: bucketName: a text is expected",
        ),
        (
            of(r#"{"bucket": "b"}"#),
            "alias archive: \"bucket\" is no setting of a bucket: these are s3Url, ",
        ),
        (
            of(r#"{"bucketName": "b", "bucket-name": "c"}"#),
            "alias archive: bucketName is given twice",
        ),
        (
            of(r#"{"bucketName": "b", "s3Url": "http://minio:9000/b"}"#),
            "alias archive: s3Url: http:// or https://",
        ),
        (
            of(r#"{"bucketName": "b", "accessKeySecret": "canary"}"#),
            "alias archive: accessKeyId and accessKeySecret: one is given",
        ),
        (
            of(r#"{"bucketName": "b", "s3SslVerify": "perhaps"}"#),
            "alias archive: s3SslVerify: true or false",
        ),
        (
            of(r#"{"bucketName": "b", "s3CertsPath": "/nowhere/ca.crt"}"#),
            "alias archive: s3CertsPath: there is no /nowhere/ca.crt",
        ),
    ] {
        let refused = asked(&text, None).unwrap_err();
        assert!(
            refused.starts_with(why) && !refused.contains("canary"),
            "{text}: {refused}"
        );
    }
}
