//! The main job as a story, on a real ZooKeeper: back up, break, look at the diff, restore, compare.
//!
//! Ends with exit code 0 only if every znode is, byte for byte, what it was.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use tokio::sync::mpsc;
use zk_backup_testkit::{Distribution, SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::{
    Acl, AclEntry, ArchiveFile, ArchiveWriter, CaptureOptions, Frame, PlainClient, PlainConfig, Record,
    RestoreOptions, RestoreReport, WriteOp, ZnodePath, ZnodeWriter, capture, restore,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let server = ZooKeeper::start(&Distribution::locate()?)?;
    println!("1. A real ZooKeeper serves at {}", server.address());
    let digest_auth = Some(format!("super:{SUPER_PASSWORD}"));
    let client = PlainClient::connect(PlainConfig {
        digest_auth,
        ..PlainConfig::new(server.address())
    })
    .await?;

    fill(&client).await?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("archive.zst");
    let frames = back_up(&client, &file).await?;
    let before = tree(&client).await?;
    println!(
        "2. Backed up {} znodes into {} bytes",
        before.len(),
        file.metadata()?.len()
    );

    break_something(&client).await?;
    let archive = ArchiveFile::new(File::open(&file)?, frames);
    let dry = RestoreOptions {
        dry_run: true,
        ..RestoreOptions::default()
    };
    println!("3. Somebody broke it. What a restore would do:");
    say(&restore(&archive, &client, &dry).await?);

    println!("4. Restored:");
    let report = restore(&archive, &client, &RestoreOptions::default()).await?;
    say(&report);

    let same = tree(&client).await? == before;
    client.close().await;
    if !same || !report.is_complete() {
        return Err("the tree is not what it was".into());
    }
    println!("5. Compared: every path, byte and ACL is what it was");
    Ok(())
}

/// Brokers, topics and a secret, as many clusters have them.
async fn fill(client: &PlainClient) -> Outcome<()> {
    let secret = AclEntry {
        perms: 31,
        scheme: "digest".into(),
        id: "app:ZWxzZXdoZXJlIQ==".into(),
    };
    let mut ops = Vec::new();
    for top in ["/brokers", "/config", "/secrets"] {
        let acl = if top == "/secrets" {
            Acl(vec![secret.clone()])
        } else {
            Acl::open()
        };
        ops.push(create(top, b"", acl)?);
    }
    write(client, ops).await?;
    let mut ops = vec![
        create("/brokers/topics", b"", Acl::open())?,
        create("/config/retries", b"3", Acl::open())?,
        create("/secrets/key", &(0..=255).collect::<Vec<u8>>(), Acl(vec![secret]))?,
    ];
    write(client, std::mem::take(&mut ops)).await?;
    for topic in 0..2_000 {
        let data = format!(r#"{{"version":2,"partitions":{{"0":[{}]}}}}"#, topic % 3);
        ops.push(create(
            &format!("/brokers/topics/t{topic}"),
            data.as_bytes(),
            Acl::open(),
        )?);
    }
    write(client, ops).await
}

async fn break_something(client: &PlainClient) -> Outcome<()> {
    let path = ZnodePath::parse;
    let mut ops = vec![
        WriteOp::SetData {
            path: path("/config/retries")?,
            data: b"0".to_vec(),
        },
        WriteOp::SetAcl {
            path: path("/secrets/key")?,
            acl: Acl::open(),
        },
        create("/config/typo", b"", Acl::open())?,
    ];
    for topic in 0..500 {
        ops.push(WriteOp::Delete {
            path: path(&format!("/brokers/topics/t{topic}"))?,
        });
    }
    write(client, ops).await
}

fn create(path: &str, data: &[u8], acl: Acl) -> Outcome<WriteOp> {
    Ok(WriteOp::Create {
        path: ZnodePath::parse(path)?,
        data: data.to_vec(),
        acl,
    })
}

async fn write(client: &PlainClient, ops: Vec<WriteOp>) -> Outcome<()> {
    for outcome in client.write_many(ops).await {
        outcome?;
    }
    Ok(())
}

async fn back_up(client: &PlainClient, file: &Path) -> Outcome<Vec<Frame>> {
    let (sender, mut records) = mpsc::channel(256);
    let mut writer = ArchiveWriter::new(BufWriter::new(File::create(file)?));
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(record) = records.blocking_recv() {
            writer.push(&record)?;
        }
        writer.finish()
    });
    let summary = capture(client, &CaptureOptions::default(), sender).await?;
    if summary.is_partial() {
        return Err(format!("not readable: {:?}", summary.unreadable_paths).into());
    }
    Ok(writing.await??)
}

/// Every path with its data and ACL, outside `/zookeeper`, read from the server.
async fn tree(client: &PlainClient) -> Outcome<Vec<(ZnodePath, Vec<u8>, Acl)>> {
    let (sender, mut records) = mpsc::channel(256);
    let collecting = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(Record { path, data, acl, .. }) = records.recv().await {
            if !path.as_str().starts_with("/zookeeper") {
                all.push((path, data, acl));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    });
    capture(client, &CaptureOptions::default(), sender).await?;
    Ok(collecting.await?)
}

fn say(report: &RestoreReport) {
    println!(
        "   {} created, {} data and {} ACLs changed, {} deleted, {} unchanged, {} failed",
        report.created,
        report.data_changed,
        report.acl_changed,
        report.deleted,
        report.unchanged,
        report.failed
    );
    for difference in report.differences.iter().take(4) {
        println!("   {:?} {}", difference.change, difference.path);
    }
}
