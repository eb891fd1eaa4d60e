//! The main job as a story, on a real ZooKeeper and through the REST API: back up, break, look at the diff,
//! restore, compare, evict. Each step is shown as the `curl` command that does it, and what came of it in short; `-- --json`
//! shows the answers as they are.
//!
//! Ends with exit code 0 only if every znode is, byte for byte, what it was. `-- --stay` leaves ZooKeeper and the
//! server running until Ctrl-C. `-- --s3` keeps the backups in a bucket of a real S3 server,
//! and has two servers, one of which takes over when the other is gone.
#![allow(clippy::print_stdout)]

mod servers;
mod shell;
mod shown;
mod znodes;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use clap::Parser;
use serde_json::json;
use tokio::sync::watch;
use zk_backup_testkit::{BUCKET, Distribution, S3Server, ZooKeeper};

use crate::servers::{alone, one_of_several, wait_to_lead};
use crate::shell::Shell;
use crate::shown::{of_backup, of_decisions, of_health, of_plan, row, table};
use crate::znodes::{break_something, connect, fill, tree};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Back up, break and restore a ZooKeeper of its own.
#[derive(Parser)]
struct Args {
    /// Leave ZooKeeper and the server running
    #[arg(long)]
    stay: bool,
    /// Keep the backups in a bucket
    #[arg(long)]
    s3: bool,
    /// Show the answers as they come, in JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let args = Args::parse();
    println!("Looking for a ZooKeeper, and starting it ...");
    let zookeeper = ZooKeeper::start(&Distribution::locate()?)?;
    let client = connect(&zookeeper.address()).await?;
    fill(&client).await?;

    let storage = tempfile::tempdir()?;
    let s3 = args.s3.then(S3Server::start).transpose()?;
    let (stop, stopped) = watch::channel(false);
    let mut servers = Vec::new();
    match &s3 {
        None => servers.push(alone(&zookeeper, storage.path(), stopped)?),
        Some(s3) => {
            println!("An S3 server serves at {}, with the bucket {BUCKET}", s3.url());
            for name in ["one", "two"] {
                let place = storage.path().join(name);
                servers.push(one_of_several(name, &zookeeper, s3, &place, stopped.clone())?);
                wait_to_lead(&servers[0].0)?; // the first one does
            }
        }
    }
    let addresses: Vec<_> = servers.iter().map(|(address, _)| address.clone()).collect();
    println!(
        "ZooKeeper serves at {}, zk-backup at http://{}\n",
        zookeeper.address(),
        addresses.join(" and http://")
    );
    let shell = Shell::new(&addresses[0], args.json);
    let mut told = story(&shell, &client, s3.as_ref()).await;
    if let (Ok(()), [(_, first), (second, _)]) = (&told, &servers[..]) {
        first.abort();
        told = failover(second, args.json);
    }
    if args.stay && told.is_ok() {
        println!("Both go on running; Ctrl-C ends them.");
        tokio::signal::ctrl_c().await?;
    }
    stop.send_replace(true);
    for (_, serving) in servers {
        match serving.await {
            Err(error) if error.is_cancelled() => {}
            served => served??,
        }
    }
    told
}

/// What becomes of it when the server that works is gone.
fn failover(server: &str, json: bool) -> Outcome<()> {
    println!("# 6. The server that works is gone, as by a crash. The other one takes over.");
    let shell = Shell::new(server, json);
    let begun = Instant::now();
    wait_to_lead(server)?;
    println!("# It works after {:.1} s.", begun.elapsed().as_secs_f64());
    let id = shell.post("/backup", "")?;
    shell.wait(&id)?;
    shell.get("/listbackups", |ids| vec![row("backups", ids)])
}

async fn story(shell: &Shell, client: &zookeeper_async::ZooKeeper, s3: Option<&S3Server>) -> Outcome<()> {
    println!("# 1. Back up everything.");
    let before = tree(client).await?;
    let id = shell.post("/backup", "")?;
    shell.wait(&id)?;
    shell.get("/listbackups", |ids| vec![row("backups", ids)])?;
    shell.get(&format!("/listbackups/{id}"), of_backup)?;

    if let Some(s3) = s3 {
        let files: Vec<_> = files(&s3.bucket())?
            .iter()
            .map(|key| row("key", &json!(key)))
            .collect();
        println!("# What is in the bucket now:\n{}", table(&files));
    }

    println!("# 2. Somebody deletes topics, opens a secret to everybody and changes a setting.");
    break_something(client).await?;
    println!("# What a restore would do:");
    let dry = shell.post("/restore", &json!({"vault": id, "dry_run": true}).to_string())?;
    let plan = shell.wait(&dry)?;
    println!("{}", table(&of_plan(&plan["result"]["report"])));

    println!("# 3. Restore.");
    let task = shell.post("/restore", &json!({"vault": id}).to_string())?;
    shell.wait(&task)?;
    if tree(client).await? != before {
        return Err("the tree is not what it was".into());
    }
    println!(
        "# Compared {} znodes: every path, byte and ACL is what it was.\n",
        before.len()
    );

    println!("# 4. Back up one root znode, and evict that backup; what would the policies evict?");
    let config = shell.post("/backup", r#"{"dbs":["config"]}"#)?;
    shell.wait(&config)?;
    if s3.is_some() {
        println!("# What is stored in a bucket is read back once, and not evicted before.");
        shell.wait_for_verification(&config)?;
    }
    shell.post(&format!("/evict/{config}"), "")?;
    shell.ask("POST", "/evict?dry_run=true", "", of_decisions)?;

    println!("# 5. How is it?");
    shell.get("/health", of_health)?;
    Ok(())
}

/// The keys of a bucket, which the server keeps as files.
fn files(bucket: &Path) -> Outcome<Vec<String>> {
    let (mut keys, mut left) = (Vec::new(), vec![bucket.to_owned()]);
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => left.push(path),
                false => keys.push(path.strip_prefix(bucket)?.display().to_string()),
            }
        }
    }
    keys.retain(|key| !key.starts_with('.'));
    keys.sort();
    Ok(keys)
}
