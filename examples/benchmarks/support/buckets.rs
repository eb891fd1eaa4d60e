//! A bucket to measure with, and what `object_store` alone does with it.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use vault_store::object_store::path::Path;
use vault_store::object_store::{ObjectStore, ObjectStoreExt as _};
use vault_store::{S3Config, S3Keys, S3Secret};
use zk_backup_testkit::{BUCKET, KEY_ID, KEY_SECRET, S3Server};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is sent in one request, and how many requests are under way: as a backup does it.
const PART: usize = 8 << 20;
const UNDER_WAY: usize = 4;

/// What a server keeps its backups in the bucket with.
pub(crate) fn in_bucket(url: &str) -> [(&'static str, &str); 5] {
    [
        ("S3_ENABLED", "true"),
        ("S3_URL", url),
        ("S3_BUCKET", BUCKET),
        ("S3_KEY_ID", KEY_ID),
        ("S3_KEY_SECRET", KEY_SECRET),
    ]
}

/// The bucket, as the server reaches it.
pub(crate) fn config(s3: &S3Server) -> S3Config {
    S3Config {
        url: Some(s3.url()),
        keys: Some(S3Keys {
            id: S3Secret::Text(KEY_ID.to_owned()),
            secret: S3Secret::Text(KEY_SECRET.to_owned()),
        }),
        ..S3Config::new(BUCKET)
    }
}

/// How long `bytes` that cannot be compressed take by `object_store` alone, in parallel: upwards and downwards.
pub(crate) async fn alone(s3: &S3Server, bytes: usize) -> Outcome<(Duration, Duration)> {
    let objects: Arc<dyn ObjectStore> = config(s3).objects()?;
    let mut state = 7_u64;
    let byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let part: vault_store::object_store::PutPayload = std::iter::repeat_with(byte)
        .take(PART.min(bytes))
        .collect::<Vec<u8>>()
        .into();
    let keys: Vec<_> = (0..bytes.div_ceil(PART))
        .map(|i| Path::from(format!("alone/{i}")))
        .collect();
    let begun = Instant::now();
    stream::iter(&keys)
        .map(|key| objects.put(key, part.clone()))
        .buffer_unordered(UNDER_WAY)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let up = begun.elapsed();
    let begun = Instant::now();
    stream::iter(&keys)
        .map(|key| async { objects.get(key).await?.bytes().await })
        .buffer_unordered(UNDER_WAY)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let down = begun.elapsed();
    for key in &keys {
        objects.delete(key).await?;
    }
    Ok((up, down))
}
