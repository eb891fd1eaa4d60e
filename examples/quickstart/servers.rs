//! The servers of the story: one, or two that share a bucket.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backup_engine::{Driver, Engine, ZooKeeperEnsemble};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zk_backup_daemon::{Access, Credentials, ServeOptions, Settings, serve};
use zk_backup_testkit::{BUCKET, Http, KEY_ID, KEY_SECRET, S3Server, SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::client::BatchedConfig;

use crate::Outcome;

/// An engine with its vaults below `storage`, and a server over it.
pub(crate) fn alone(
    zookeeper: &ZooKeeper,
    storage: &Path,
    stopped: watch::Receiver<bool>,
) -> Outcome<Serving> {
    let config = BatchedConfig {
        digest_auth: Some(format!("super:{SUPER_PASSWORD}")),
        ..BatchedConfig::new(zookeeper.address())
    };
    let builder = Engine::builder(Arc::new(ZooKeeperEnsemble::new(config, Driver::Auto)));
    let access = Access::new(Credentials::new("admin", "admin"), false);
    let (listener, engine) = (listen()?, builder.storage(storage)?.build()?);
    let address = listener.local_addr()?.to_string();
    let serving = serve(listener, engine, ServeOptions::new(access), ends(stopped));
    Ok((address, tokio::spawn(serving)))
}

fn listen() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:8080").or_else(|_| TcpListener::bind("127.0.0.1:0"))
}

async fn ends(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await; // a sender that is gone is a stop too
}

pub(crate) type Serving = (String, JoinHandle<std::io::Result<()>>);

/// A server of the settings, which shares the bucket with others.
pub(crate) fn one_of_several(
    name: &str,
    zookeeper: &ZooKeeper,
    s3: &S3Server,
    storage: &Path,
    stopped: watch::Receiver<bool>,
) -> Outcome<Serving> {
    let given = |text: &str| Some(text.to_owned());
    let args = zk_backup_daemon::Args {
        zookeeper_host: given(&zookeeper.address()),
        zookeeper_timeout: given("3"),
        storage: given(&storage.display().to_string()),
        backup_schedule: given("None"),
        s3_enabled: given("true"),
        s3_url: given(&s3.url()),
        s3_bucket: given(BUCKET),
        ha: given("true"),
        ha_name: given(name),
        // 30 where nobody waits for the end of the story.
        ha_lease_seconds: given("6"),
        ..zk_backup_daemon::Args::default()
    };
    let secret = |name: &str| {
        Some(OsString::from(match name {
            "S3_KEY_ID" => KEY_ID,
            "S3_KEY_SECRET" => KEY_SECRET,
            "ZOOKEEPER_DIGEST_USERNAME" => "super",
            "ZOOKEEPER_DIGEST_PASSWORD" => SUPER_PASSWORD,
            "BACKUP_DAEMON_API_CREDENTIALS_USERNAME" | "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD" => "admin",
            _ => return None,
        }))
    };
    let settings = Settings::new(&args, secret)?;
    let listener = listen()?;
    let address = listener.local_addr()?;
    let (builder, peers) = zk_backup_daemon::join(zk_backup_daemon::builder(&settings)?, &settings, address)?;
    let options = ServeOptions {
        peers,
        ..ServeOptions::new(settings.access)
    };
    let serving = serve(listener, builder.build()?, options, ends(stopped));
    Ok((address.to_string(), tokio::spawn(serving)))
}

pub(crate) fn wait_to_lead(server: &str) -> Outcome<()> {
    let (http, begun) = (Http::new(server), Instant::now());
    while http.get("/health")?.json()["role"] != "leader" {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("{server} does not take the lead").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
